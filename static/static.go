// Package static holds the files of the webmail: style sheet, script and
// icon. They are part of the binary, have a name with a hash of their content,
// and are compressed once.
package static
