// Command bench measures what users feel: pages at growing mailbox sizes,
// durable deliveries, page weight, the way from a delivery to a row on the
// screen, memory at rest, the store by itself, look-ups and writes of the
// embedded store. Each figure stands beside its goal or beside a
// baseline measured in the same run, because machines differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// report prints one line of the result.
type report struct{ w io.Writer }

func (r report) line(name, value, goal string) {
	_, _ = fmt.Fprintf(r.w, "%-46s %-34s %s\n", name, value, goal)
}

func (r report) section(title string) { _, _ = fmt.Fprintf(r.w, "\n%s\n", title) }

func main() {
	most := flag.Int("messages", 100_000, "size of the largest mailbox")
	seconds := flag.Int("seconds", 5, "length of the delivery load")
	only := flag.String("only", "", "run one part: memory, delivery, bulk, pages, store, docstore, search, browser; also as the argument")
	documents := flag.Int("documents", 100_000, "messages in the embedded store; 1000000 takes ten minutes")
	var sizes storeSizes
	mailboxes := flag.String("mailboxes", "10000,100000", "store: sizes of the mailbox, rising; up to 1000000")
	flag.IntVar(&sizes.imported, "import", 250_000, "store: messages of the import")
	flag.IntVar(&sizes.rounds, "rounds", 100, "store: calls of each operation")
	flag.StringVar(&sizes.dir, "keep", "", "store: folder that keeps the filled mailboxes for the next run")
	flag.StringVar(&sizes.parts, "store", "deliveries,operations,import", "store: what is measured")
	var account searchSizes
	flag.IntVar(&account.letters, "letters", 200_000, "search: messages of the account that is searched")
	flag.IntVar(&account.rounds, "searches", 40, "search: searches of each kind, cold and warm; 0 only fills the account")
	flag.StringVar(&account.kinds, "kinds", "", "search: a part of the names of the kinds that are measured")
	flag.BoolVar(&account.share, "share", true, "search: measure first what indexing costs a delivery")
	flag.StringVar(&account.account, "account", "", "search: a folder that keeps the account for the next run")
	bulk := flag.Int("bulk", 10_000, "messages of the bulk operations")
	var p profiles
	p.flags()
	flag.Parse()
	var err error
	if sizes.mailboxes, err = parseSizes(*mailboxes); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	sizes.seconds = time.Duration(*seconds) * time.Second
	if flag.NArg() > 0 {
		*only = flag.Arg(0)
	}
	r := report{os.Stdout}
	parts := []struct {
		name string
		run  func(context.Context, report) error
	}{
		{"memory", memoryAtRest},
		{"delivery", func(ctx context.Context, r report) error {
			return deliveries(ctx, r, time.Duration(*seconds)*time.Second, &p)
		}},
		{"bulk", func(ctx context.Context, r report) error { return bulks(ctx, r, *bulk) }},
		{"pages", func(ctx context.Context, r report) error { return pages(ctx, r, *most) }},
		{"store", func(ctx context.Context, r report) error { return storeFigures(ctx, r, sizes) }},
		{"docstore", func(ctx context.Context, r report) error { return embeddedStore(ctx, r, *documents) }},
		{"search", func(ctx context.Context, r report) error { return searches(ctx, r, account) }},
		{"browser", inBrowser},
	}
	for _, part := range parts {
		if *only != "" && *only != part.name {
			continue
		}
		stop, err := p.start()
		if err == nil {
			err = errors.Join(part.run(context.Background(), r), stop())
		}
		if err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "bench: %s: %v\n", part.name, err)
			harness.RemoveBinary()
			os.Exit(1)
		}
	}
	harness.RemoveBinary()
}

// sample is a set of measured times.
type sample []time.Duration

func (s sample) percentile(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}

func (s sample) String() string {
	return fmt.Sprintf("p50 %s  p95 %s", round(s.percentile(.5)), round(s.percentile(.95)))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
