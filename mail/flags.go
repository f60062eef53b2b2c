package mail

import "strings"

// HasFlag reports whether the list holds the flag. RFC 9051 2.3.2: flags are
// compared without regard to case.
func HasFlag(flags []Flag, f Flag) bool {
	for _, have := range flags {
		if strings.EqualFold(string(have), string(f)) {
			return true
		}
	}
	return false
}

// WithFlag returns flags with f added, or flags itself when it is there.
func WithFlag(flags []Flag, f Flag) []Flag {
	if HasFlag(flags, f) {
		return flags
	}
	return append(flags[:len(flags):len(flags)], f)
}

// WithoutFlag returns a copy of flags in which f does not occur.
func WithoutFlag(flags []Flag, f Flag) []Flag {
	out := make([]Flag, 0, len(flags))
	for _, have := range flags {
		if !strings.EqualFold(string(have), string(f)) {
			out = append(out, have)
		}
	}
	return out
}
