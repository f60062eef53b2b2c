package safehtml_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/eidermail/eider/mail/message/safehtml"
	"github.com/eidermail/eider/mail/message/safehtml/attacktest"
)

const (
	imagePath = "/image?src="
	partPath  = "/part/"
)

var attackOptions = attacktest.Options{Canary: "top.postMessage(7331,String.fromCharCode(42))", Remote: "http://remote.evil.example/hit"}

// open shows everything that it may: what passes then passes the strictest eye.
func open() safehtml.Options {
	return safehtml.Options{
		Cid:   func(cid string) (string, bool) { return partPath + url.PathEscape(cid), true },
		Image: func(u string) string { return imagePath + url.QueryEscape(u) },
	}
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	samples, err := attacktest.Load("testdata/attacks", attackOptions)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) < 400 {
		t.Fatalf("%d samples: the corpus is not whole", len(samples))
	}
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			for name, o := range map[string]safehtml.Options{"open": open(), "closed": {}} {
				r := safehtml.Sanitize(s.Parts, o)
				if r.TooBig {
					t.Errorf("%s: an ordinary size is refused", name)
				}
				for _, problem := range problems(r, name == "open") {
					t.Errorf("%s: %s\nHTML %s\nStyle %s", name, problem, r.HTML, r.Style)
				}
			}
			again(t, s.Parts)
		})
	}
}

// again checks that a second pass over the result changes nothing.
func again(t *testing.T, parts []string) {
	t.Helper()
	first := safehtml.Sanitize(parts, safehtml.Options{})
	if first.TooBig {
		return
	}
	second := safehtml.Sanitize([]string{"<style>" + first.Style + "</style>" + first.HTML}, safehtml.Options{})
	if second.HTML != first.HTML || second.Style != first.Style || second.TooBig {
		t.Errorf("not stable\n1 %q\n2 %q\n1 %q\n2 %q", first.HTML, second.HTML, first.Style, second.Style)
	}
}

// The lists below are the test's own. They are not those of the package.
var (
	allowedElements = words(`a abbr acronym address article aside b bdi bdo big blockquote br caption center cite code col
		colgroup dd del details dfn dir div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main
		mark menu nav ol p pre q rp rt ruby s samp section small span strike strong sub summary sup table tbody td tfoot th thead
		time tr tt u ul var wbr`)
	allowedAttributes = words(`abbr align alt aria-hidden aria-label bgcolor border bordercolor cellpadding cellspacing class clear
		color colspan datetime dir face frame height hidden href hspace id lang noshade nowrap open rel reversed role rowspan rules
		scope size span src start style summary target title type valign value vspace width`)
	cssURL = regexp.MustCompile(`url\("([^"]*)"\)`)
	// What no style may hold, once its strings are taken out.
	badCSS = regexp.MustCompile(`(?i)@import|@font-face|@namespace|@keyframes|@layer|@page|@charset|@supports|expression|behavior|` +
		`binding|fixed|sticky|absolute|var\(|attr\(|image-set|cross-fade|element\(|env\(|javascript|cursor|content:|animation|` +
		`transition|filter|:visited|::|\[|\\|<|--|vh\b`)
	cssStrings = regexp.MustCompile(`"[^"]*"`)
)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// problems reads the complete document as a browser would and lists what must
// not be there.
func problems(r safehtml.Result, open bool) (list []string) {
	if r.TooBig {
		if r.HTML != "" || r.Style != "" {
			list = append(list, "content of a refused message")
		}
		return list
	}
	doc, err := html.Parse(strings.NewReader(string(safehtml.Document(r, safehtml.DocumentOptions{}))))
	if err != nil {
		return []string{err.Error()}
	}
	body := doc.LastChild.LastChild
	if body.FirstChild == nil || body.FirstChild.NextSibling != nil || body.FirstChild.Data != "div" {
		list = append(list, "not one root")
	}
	if strings.Contains(strings.ToLower(r.Style), "</style") {
		list = append(list, "end of the style element")
	}
	list = append(list, cssProblems(r.Style, open)...)
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch c.Type {
			case html.TextNode:
			case html.ElementNode:
				if c.Namespace != "" || !allowedElements[c.Data] {
					list = append(list, "element "+c.Namespace+" "+c.Data)
				}
				for _, a := range c.Attr {
					list = append(list, attributeProblems(c.Data, a, open)...)
				}
			default:
				list = append(list, "node that is neither text nor element")
			}
			walk(c)
		}
	}
	walk(body)
	return list
}

func attributeProblems(element string, a html.Attribute, open bool) (list []string) {
	if a.Namespace != "" || !allowedAttributes[a.Key] {
		return []string{"attribute " + a.Key + " of " + element}
	}
	switch a.Key {
	case "href":
		u, err := url.Parse(a.Val)
		if err != nil || element != "a" || u.User != nil ||
			u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "mailto" && u.Scheme != "tel" {
			list = append(list, "link to "+a.Val)
		}
	case "src":
		if element != "img" || !ownAddress(a.Val, open) {
			list = append(list, "image from "+a.Val)
		}
	case "id":
		if !strings.HasPrefix(a.Val, "m-") {
			list = append(list, "id "+a.Val)
		}
	case "class":
		for _, c := range strings.Fields(a.Val) {
			if !strings.HasPrefix(c, "m-") && !strings.HasPrefix(c, "eider-") {
				list = append(list, "class "+c)
			}
		}
	case "target":
		if a.Val != "_blank" {
			list = append(list, "target "+a.Val)
		}
	case "style":
		list = append(list, cssProblems(a.Val, open)...)
	}
	return list
}

func ownAddress(u string, open bool) bool {
	if strings.HasPrefix(u, "data:image/") && !strings.HasPrefix(u, "data:image/svg") {
		return true
	}
	return open && (strings.HasPrefix(u, imagePath) || strings.HasPrefix(u, partPath))
}

func cssProblems(text string, open bool) (list []string) {
	for _, m := range cssURL.FindAllStringSubmatch(text, -1) {
		if !ownAddress(m[1], open) {
			list = append(list, "style loads "+m[1])
		}
	}
	bare := cssStrings.ReplaceAllString(cssURL.ReplaceAllString(text, "none"), "x")
	if m := badCSS.FindString(bare); m != "" || strings.Contains(bare, "url(") {
		list = append(list, "style holds "+m+": "+bare)
	}
	return list
}

// TestAttackHeaders: a header's value is no more than text in the document's title.
func TestAttackHeaders(t *testing.T) {
	t.Parallel()
	values, err := attacktest.Headers("testdata/attacks/headers.txt", attackOptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		d := safehtml.Document(safehtml.Sanitize([]string{"<p>" + html.EscapeString(v)}, open()), safehtml.DocumentOptions{Title: v, Lang: v})
		doc, err := html.Parse(strings.NewReader(string(d)))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]int{}
		for n := range doc.Descendants() {
			if n.Type == html.ElementNode {
				names[n.Data]++
				for _, a := range n.Attr {
					if strings.HasPrefix(a.Key, "on") {
						t.Errorf("%q: attribute %s", v, a.Key)
					}
				}
			}
		}
		if names["script"]+names["img"]+names["svg"] != 0 || names["title"] != 1 || names["p"] != 1 {
			t.Errorf("%q: elements %v", v, names)
		}
		r := safehtml.Sanitize([]string{v}, open())
		for _, p := range problems(r, true) {
			t.Errorf("%q as HTML: %s", v, p)
		}
	}
}
