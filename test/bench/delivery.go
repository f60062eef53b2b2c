package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

const connections = 16

// deliveries counts durable LMTP deliveries of 10 kB, beside the disk's own
// rate of small durable writes.
func deliveries(ctx context.Context, r report, length time.Duration) error {
	r.section("Deliveries")
	base, err := fsyncs(time.Second)
	if err != nil {
		return err
	}
	s, done, err := launch(ctx)
	if err != nil {
		return err
	}
	defer done()
	for i := range connections {
		if err := addUser(ctx, s, fmt.Sprintf("load%d", i)); err != nil {
			return err
		}
	}
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, connections)
	start := time.Now()
	for i := range connections {
		wg.Go(func() { errs <- load(s.LMTP, i, start.Add(length), &n) })
	}
	wg.Wait()
	rate := float64(n.Load()) / time.Since(start).Seconds()
	for range connections {
		if err := <-errs; err != nil {
			return err
		}
	}
	r.line("LMTP, 10 kB, 16 connections, durable", fmt.Sprintf("%.0f/s", rate), "goal ≥ 1,000/s")
	r.line("beside single durable writes of this disk", fmt.Sprintf("%.2f × %.0f/s", rate/base, base), "")
	return nil
}

// load delivers over one connection until the time is up.
func load(addr string, i int, until time.Time, n *atomic.Int64) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c := smtp.NewClientLMTP(conn)
	defer func() { _ = c.Close() }()
	if err := c.Hello("bench.example"); err != nil {
		return err
	}
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 10_000/72)
	for k := 0; time.Now().Before(until); k++ {
		text := fmt.Sprintf("From: load@elsewhere.example\r\nSubject: number %d of %d\r\nMessage-ID: <%d.%d@bench.example>\r\n\r\n%s", k, i, i, k, body)
		if err := c.Mail("load@elsewhere.example", nil); err != nil {
			return err
		}
		if err := c.Rcpt(fmt.Sprintf("load%d@eider.localhost", i), nil); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		n.Add(1)
	}
	return c.Quit()
}

// fsyncs counts 4 kB writes with fsync that one thread gets done in a second.
func fsyncs(length time.Duration) (float64, error) {
	f, err := os.CreateTemp("", "eider-fsync-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	block := make([]byte, 4096)
	n, start := 0, time.Now()
	for time.Since(start) < length {
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}
