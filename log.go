package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/eidermail/eider/config"
)

// newLogger writes text on a terminal and JSON elsewhere, unless told which.
func newLogger(w io.Writer, c config.Config) *slog.Logger {
	var level slog.Level
	// Validate has seen to it that the name is one of slog's.
	_ = level.UnmarshalText([]byte(c.LogLevel))
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" || c.LogFormat == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
