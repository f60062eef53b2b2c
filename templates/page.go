package templates

import (
	"time"
)

// Values of Page.Theme.
const (
	ThemeSystem = ""
	ThemeLight  = "light"
	ThemeDark   = "dark"
)

// Values of Page.Density.
const (
	DensityComfortable = ""
	DensityCompact     = "compact"
)

// Page is what every document needs.
type Page struct {
	// Lang is a language tag such as "en"; see Languages. Unknown tags fall back to English.
	Lang string
	// Theme is ThemeSystem, ThemeLight or ThemeDark.
	Theme string
	// Density is DensityComfortable or DensityCompact.
	Density string
	// Title stands before " – Eider" in the window title.
	Title string
	// Nonce is the content policy's nonce for the one script element. Empty leaves the script out.
	Nonce string
	// CSRF goes into every form as hidden field "csrf".
	CSRF string
	// Now is the time of rendering in the user's zone; dates are shown in its location.
	Now time.Time
}

// Shell is the frame around the pages of a signed-in user.
type Shell struct {
	Page
	// Name and Address are the user's own.
	Name, Address string
	// Folders are shown in the given order; those without Use come under the heading "Folders".
	Folders []Folder
	Quota   Quota
	// Search shows the search box (GET PathSearch, field "q") filled with Query.
	Search bool
	// SearchBox is the folder that the page shows, which a search may be kept to; empty for none.
	SearchBox string
	Query     string
	// Toast is shown once, nil for none.
	Toast *Toast
	// Live is filled where the page shall follow changes.
	Live Live
}

// Folder is one line of the sidebar.
type Folder struct {
	// ID is the mailbox id in hexadecimal; live counters find the line by it. Virtual folders have a word, such as "starred".
	ID string
	// Use is inbox, starred, drafts, sent, archive, junk, trash or "" for a folder of the user's own.
	Use string
	// Name is the last part of the path, as the user wrote it. For a Use the translated word is shown instead.
	Name string
	// Depth is the level below the root, 0 for the top.
	Depth         int
	Total, Unseen int
	Current       bool
}

// Quota is storage in bytes. Limit 0 hides the meter.
type Quota struct {
	Used, Limit int64
}

// Live opens the socket of a page. An empty Token leaves it closed.
type Live struct {
	// Token is the page's own secret for the first frame.
	Token string
	// Since is the journal id that the page shows.
	Since string
}

// Toast is a short word at the bottom of the page.
type Toast struct {
	// Text is what happened, already in the user's language.
	Text string
	// Undo is the signed token for POST PathUndo (field "token"), empty for none.
	Undo string
	// Back is the path to return to after undo (field "back").
	Back string
	// Sticky keeps it until it is dismissed, for news that must be read.
	Sticky bool
	// Bad marks a failure.
	Bad bool
}

// Names of the regions that a partial update may ask for in the header
// Eider-Fragment. See TEMPLATES for what each answers.
const (
	FragmentHeader  = "Eider-Fragment"
	FragmentMain    = "main"    // MailboxFragment: sidebar, title, folder of the search box, list, reader, dock, toast
	FragmentList    = "list"    // ListFragment: list, sidebar, toast
	FragmentReader  = "reader"  // ReaderFragment: reader, dock, toast
	FragmentToast   = "toast"   // ToastFragment: toast, sidebar
	FragmentCompose = "compose" // ComposeFragment: the docked composer
	FragmentDraft   = "draft"   // DraftFragment: hidden fields, status and attachments of the composer
)
