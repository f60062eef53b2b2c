package message

import (
	"bytes"
	"strings"
	"testing"
)

func report(r Report) Compose {
	return Compose{
		From: Address{Name: "Mail Delivery System", Address: "mailer-daemon@mx.example"}, To: []Address{{Address: "ann@example.org"}},
		Subject: "Not delivered", Text: "Nobody has this address.", Headers: []HeaderField{{"Auto-Submitted", "auto-replied"}}, Report: &r,
	}
}

func TestBuildReport(t *testing.T) {
	t.Parallel()
	ascii := "From: ann@example.org\r\nSubject: hi\r\n\r\nsecret body\r\n"
	status := [][]HeaderField{
		{{"Reporting-MTA", "dns; mx.example"}},
		{{"Final-Recipient", "rfc822; bob@example.org"}, {"Action", "failed"}, {"Status", "5.1.1"}},
	}
	for name, c := range map[string]struct {
		report Report
		want   string
		shows  bool
	}{
		"status alone": {Report{Type: "delivery-status", Groups: status}, "text/plain message/delivery-status", false},
		"whole":        {Report{Type: "delivery-status", Groups: status, Original: []byte(ascii)}, "text/plain message/delivery-status message/rfc822", true},
		"header":       {Report{Type: "delivery-status", Groups: status, Original: []byte(ascii), HeaderOnly: true}, "text/plain message/delivery-status text/rfc822-headers", false},
		"header in 8 bits": {
			Report{Type: "delivery-status", Groups: status, Original: []byte("From: андрис@example.org\n\nsecret body"), HeaderOnly: true},
			"text/plain message/delivery-status message/global-headers", false,
		},
		"address in 8 bits": {
			Report{Type: "delivery-status", Groups: [][]HeaderField{status[0], {{"Final-Recipient", "utf-8; андрис@example.org"}}}, Original: []byte(ascii)},
			"text/plain message/global-delivery-status message/rfc822", true,
		},
		"long line": {Report{Type: "delivery-status", Groups: status, Original: []byte(ascii + strings.Repeat("x", 2000))}, "text/plain message/delivery-status message/global", false},
		"read":      {Report{Type: "disposition-notification", Groups: status[1:]}, "text/plain message/disposition-notification", false},
	} {
		raw := mustBuild(t, report(c.report))
		var got []string
		for line := range strings.Lines(string(raw)) {
			if kind, ok := strings.CutPrefix(line, "Content-Type: "); ok && !strings.HasPrefix(kind, "multipart/") {
				got = append(got, strings.TrimRight(strings.SplitN(kind, ";", 2)[0], "\r\n"))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: parts %q, want %q", name, got, c.want)
		}
		if bytes.Contains(raw, []byte("secret")) != c.shows {
			t.Errorf("%s: body shown: %v\n%s", name, !c.shows, raw)
		}
		if !bytes.Contains(raw, []byte("report-type="+c.report.Type)) {
			t.Errorf("%s: no report-type\n%s", name, raw)
		}
	}
}

func TestBuildReportRefuses(t *testing.T) {
	t.Parallel()
	for _, r := range []Report{{Type: "weather"}, {Type: "delivery-status", Groups: [][]HeaderField{{{"A b", "c"}}}}} {
		if _, err := Build(report(r)); err == nil {
			t.Errorf("%+v was built", r)
		}
	}
}

// TestBuildForwardedBytes: a message that is attached keeps its bytes also
// where SMTP could not carry its lines.
func TestBuildForwardedBytes(t *testing.T) {
	t.Parallel()
	for _, original := range []string{"Subject: a\r\n\r\nb\r\n", "Subject: ü\r\n\r\nü\r\n", "Subject: a\r\n\r\n" + strings.Repeat("long ", 400) + "\r\n"} {
		raw := mustBuild(t, Compose{From: Address{Address: "a@example.org"}, Attachments: []ComposeAttachment{{Filename: "a.eml", ContentType: "message/rfc822", Data: []byte(original)}}})
		_, body, _ := strings.Cut(string(raw), "a.eml")
		_, body, _ = strings.Cut(body, "\r\n\r\n")
		body, _, _ = strings.Cut(body, "\r\n--=_")
		if strings.Contains(string(raw), "Content-Type: message/global") {
			decoded := new(bytes.Buffer)
			_, _ = decoded.ReadFrom(Decode(strings.NewReader(body), "base64"))
			body = decoded.String()
		}
		if body != original {
			t.Errorf("%q became %q", original, body)
		}
	}
}

func TestBuildFlowed(t *testing.T) {
	t.Parallel()
	text := "Long " + strings.Repeat("words go on ", 20) + "end\n> quoted\n-- \nAnn"
	raw := mustBuild(t, Compose{From: Address{Address: "a@example.org"}, Text: text, Flowed: true})
	if !bytes.Contains(raw, []byte("format=flowed")) {
		t.Errorf("not flowed:\n%s", raw)
	}
	for line := range bytes.Lines(raw) {
		if len(line) > 80 {
			t.Errorf("long line %q", line)
		}
	}
	if got := strings.TrimSpace(strings.ReplaceAll(Parse(raw).Text, "\r\n", "\n")); got != text {
		t.Errorf("read back %q", got)
	}
}
