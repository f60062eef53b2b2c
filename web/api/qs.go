package api

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of nested names in a query or form, as WildDuck's parser has them.
const (
	maxDepth = 5
	maxPairs = 1000
	maxArray = 20
)

var errTooMany = errors.New("too many parameters")

// nested is a value of a form on its way to JSON's types.
type nested struct {
	// leaves are plain values under this name.
	leaves []string
	// inner are named and numbered members, order their order of appearance.
	inner map[string]*nested
	order []string
	// appended counts members without a number: a[].
	appended int
}

// nest turns a query or a form into JSON's types: a=x&a=y and a[]=x become
// lists, a.b=x and a[b]=x objects, a[0][b]=x lists of objects.
func nest(form url.Values) (map[string]any, error) {
	root := &nested{}
	pairs := 0
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	// The order of different names is not known any more; a fixed one keeps
	// answers the same.
	slices.Sort(names)
	for _, name := range names {
		if pairs += len(form[name]); pairs > maxPairs {
			return nil, errTooMany
		}
		path := pathOf(name)
		for _, text := range form[name] {
			root.add(path, text)
		}
	}
	out := make(map[string]any, len(root.order))
	for _, name := range root.order {
		out[name] = root.inner[name].value()
	}
	return out, nil
}

// pathOf splits a[b][c] and a.b.c. What lies deeper than the limit stays one
// name, and so does a name with unmatched brackets.
func pathOf(name string) []string {
	end := strings.IndexAny(name, "[.")
	if end <= 0 {
		return []string{name}
	}
	path, rest := []string{name[:end]}, name[end:]
	for rest != "" {
		if len(path) > maxDepth {
			return append(path, rest)
		}
		part := ""
		switch rest[0] {
		case '[':
			stop := strings.IndexByte(rest, ']')
			if stop < 0 {
				return []string{name}
			}
			part, rest = rest[1:stop], rest[stop+1:]
		case '.':
			stop := strings.IndexAny(rest[1:], "[.")
			if stop < 0 {
				stop = len(rest) - 1
			}
			part, rest = rest[1:stop+1], rest[stop+1:]
		default:
			return []string{name}
		}
		path = append(path, part)
	}
	return path
}

func (n *nested) add(path []string, text string) {
	if len(path) == 0 {
		n.leaves = append(n.leaves, text)
		return
	}
	name := path[0]
	if name == "" && n.leavesOnly() {
		name = strconv.Itoa(n.appended)
		n.appended++
	}
	if n.inner == nil {
		n.inner = map[string]*nested{}
	}
	next := n.inner[name]
	if next == nil {
		next = &nested{}
		n.inner[name] = next
		n.order = append(n.order, name)
	}
	next.add(path[1:], text)
}

// leavesOnly reports that an empty name means the next number, not a member
// whose name is empty.
func (n *nested) leavesOnly() bool { return n.inner == nil || n.appended > 0 }

// value is the JSON form. Leaves and members under one name (a=x&a[b]=y) are
// an odd mix; the members win.
func (n *nested) value() any {
	if n.inner == nil {
		if len(n.leaves) == 1 {
			return n.leaves[0]
		}
		list := make([]any, len(n.leaves))
		for i, text := range n.leaves {
			list[i] = text
		}
		return list
	}
	if list, ok := n.list(); ok {
		return list
	}
	out := make(map[string]any, len(n.order))
	for _, name := range n.order {
		out[name] = n.inner[name].value()
	}
	return out
}

// list is the members as a list when all are numbers within the limit, or
// were appended. Gaps close.
func (n *nested) list() ([]any, bool) {
	type member struct {
		at   int
		name string
	}
	members := make([]member, 0, len(n.order))
	for _, name := range n.order {
		at, err := strconv.Atoi(name)
		if err != nil || strconv.Itoa(at) != name || at < 0 || (at > maxArray && n.appended == 0) {
			return nil, false
		}
		members = append(members, member{at, name})
	}
	slices.SortFunc(members, func(a, b member) int { return a.at - b.at })
	out := make([]any, len(members))
	for i, m := range members {
		out[i] = n.inner[m.name].value()
	}
	return out, true
}
