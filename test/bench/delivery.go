package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/server"
	"github.com/eidermail/eider/server/smtpd"
)

const connections = 16

// deliveries counts durable LMTP deliveries of 10 kB, beside the disk's own
// rate of small durable writes.
func deliveries(ctx context.Context, r report, length time.Duration, p *profiles) (err error) {
	r.section("Deliveries")
	base, err := fsyncs(time.Second)
	if err != nil {
		return err
	}
	addr, pid, done, err := launchDelivery(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for _, n := range []int{1, connections} {
		before := processorOf(pid)
		count, rate, err := loads(addr, n, length)
		if err != nil {
			return err
		}
		each := (processorOf(pid) - before) / time.Duration(max(count, 1))
		goal := ""
		if n == connections {
			goal = "goal ≥ 1,000/s; "
		}
		r.line(fmt.Sprintf("LMTP, 10 kB, %d connections, durable", n), fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("%sprocessor of the server %s each", goal, round(each)))
		r.line("beside single durable writes of this disk", fmt.Sprintf("%.2f × %.0f/s", rate/base, base), "")
	}
	return nil
}

// launchDelivery gives the address of an LMTP server with an account for each
// connection: of a server of its own, or one in this process for profiles.
func launchDelivery(ctx context.Context, p *profiles) (addr string, pid int, done func() error, err error) {
	if p.inside() {
		addr, done, err = insideDelivery(ctx)
		return addr, os.Getpid(), done, err
	}
	s, stop, err := launch(ctx)
	if err != nil {
		return "", 0, nil, err
	}
	for i := range connections {
		if err := addUser(ctx, s, fmt.Sprintf("load%d", i)); err != nil {
			stop()
			return "", 0, nil, err
		}
	}
	return s.LMTP, s.PID(), func() error { stop(); return nil }, nil
}

func insideDelivery(ctx context.Context) (addr string, done func() error, err error) {
	b, err := openStoreBench(ctx)
	if err != nil {
		return "", nil, err
	}
	for i := range connections {
		if _, err := b.s.CreateUser(ctx, store.NewUser{Username: fmt.Sprintf("load%d", i), Address: fmt.Sprintf("load%d@eider.localhost", i)}); err != nil {
			return "", nil, errors.Join(err, b.close(ctx))
		}
	}
	log := slog.New(slog.DiscardHandler)
	servers, err := server.Start(ctx, server.Config{LMTP: "127.0.0.1:0", Options: smtpd.Options{
		Deliver: deliver.New(deliver.Options{Store: b.s, Signal: b.sig, Log: log}), Log: log, Hostname: "mx.eider.test",
		MaxMessage: 64 << 20, MaxRecipients: 100, Folder: b.dir,
	}})
	if err != nil {
		return "", nil, errors.Join(err, b.close(ctx))
	}
	return servers.LMTP.Addr().String(), func() error { return errors.Join(servers.Stop(ctx), b.close(ctx)) }, nil
}

// loads delivers over n connections at the same time and gives how many, and how
// many a second.
func loads(addr string, connections int, length time.Duration) (int64, float64, error) {
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, connections)
	start := time.Now()
	for i := range connections {
		wg.Go(func() { errs <- load(addr, i, connections, start.Add(length), &n) })
	}
	wg.Wait()
	rate := float64(n.Load()) / time.Since(start).Seconds()
	for range connections {
		if err := <-errs; err != nil {
			return 0, 0, err
		}
	}
	return n.Load(), rate, nil
}

// load delivers over one connection, the i-th of n, until the time is up.
func load(addr string, i, n int, until time.Time, done *atomic.Int64) error {
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
		text := fmt.Sprintf("From: load@elsewhere.example\r\nSubject: number %d of %d\r\nMessage-ID: <%d.%d.%d@bench.example>\r\n\r\n%s", k, i, n, i, k, body)
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
		done.Add(1)
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
