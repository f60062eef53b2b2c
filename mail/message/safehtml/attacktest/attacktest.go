// Package attacktest reads the attack samples that the tests of the sanitiser
// and of the browser share. No program imports it.
package attacktest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Sample is one hostile message.
type Sample struct {
	// Name is the file and the sample's own name.
	Name string
	// Parts are its HTML parts.
	Parts []string
}

// Options fill the placeholders of the samples.
type Options struct {
	// Canary is the script that tells the test that it ran. It must hold no
	// quotes, spaces or angle brackets.
	Canary string
	// Remote is the start of an absolute URL that nobody may ask.
	Remote string
}

// Load reads every .html file of the folder and adds a sample for each event
// handler of the HTML, SVG and pointer event standards.
func Load(dir string, o Options) ([]Sample, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil {
		return nil, fmt.Errorf("attack samples: %w", err)
	}
	var all []Sample
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a folder of the test's own
		if err != nil {
			return nil, fmt.Errorf("attack samples: %w", err)
		}
		base := strings.TrimSuffix(filepath.Base(file), ".html")
		for block := range strings.SplitSeq(string(text), "=== ") {
			name, body, ok := strings.Cut(block, "\n")
			if !ok {
				continue
			}
			parts := strings.Split(o.expand(strings.TrimSuffix(body, "\n")), "\n--- part\n")
			all = append(all, Sample{Name: base + "/" + name, Parts: parts})
		}
	}
	for _, h := range handlers() {
		all = append(all, Sample{Name: "handler/" + h, Parts: []string{o.expand(
			"<details open " + h + "=CANARY>z</details><p " + h + "=CANARY>x</p><img src=x " + h + "=\"CANARY\"><a href=http://evil.example/ " +
				strings.ToUpper(h) + "='CANARY'>y</a><body " + h + "=CANARY><svg " + h + "=CANARY></svg>",
		)}})
	}
	return all, nil
}

// Headers reads values of header fields, one per line.
func Headers(file string, o Options) ([]string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // a file of the test's own
	if err != nil {
		return nil, fmt.Errorf("header samples: %w", err)
	}
	list := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := range list {
		list[i] = o.expand(list[i])
	}
	return list, nil
}

var placeholder = regexp.MustCompile(`\{(0x|b:)([0-9A-Fa-f]+)\}`)

func (o Options) expand(s string) string {
	s = strings.NewReplacer("CANARY", o.Canary, "REMOTE", o.Remote).Replace(s)
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		g := placeholder.FindStringSubmatch(m)
		n, err := strconv.ParseUint(g[2], 16, 21)
		if err != nil {
			return m
		}
		if g[1] == "b:" {
			return string([]byte{byte(n & 0xFF)})
		}
		return string(rune(n))
	})
}

// handlers are the event handler attributes.
func handlers() []string {
	return strings.Fields(`
		onabort onactivate onafterprint onafterscriptexecute onafterupdate onanimationcancel onanimationend onanimationiteration
		onanimationstart onauxclick onbeforecopy onbeforecut onbeforeinput onbeforematch onbeforepaste onbeforeprint
		onbeforescriptexecute onbeforetoggle onbeforeunload onbegin onblur onbounce oncancel oncanplay oncanplaythrough onchange
		onclick onclose oncommand oncontentvisibilityautostatechange oncontextlost oncontextmenu oncontextrestored oncopy oncuechange
		oncut ondblclick ondrag ondragend ondragenter ondragexit ondragleave ondragover ondragstart ondrop ondurationchange onemptied
		onend onended onerror onfinish onfocus onfocusin onfocusout onformdata onfullscreenchange ongesturestart ongotpointercapture
		onhashchange oninput oninvalid onkeydown onkeypress onkeyup onlanguagechange onload onloadeddata onloadedmetadata onloadend
		onloadstart onlostpointercapture onmessage onmessageerror onmousedown onmouseenter onmouseleave onmousemove onmouseout
		onmouseover onmouseup onmousewheel onmove onoffline ononline onpagehide onpagereveal onpageshow onpageswap onpaste onpause
		onplay onplaying onpointercancel onpointerdown onpointerenter onpointerleave onpointermove onpointerout onpointerover
		onpointerrawupdate onpointerup onpopstate onprogress onpropertychange onratechange onreadystatechange onrejectionhandled
		onrepeat onreset onresize onscroll onscrollend onscrollsnapchange onscrollsnapchanging onsearch onsecuritypolicyviolation
		onseeked onseeking onselect onselectionchange onselectstart onshow onslotchange onstalled onstart onstorage onsubmit
		onsuspend ontimeupdate ontoggle ontouchcancel ontouchend ontouchmove ontouchstart ontransitioncancel ontransitionend
		ontransitionrun ontransitionstart onunhandledrejection onunload onvolumechange onwaiting onwebkitanimationend
		onwebkitanimationiteration onwebkitanimationstart onwebkittransitionend onwheel onzoom
	`)
}
