package safehtml_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail/message/safehtml"
	"github.com/eidermail/eider/mail/message/safehtml/attacktest"
)

// body is what Sanitize puts around content.
func body(s string) string {
	return `<div class="eider-mail"><div class="eider-body">` + s + `</div></div>`
}

func TestSanitize(t *testing.T) {
	t.Parallel()
	const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	const rel = ` target="_blank" rel="noopener noreferrer nofollow"`
	tests := []struct{ name, in, want string }{
		{"text", "a &lt;b&gt; &amp; c", "a &lt;b&gt; &amp; c"},
		{"nothing", "", ""},
		{"names", `<p id="x y" class="a b:c m-d">x</p>`, `<p class="m-a m-b_3ac m-d" id="m-x_20y">x</p>`},
		{"image proxied", `<img src="HTTP://A.example/x.png?a=1&amp;b" alt="A">`, `<img alt="A" src="/image?src=http%3A%2F%2Fa.example%2Fx.png%3Fa%3D1%26b"/>`},
		{"image protocol relative", `<img src=//a.example/x.png>`, `<img src="/image?src=https%3A%2F%2Fa.example%2Fx.png"/>`},
		{"image part", `<img src="cid:a@b" width=10 height="50%">`, `<img width="10" height="50%" src="/part/a@b"/>`},
		{"image attachment", `<img src="attachment:ATT00001">`, `<img src="/part/ATT00001"/>`},
		{"image data", `<img src="data:image/png;base64,` + png + `">`, `<img src="data:image/png;base64,` + png + `"/>`},
		{"image relative", `<img src="x.png" alt=x>`, `<img class="eider-blocked" alt="x"/>`},
		{"tracker", `a<img src=http://a.example/x width=1 height=1>b`, "ab"},
		{"link", `<a href=" https://a.example/x ">y</a>`, `<a href="https://a.example/x"` + rel + `>y</a>`},
		{"link relative", `<a href="/x">y</a>`, `<a>y</a>`},
		{"link mailto", `<a href="mailto:a@b.example?subject=x y">y</a>`, `<a href="mailto:a@b.example?subject=x%20y"` + rel + `>y</a>`},
		{"link tel", `<a href="tel:+4312345">y</a>`, `<a href="tel:+4312345"` + rel + `>y</a>`},
		{"link user name", `<a href="http://bank.com@e.example/">y</a>`, `<a href="http://e.example/"` + rel + `>y</a>`},
		{"body colours", `<body bgcolor="#eee" text=navy style="margin:0"><p>x`, ``},
		{"body background", `<body background=http://a.example/b.png>x`, ``},
		{
			"declarations", `<p style="COLOR: Red ; position:fixed; width: 10PX;font:12px/1.5 'A B',serif">x</p>`,
			`<p style="color:Red;width:10px;font:12px / 1.5 &#34;A B&#34;,serif">x</p>`,
		},
		{
			"cells", `<table cellpadding=0 border=0 align=center><tr><td colspan=2 nowrap bgcolor=#ffffff onclick=x>x`,
			`<table cellpadding="0" border="0" align="center"><tbody><tr><td colspan="2" nowrap="" bgcolor="#ffffff">x</td></tr></tbody></table>`,
		},
		{"unwrapped", `<form><center><o:p>a</o:p><button>b</button></center></form>`, `<center>ab</center>`},
		{"form controls", `a<input value=x><select><option>y</select><textarea>z</textarea>b`, "ab"},
		{"pre", "<pre>\n\n a</pre>", "<pre>\n\n a</pre>"},
		{"paragraphs", `<p><button><p>x</p></button>y</p>`, `<p></p><p>x</p>y<p></p>`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := safehtml.Sanitize([]string{tt.in}, open())
			want := body(tt.want)
			switch tt.name {
			case "nothing":
			case "body colours":
				want = `<div class="eider-mail"><div class="eider-body" style="background-color:#eee;color:navy;margin:0"><p>x</p></div></div>`
			case "body background":
				want = `<div class="eider-mail"><div class="eider-body" style="background-image:url(&#34;/image?src=http%3A%2F%2Fa.example%2Fb.png&#34;)">x</div></div>`
			}
			if got.HTML != want {
				t.Errorf("\ngot  %s\nwant %s", got.HTML, want)
			}
		})
	}
}

func TestStyle(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"scope", "p,.a > #b{color:red}", ".eider-mail p,.eider-mail .m-a>#m-b{color:red}"},
		{"root and body", "html{color:red}body{margin:0}html>body.x td{color:red}", ".eider-mail{color:red}.eider-mail .eider-body{margin:0}.eider-mail .eider-body.m-x td{color:red}"},
		{"media", "@media only screen and (max-width: 600px), print{.a{width:100%!important}}", "@media only screen and (max-width:600px){.eider-mail .m-a{width:100% !important}}"},
		{"dark", "@media (prefers-color-scheme:dark){p{color:#fff}}", "@media (prefers-color-scheme:dark){.eider-mail p{color:#fff}}"},
		{"bad selector alone", "a[href],p{color:red}", ".eider-mail p{color:red}"},
		{"url", "p{background:#fff url( 'http://a.example/x.png' ) no-repeat}", `.eider-mail p{background:#fff url("/image?src=http%3A%2F%2Fa.example%2Fx.png") no-repeat}`},
		{"escapes", `p{c\6flor:r\65 d}`, ".eider-mail p{color:red}"},
		{
			"functions", "p{color:RGBA(0, 0,0,.5);width:calc( 100% - (2px*3) );background:linear-gradient(to right,red 0%,#00f)}",
			".eider-mail p{color:rgba(0,0,0,.5);width:calc(100% - (2px * 3));background:linear-gradient(to right,red 0%,#00f)}",
		},
		{"recovery", "p{color:red;;x:y;width}b{}i{margin:0 auto}", ".eider-mail p{color:red}.eider-mail i{margin:0 auto}"},
		{"comment tokens", "<!-- p{color:red} -->", ".eider-mail p{color:red}"},
		{"string", `p{font-family:"a<b;c"}`, `.eider-mail p{font-family:"a\3c b\3b c"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := safehtml.Sanitize([]string{"<style>" + tt.in + "</style>x"}, open())
			if got.Style != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got.Style, tt.want)
			}
			if got.OwnDark != (tt.name == "dark") {
				t.Errorf("OwnDark is %v", got.OwnDark)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	in := `<body background=http://a.example/1.png><style>p{background:url(http://a.example/2.png)}</style>
		<img src=http://a.example/3.png width=20><img src=http://a.example/4.gif width=1 height=1>
		<img src="https://x.list-manage.com/track/open.php?u=1"><img src=cid:a><p><button><p style="background:url(http://a.example/5.png)">x`
	closed := safehtml.Sanitize([]string{in}, safehtml.Options{})
	if closed.Blocked != 4 || closed.Trackers != 2 {
		t.Errorf("closed: blocked %d trackers %d, want 4 and 2", closed.Blocked, closed.Trackers)
	}
	shown := safehtml.Sanitize([]string{in}, open())
	if shown.Blocked != 0 || shown.Trackers != 2 {
		t.Errorf("open: blocked %d trackers %d, want 0 and 2", shown.Blocked, shown.Trackers)
	}
}

// TestMappings: what the page's own functions answer is checked as well.
func TestMappings(t *testing.T) {
	t.Parallel()
	echo := safehtml.Options{
		Cid:    func(cid string) (string, bool) { return cid, true },
		Image:  func(string) string { return "javascript:1" },
		Mailto: func(string) string { return "/compose?to=x" },
	}
	r := safehtml.Sanitize([]string{`<img src="cid:javascript:1"><img src=http://a.example/x><a href=mailto:a@b.example>y</a><p><button><p>z`}, echo)
	if strings.Contains(r.HTML, "javascript") || !strings.Contains(r.HTML, `href="/compose?to=x"`) {
		t.Error(r.HTML)
	}
}

func TestLinkWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		href, text string
		warn       bool
	}{
		{"http://evil.example/", "https://www.bank.com/login", true},
		{"http://evil.example/", "www.bank.com", true},
		{"http://evil.example/", "bank.com", true},
		{"http://evil.example/", "see https://bank.com now", true},
		{"http://evil.example/", "<b>bank</b><i>.com</i>", true},
		{"http://evil.example/", "ba\u200bnk.com", true},
		{"http://bank.com.evil.example/", "bank.com", true},
		{"http://evil.co.uk/", "bank.co.uk", true},
		{"https://www.xn--80ak6aa92e.com/", "Apple", true},
		{"https://pаypal.com/", "Pay", true}, // a Cyrillic letter
		{"https://login.bank.com/x", "https://www.bank.com", false},
		{"https://bank.com/", "Bank.com.", false},
		{"https://bücher.example/", "Bücher", false},
		{"https://президент.рф/", "сайт", false},
		{"http://evil.example/", "Click here", false},
		{"http://evil.example/", "a@bank.com", false},
		{"http://evil.example/", "e.g. this", false},
		{"mailto:a@b.example", "www.bank.com", false},
	}
	for _, tt := range tests {
		r := safehtml.Sanitize([]string{`<a class=x title="trust me" href="` + tt.href + `">` + tt.text + `</a>`}, safehtml.Options{})
		if got := strings.Contains(r.HTML, `<a class="eider-warn m-x" title="`+"\u26a0 "); got != tt.warn {
			t.Errorf("%s as %s: warn %v, want %v\n%s", tt.href, tt.text, got, tt.warn, r.HTML)
		}
	}
}

// TestLimits: cost is bounded by counting, so the test counts too.
func TestLimits(t *testing.T) {
	t.Parallel()
	rep := strings.Repeat
	tests := []struct {
		name, in string
		tooBig   bool
		keeps    string // text that stays
	}{
		{"a million nested tags", rep("<div>", 1_000_000) + "x", true, ""},
		{"ten thousand nested tags", rep("<div>", 10_000) + "kept" + rep("</div>", 10_000), false, "kept"},
		{"ten thousand nested anchors", rep("<a href=http://a.example/>", 10_000) + "kept", false, "kept"},
		{"ten thousand formatting elements", rep("<b><i><u><font color=red>", 2_500) + "kept", false, "kept"},
		{"formatting in every paragraph", rep("<p><b id=x1><i class=x2>a", 5_000) + "kept", false, "kept"},
		{"nested tables", rep("<table><tr><td>", 3_000) + "kept", false, "kept"},
		{"nested svg", rep("<svg><g>", 5_000) + "</svg>", false, ""},
		{"open paragraphs", rep("<p>a", 20_000) + "kept", false, "kept"},
		{"open list items", "<ul>" + rep("<li>a", 20_000) + "kept", false, "kept"},
		{"a hundred thousand attributes", "<p" + attributes(100_000) + ">kept</p><b" + attributes(100_000) + ">x</b>", false, "kept"},
		{"one attribute many times", "<p" + rep(" class=a", 100_000) + ">kept", false, "kept"},
		{"many class names", `<p class="` + rep("a ", 1_000_000) + `">kept`, false, "kept"},
		{"5 MB of style", "<style>" + rep("p{color:red}", 450_000) + "</style>kept", false, "kept"},
		{"selectors without end", "<style>" + rep("p,", 200_000) + "p{color:red}</style>kept", false, "kept"},
		{"brackets without end", "<style>" + rep("p{width:calc(", 40_000) + "</style>kept", false, "kept"},
		{"media without end", "<style>" + rep("@media screen{", 30_000) + "</style>kept", false, "kept"},
		{"urls without end", "<style>" + rep("p{background:url(", 30_000) + "</style>kept", false, "kept"},
		{"5 MB of style attribute", `<p style="` + rep("color:red;", 500_000) + `">kept`, false, "kept"},
		{"too many nodes", rep("<br>", 60_000), true, ""},
		{"too much text", rep("x", 3<<20), true, ""},
		{"too much input", rep("x", 17<<20), true, ""},
		{"comments", rep("<!---->", 500_000) + "kept", false, "kept"},
		{"open angles", rep("<", 1_000_000) + "kept", false, "kept"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := safehtml.Sanitize([]string{tt.in}, safehtml.Options{})
			if tt.name == "open angles" {
				// Each one is four characters in the output.
				tt.tooBig, tt.keeps = true, ""
			}
			if r.TooBig != tt.tooBig {
				t.Fatalf("TooBig is %v", r.TooBig)
			}
			if !strings.Contains(r.HTML, tt.keeps) {
				t.Errorf("the text is lost: %.200s", r.HTML)
			}
			checkSize(t, r)
		})
	}
}

func attributes(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(" a")
		for d := i; d > 0; d /= 26 {
			s.WriteByte(byte('a' + d%26))
		}
		s.WriteString("=1")
	}
	return s.String()
}

func checkSize(t *testing.T, r safehtml.Result) {
	t.Helper()
	if len(r.HTML)+len(r.Style) > safehtml.MaxOutput || len(r.Style) > safehtml.MaxStyle {
		t.Errorf("%d bytes of HTML, %d of style", len(r.HTML), len(r.Style))
	}
	doc, err := html.Parse(strings.NewReader(r.HTML))
	if err != nil {
		t.Fatal(err)
	}
	nodes := 0
	var deepest func(n *html.Node) int
	deepest = func(n *html.Node) int {
		most := 0
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			nodes++
			most = max(most, deepest(c))
		}
		return most + 1
	}
	// The document, html, body and the last text stand beside the counted elements.
	if d := deepest(doc); d > safehtml.MaxDepth+4 {
		t.Errorf("depth %d", d)
	}
	if nodes > safehtml.MaxNodes+4 {
		t.Errorf("%d nodes", nodes)
	}
}

// TestLinearAllocation: twice the input may cost about twice the memory.
func TestLinearAllocation(t *testing.T) {
	shapes := map[string]string{
		"paragraphs": "<p class=a style='color:red'>x <b>y</b></p>",
		"open":       "<p><b><i>x",
		"tables":     "<table><tr><td>x</table>",
		"styles":     "<style>p{color:red}</style>",
		"broken":     "<a <b c='<d>\"",
		"entities":   "&lt;&#x41;&",
	}
	for name, shape := range shapes {
		cost := func(n int) float64 {
			in := []string{strings.Repeat(shape, n)}
			return testing.AllocsPerRun(1, func() { safehtml.Sanitize(in, safehtml.Options{}) })
		}
		small, large := cost(500), cost(2000)
		if large > 6*small+1000 {
			t.Errorf("%s: %.0f allocations for 500, %.0f for 2000", name, small, large)
		}
	}
}

// TestChecksCanFail shows that problems sees what it is there to see.
func TestChecksCanFail(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`<script>1</script>`, `<svg></svg>`, `<img onerror=x>`, `<img src=http://a.example/x>`, `<a href=javascript:1>x</a>`,
		`<p style="background:url(http://a.example/x)">`, `<p style='background:url("http://a.example/x")'>`, `<p style="position:fixed">`,
		`<p id=x>`, `<p class=x>`, `<form>`, `<iframe>`, `<!--x-->`, `</div><p>`, `<a target=_top>`, `<math>`, `<p srcset=x>`,
	} {
		if len(problems(safehtml.Result{HTML: `<div>` + in + `</div>`}, true)) == 0 {
			t.Errorf("%s raises nothing", in)
		}
	}
	if len(problems(safehtml.Result{HTML: "<div></div>", Style: "</style><p>"}, true)) == 0 {
		t.Error("the end of a style element raises nothing")
	}
}

func FuzzSanitize(f *testing.F) {
	samples, err := attacktest.Load("testdata/attacks", attackOptions)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range samples {
		f.Add(strings.Join(s.Parts, "\x01"))
	}
	f.Fuzz(func(t *testing.T, in string) {
		parts := strings.Split(in, "\x01")
		for _, p := range problems(safehtml.Sanitize(parts, open()), true) {
			t.Error(p)
		}
		again(t, parts)
	})
}

func FuzzCSS(f *testing.F) {
	samples, err := attacktest.Load("testdata/attacks", attackOptions)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range samples {
		if strings.HasPrefix(s.Name, "09-css") {
			f.Add(s.Parts[0])
		}
	}
	f.Add(`p{c\6flor:r\65 d}@media screen and (min-width:1px){a>b~c+d,.x\:y{margin:-1px auto!important}}`)
	f.Fuzz(func(t *testing.T, in string) {
		for _, parts := range [][]string{{"<style>" + in + "</style>x"}, {`<p style="` + html.EscapeString(in) + `">x</p>`}} {
			for _, p := range problems(safehtml.Sanitize(parts, open()), true) {
				t.Error(p)
			}
			again(t, parts)
		}
	})
}
