// Package templates is the look of Eider's webmail: templ components and the
// view models that fill them. It imports nothing of ours but static and calls
// nothing that waits.
//
// A page component writes a whole document; a fragment component writes the
// named regions of the same page (elements with the ids sidebar, list, reader,
// dock, toast, compose), made by the very same inner components, so that a
// partial update and a full page never differ.
//
// No component writes a style attribute, an inline handler or an inline
// script: the content policy forbids them. All text of users goes through
// templ's escaping and stands in <bdi> or an element with dir="auto".
package templates
