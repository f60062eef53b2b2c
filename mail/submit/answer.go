package submit

import (
	"context"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
)

// Actions of a draft that answers something; the first three are the API's
// words.
const (
	ActionReply    = "reply"
	ActionReplyAll = "replyAll"
	ActionForward  = "forward"
	// ActionAttach forwards the message as it is, as one attachment.
	ActionAttach = "attach"
	// ActionRewrite starts a new message from the content of another.
	ActionRewrite = "rewrite"
)

// maxReferences bounds the References field (RFC 5322 3.6.4 lets it be cut).
const maxReferences = 50

// answered and passedOn match subjects that say already what they are, in the
// words of common clients. Any word before a colon would be too much:
// "Invoice: May" is not an answer.
var (
	answered = regexp.MustCompile(`(?i)^(re|aw|antw|sv|vs|odp|ynt|rif|res|отв|ответ|回复|答复|回覆)(\[\d+\])?\s?[:：]`)
	passedOn = regexp.MustCompile(`(?i)^(fwd?|wg|tr|rv|enc|doorst|vb|i|转发|轉寄)(\[\d+\])?\s?[:：]`)
)

// maxQuote bounds the quoted original, in bytes.
const maxQuote = 512 << 10

// Answer starts a draft that answers, forwards or rewrites a message. zone
// shows the date in the line above the quoted text.
func (s *Submitter) Answer(ctx context.Context, u mail.User, r Ref, action string, zone *time.Location) (Draft, error) {
	detail, err := s.Store.Message(ctx, u.ID, r.Mailbox, r.UID)
	if err != nil {
		return Draft{}, err
	}
	list, err := s.Store.Addresses(ctx, u.ID)
	if err != nil {
		return Draft{}, err
	}
	switch action {
	case ActionAttach:
		return attach(&detail, r, deliveredTo(&detail, list)), nil
	case ActionRewrite:
		return s.rewrite(ctx, u, &detail, r, list)
	}
	d := Draft{
		Action: action, Reference: r, KeepQuote: true, From: deliveredTo(&detail, list),
		Subject: prefixed(detail.Subject, action),
	}
	d.References = references(&detail)
	text, err := s.wholeText(ctx, u.ID, r)
	if err != nil {
		return Draft{}, err
	}
	d.Quote.Text = cut(text)
	if action == ActionForward {
		d.Quote.Intro = forwardIntro(&detail, zone)
		d.Attachments = forwarded(outer(&detail))
		return d, nil
	}
	d.InReplyTo = detail.MessageID
	d.Quote.Intro = replyIntro(&detail, zone)
	to, cc := answerTo(&detail, list, action == ActionReplyAll)
	d.To, d.Cc = Typed(to), Typed(cc)
	return d, nil
}

// cut keeps whole lines of a huge text.
func cut(text string) string {
	if len(text) <= maxQuote {
		return text
	}
	end := strings.LastIndexByte(text[:maxQuote], '\n')
	if end < 0 {
		return strings.ToValidUTF8(text[:maxQuote], "")
	}
	return text[:end] + "\n[...]"
}

func prefixed(subject, action string) string {
	word, done := "Re: ", answered
	if action == ActionForward {
		word, done = "Fwd: ", passedOn
	}
	if done.MatchString(subject) {
		return subject
	}
	return word + subject
}

// references continues the chain (RFC 5322 3.6.4), keeping the first and the
// newest when it is too long.
func references(d *store.Detail) []string {
	list := append([]string{}, d.References...)
	if d.MessageID != "" {
		list = append(list, d.MessageID)
	}
	if over := len(list) - maxReferences; over > 0 {
		list = append(list[:1], list[over+1:]...)
	}
	return list
}

func isOwn(text string, list []store.AddressRecord) bool {
	a, err := address.Parse(text)
	if err != nil {
		return false
	}
	for _, own := range list {
		if o, err := address.Parse(own.Address); err == nil && o.View() == a.View() {
			return true
		}
	}
	return false
}

// deliveredTo is the own address that the original was sent to, so that an
// answer comes from the address that was written to.
func deliveredTo(d *store.Detail, list []store.AddressRecord) string {
	for _, field := range [][]message.Address{d.To, d.Cc} {
		for _, a := range flatten(field) {
			for _, own := range list {
				if isOwn(a, []store.AddressRecord{own}) {
					return own.Address
				}
			}
		}
	}
	return ""
}

// answerTo: Reply-To or From; with all, the other recipients too, without the
// person's own addresses. Answering an own message goes to its recipients.
func answerTo(d *store.Detail, list []store.AddressRecord, all bool) (to, cc []message.Address) {
	to = d.ReplyTo
	if len(to) == 0 {
		to = []message.Address{d.From}
	}
	if isOwn(d.From.Address, list) && len(d.To) > 0 {
		to = d.To
	}
	if !all {
		return to, nil
	}
	seen := map[string]bool{}
	for _, a := range flatten(to) {
		seen[strings.ToLower(a)] = true
	}
	for _, field := range [][]message.Address{d.To, d.Cc} {
		for _, a := range ungroup(field) {
			key := strings.ToLower(a.Address)
			if key == "" || seen[key] || isOwn(key, list) {
				continue
			}
			seen[key] = true
			cc = append(cc, a)
		}
	}
	return to, cc
}

// ungroup takes the members out of groups (RFC 5322 3.4).
func ungroup(list []message.Address) (out []message.Address) {
	for _, a := range list {
		if a.Group != nil {
			out = append(out, ungroup(a.Group)...)
		} else {
			out = append(out, a)
		}
	}
	return out
}

const introDate = "2 Jan 2006, 15:04"

func dateOf(d *store.Detail, zone *time.Location) string {
	t := d.Date
	if t.IsZero() {
		t = d.InternalDate
	}
	return t.In(zone).Format(introDate)
}

func replyIntro(d *store.Detail, zone *time.Location) string {
	who := d.From.Name
	if who == "" {
		who = d.From.Address
	}
	return "On " + dateOf(d, zone) + ", " + who + " wrote:"
}

func forwardIntro(d *store.Detail, zone *time.Location) string {
	lines := []string{
		"---------- Forwarded message ----------",
		"From: " + Typed([]message.Address{d.From}),
		"Date: " + dateOf(d, zone),
		"Subject: " + d.Subject,
		"To: " + Typed(d.To),
	}
	if len(d.Cc) > 0 {
		lines = append(lines, "Cc: "+Typed(d.Cc))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Typed writes addresses as a person would type them.
func Typed(list []message.Address) string {
	parts := make([]string, 0, len(list))
	for _, a := range list {
		name := strings.Join(strings.FieldsFunc(a.Name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
		switch {
		case a.Group != nil:
			if group := Typed(a.Group); group != "" {
				parts = append(parts, group)
			}
		case a.Address == "":
		case name == "":
			parts = append(parts, a.Address)
		case strings.ContainsAny(name, `,;:<>@"()[]\`):
			parts = append(parts, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)+`" <`+a.Address+">")
		default:
			parts = append(parts, name+" <"+a.Address+">")
		}
	}
	return strings.Join(parts, ", ")
}

// Parsed reads what was typed; what is no address is left out.
func Parsed(text string) []message.Address {
	var out []message.Address
	for _, part := range address.SplitList(text) {
		if name, a, err := address.ParseMailbox(part); err == nil {
			out = append(out, message.Address{Name: name, Address: a.String()})
		}
	}
	return out
}

// checkTyped finds the first entry that is no address.
func checkTyped(d Draft) error {
	for _, f := range []struct{ field, text string }{{"to", d.To}, {"cc", d.Cc}, {"bcc", d.Bcc}} {
		for _, part := range address.SplitList(f.text) {
			if _, _, err := address.ParseMailbox(part); err != nil {
				return &mail.Error{Code: mail.CodeInvalid, Op: "send", Field: f.field, Reason: "format", Err: BadRecipient{part}}
			}
		}
	}
	return nil
}
