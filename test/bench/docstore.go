package main

import (
	"context"

	"github.com/eidermail/eider/embedded/docstore/storebench"
)

// embeddedStore measures the document engine at a size, beside bare SQLite.
func embeddedStore(ctx context.Context, r report, messages int) error {
	r.section("Embedded store, beside prepared SQLite statements for the same rows")
	return storebench.Run(ctx, messages, r.line)
}
