package message

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes property tests draw thousands of cases; -rapid.checks on the
// command line still decides.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
