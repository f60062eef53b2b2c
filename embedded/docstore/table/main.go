// Table writes the lists of what the document engine serves into its page of
// documentation, between the marks.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/eidermail/eider/embedded/docstore"
)

const (
	begin = "<!-- made by go generate ./embedded/docstore: begin -->\n"
	end   = "<!-- end -->"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	old, err := os.ReadFile(path) //nolint:gosec // the page that go generate names
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	page, err := fill(old)
	if err != nil {
		return err
	}
	return os.WriteFile(path, page, 0o644) //nolint:gosec // a page of documentation
}

// fill puts the lists between the marks of a page.
func fill(page []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(page, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, errors.New("the page lacks the marks")
	}
	return bytes.Join([][]byte{head, []byte(begin), []byte(lists()), []byte(end), tail}, nil), nil
}

func lists() string {
	var b strings.Builder
	b.WriteString("\n### Commands\n\n| Command | Fields |\n|--|--|\n")
	for _, c := range docstore.Commands() {
		name := code(c.Name)
		if len(c.Aliases) > 0 {
			name += " (" + codes(c.Aliases) + ")"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, fields(c))
	}
	b.WriteString("\n### Operators and the rest\n\n| Kind | Served |\n|--|--|\n")
	for _, s := range docstore.Served() {
		fmt.Fprintf(&b, "| %s | %s |\n", s.Kind, codes(s.Names))
	}
	b.WriteString("\n### Limits\n\n| What | At most |\n|--|--|\n")
	for _, l := range docstore.Limits() {
		fmt.Fprintf(&b, "| %s | %s |\n", l[0], l[1])
	}
	b.WriteString("\n")
	return b.String()
}

func fields(c docstore.ServedCommand) string {
	var list []string
	for _, f := range c.Fields {
		text := code(f.Name)
		switch {
		case f.Required:
			text += " (required)"
		case f.Refusal != 0:
			text += " (only false or empty)"
		}
		list = append(list, text)
	}
	if c.Open {
		list = append(list, "any")
	}
	return strings.Join(list, ", ")
}

func code(s string) string { return "`" + s + "`" }

func codes(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = code(s)
	}
	return strings.Join(out, " ")
}
