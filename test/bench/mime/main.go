// Command mime measures mail/message beside Go's own packages,
// emersion/go-message and jhillyerd/enmime, on the same messages in the same
// run, and what bombs cost it. It is a module of its own, so that Eider does
// not depend on what it is compared with.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	only := flag.String("only", "", "run one part: parsers, bombs")
	flag.Parse()
	if *only != "bombs" {
		if err := parsers(); err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "bench: %v\n", err)
			os.Exit(1)
		}
	}
	if *only != "parsers" {
		bombs()
	}
}

func line(name, value, goal string) { fmt.Printf("%-34s %-52s %s\n", name, value, goal) }

// cost is what one call takes.
type cost struct {
	time   time.Duration
	allocs uint64
	bytes  uint64
}

// measure calls each for a while and gives the mean of its best round. Rounds
// of the others come between two of one parser. Time is the processor's, the
// collector's share included, so that a busy machine does not spoil it.
func measure(fs []func() error) ([]cost, error) {
	const rounds, span = 4, 150 * time.Millisecond
	best := make([]cost, len(fs))
	for round := range rounds {
		for i, f := range fs {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := 0
			start := processorTime()
			for n == 0 || processorTime()-start < span {
				if err := f(); err != nil {
					return nil, err
				}
				n++
			}
			took := (processorTime() - start) / time.Duration(n)
			runtime.ReadMemStats(&after)
			if round == 0 || took < best[i].time {
				best[i].time = took
			}
			best[i].allocs = (after.Mallocs - before.Mallocs) / uint64(n)
			best[i].bytes = (after.TotalAlloc - before.TotalAlloc) / uint64(n)
		}
	}
	return best, nil
}

func parsers() error {
	fmt.Println("\nMessages: analysed whole, beside others that only take them apart")
	names := []string{"Eider", "net/mail + mime/multipart", "emersion/go-message", "jhillyerd/enmime"}
	for _, m := range messages() {
		costs, err := measure([]func() error{
			func() error { return eider(m.raw) },
			func() error { return standard(m.raw) },
			func() error { return goMessage(m.raw) },
			func() error { return enmimeRead(m.raw) },
		})
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("%s, %d bytes\n", m.name, len(m.raw))
		for i, c := range costs {
			goal := ""
			switch {
			case i == 0:
				goal = m.goal
			default:
				goal = fmt.Sprintf("Eider takes %.2f of its time", float64(costs[0].time)/float64(c.time))
			}
			speed := float64(len(m.raw)) / c.time.Seconds() / 1e6
			line("  "+names[i], fmt.Sprintf("%9s  %6.0f MB/s  %5d allocations  %s", c.time.Round(100*time.Nanosecond), speed, c.allocs, size(c.bytes)), goal)
		}
	}
	return nil
}

func size(n uint64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// bombs prints the worst of them.
func bombs() {
	fmt.Println("\nBombs of 1 MiB: the worst in time and in memory")
	type result struct {
		name string
		time time.Duration
		peak float64
	}
	var all []result
	for _, b := range bombsOf(1 << 20) {
		r := result{name: b.Name}
		for round := range 3 {
			took, peak := watch(func() { _ = eider(b.Raw) })
			if round == 0 || took < r.time {
				r.time = took
			}
			r.peak = max(r.peak, float64(peak)/float64(max(len(b.Raw), 1<<20)))
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b result) int { return int(b.time - a.time) })
	for _, r := range all[:5] {
		line("  "+r.name, r.time.Round(100*time.Microsecond).String(), "goal ≤ 50 ms")
	}
	slices.SortFunc(all, func(a, b result) int {
		return strings.Compare(fmt.Sprintf("%9.2f", b.peak), fmt.Sprintf("%9.2f", a.peak))
	})
	for _, r := range all[:5] {
		line("  "+r.name, fmt.Sprintf("%.1f MiB in use at a time for each MiB", r.peak), "goal ≤ 8 MiB")
	}
	line("  bombs", fmt.Sprint(len(all)), "")
}
