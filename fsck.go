package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// The exit codes of fsck, after fsck(8): what it found is not a failure.
const (
	fsckClean    = 0
	fsckProblems = 1
	fsckFailed   = 2
)

// fsckOrder is the order of `eider fsck`. It travels to a running server as
// JSON.
type fsckOrder struct {
	User              string
	Repair, FromStart bool
}

// fsckLine is one line of the report, a JSON object. Event says which of the
// fields are set.
type fsckLine struct {
	// Event is progress, problem, busy, end or error.
	Event string `json:"event"`
	Time  string `json:"time,omitempty"`
	// Phase, Done, Total and Messages are of progress; Resumed tells that an
	// interrupted check goes on.
	Phase    string `json:"phase,omitempty"`
	Done     int64  `json:"done,omitempty"`
	Total    int64  `json:"total,omitempty"`
	Messages int64  `json:"messages,omitempty"`
	Resumed  bool   `json:"resumed,omitempty"`
	// Kind to Mended are of a problem. Want is what is stored, Have what the
	// counter or reference says.
	Kind    string `json:"kind,omitempty"`
	User    string `json:"user,omitempty"`
	Mailbox string `json:"mailbox,omitempty"`
	Message string `json:"message,omitempty"`
	Want    string `json:"want,omitempty"`
	Have    string `json:"have,omitempty"`
	Mended  bool   `json:"mended,omitempty"`
	// Result is of the end, Error of a check that could not go on.
	Result *fsckSum `json:"result,omitempty"`
	Error  string   `json:"error,omitempty"`
}

type fsckSum struct {
	Accounts int64 `json:"accounts"`
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
	Problems int64 `json:"problems"`
	Mended   int64 `json:"mended"`
	// Busy counts numbers of accounts that were written to all the time.
	Busy int64 `json:"busy"`
}

func fsckCommand(ctx context.Context, t terminal, args []string) int {
	var order fsckOrder
	var asJSON, help bool
	flags := func(fs *flag.FlagSet) {
		fs.BoolVar(&order.Repair, "repair", false, "")
		fs.BoolVar(&order.FromStart, "from-start", false, "")
		fs.StringVar(&order.User, "user", "", "")
		fs.BoolVar(&asJSON, "json", false, "")
	}
	var sum *fsckSum
	help = true
	err := withConfig(t, "fsck", args, 0, func(c config.Config, _ []string) (err error) {
		help = false
		p := &fsckPrinter{out: bufio.NewWriter(t.out), err: t.err, json: asJSON, bar: isTerminal(t.err), began: time.Now()}
		sum, err = fsck(ctx, c, t, order, p.line)
		p.clear()
		return errors.Join(err, p.out.Flush())
	}, flags)
	switch {
	case err != nil:
		_ = report(t, err)
		return fsckFailed
	case help:
		return 0
	case sum == nil:
		return fsckFailed
	case sum.Problems > 0:
		return fsckProblems
	}
	return fsckClean
}

// fsck runs the check in the server that holds the data folder, or here.
func fsck(ctx context.Context, c config.Config, t terminal, order fsckOrder, line func(fsckLine) error) (*fsckSum, error) {
	log := newLogger(t.err, quiet(c))
	b, err := openBackend(ctx, c, log)
	if errors.Is(err, docstore.ErrInUse) {
		if sum, ok, err := fsckRunning(ctx, c, order, line); ok {
			return sum, err
		}
	}
	if err != nil {
		return nil, err
	}
	if c.Mongo == "" {
		err = b.recover(ctx, c, log)
	}
	var sum *fsckSum
	if err == nil {
		sum, err = b.fsck(ctx, order, line)
	}
	return sum, errors.Join(err, b.close(context.WithoutCancel(ctx)))
}

// fsckTick is how often progress is told.
const fsckTick = 200 * time.Millisecond

// fsck checks the data and hands each line of the report on.
func (b *backend) fsck(ctx context.Context, order fsckOrder, line func(fsckLine) error) (*fsckSum, error) {
	what := store.Fsck{Repair: order.Repair, FromStart: order.FromStart}
	if order.User != "" {
		u, err := b.store.FindUser(ctx, order.User)
		if mail.IsCode(err, mail.CodeNoUser) {
			return nil, fmt.Errorf("there is no user %s", order.User)
		}
		if err != nil {
			return nil, err
		}
		what.User = u.ID
	}
	var last time.Time
	result, err := b.store.Fsck(ctx, what, func(e store.FsckEvent) error {
		if e.Problem == nil && !e.Resumed && time.Since(last) < fsckTick {
			return nil
		}
		last = time.Now()
		return line(lineOf(e))
	})
	if err != nil {
		return nil, err
	}
	sum := fsckSum(result)
	return &sum, line(fsckLine{Event: "end", Time: time.Now().UTC().Format(time.RFC3339), Result: &sum})
}

func lineOf(e store.FsckEvent) fsckLine {
	if e.Problem == nil {
		return fsckLine{
			Event: "progress", Phase: e.Phase, Done: e.Done, Total: e.Total, Messages: int64(e.Messages), Resumed: e.Resumed,
		}
	}
	p := e.Problem
	l := fsckLine{
		Event: "problem", Kind: p.Kind, User: idText(p.User), Mailbox: idText(p.Mailbox), Message: idText(p.Message),
		Want: p.Want, Have: p.Have, Mended: p.Mended,
	}
	if p.Kind == store.ProblemBusy {
		l.Event, l.Kind, l.Want = "busy", p.Want, ""
	}
	return l
}

func idText(id mail.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// fsckRunning has the check done by the server that holds the data folder. ok
// is false when it does not answer.
func fsckRunning(ctx context.Context, c config.Config, order fsckOrder, line func(fsckLine) error) (sum *fsckSum, ok bool, err error) {
	addr, key, ok := readControl(c)
	if !ok {
		return nil, false, nil
	}
	body, err := json.Marshal(order)
	if err != nil {
		return nil, true, fmt.Errorf("write the order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/fsck", bytes.NewReader(body))
	if err != nil {
		return nil, false, nil
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, false, nil
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, false, nil
	}
	in := json.NewDecoder(res.Body)
	for {
		var l fsckLine
		if err := in.Decode(&l); err != nil {
			return nil, true, fmt.Errorf("the running server ended the check: %w", err)
		}
		if l.Event == "error" {
			return nil, true, errors.New(l.Error)
		}
		if err := line(l); err != nil {
			return nil, true, err
		}
		if l.Event == "end" {
			return l.Result, true, nil
		}
	}
}

// serveFsck does a check for `eider fsck` and streams its report. It ends with
// the server; the next check goes on there.
func serveFsck(stopping context.Context, w http.ResponseWriter, r *http.Request, key string, b *backend) {
	order, ok := readOrder[fsckOrder](w, r, key)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(stopping, cancel)()
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	line := func(l fsckLine) error { return errors.Join(out.Encode(l), flush.Flush()) }
	if _, err := b.fsck(ctx, order, line); err != nil {
		text := err.Error()
		if stopping.Err() != nil {
			text = "the server stops; the next check goes on where this one was"
		}
		_ = line(fsckLine{Event: "error", Error: text})
	}
}

// fsckPrinter writes the report: JSON lines, or sentences with a bar on a
// terminal.
type fsckPrinter struct {
	out   *bufio.Writer
	err   io.Writer
	json  bool
	bar   bool
	shown bool
	began time.Time
}

func (p *fsckPrinter) line(l fsckLine) error {
	if l.Event == "progress" {
		p.progress(l)
	} else {
		p.clear()
	}
	if p.json {
		if err := json.NewEncoder(p.out).Encode(l); err != nil {
			return err
		}
		return p.out.Flush()
	}
	if text := l.sentence(time.Since(p.began)); text != "" {
		_, _ = fmt.Fprintln(p.out, text)
	}
	return p.out.Flush()
}

// sentence words a line for people, "" for progress.
func (l *fsckLine) sentence(took time.Duration) string {
	switch l.Event {
	case "problem", "busy":
		var b strings.Builder
		b.WriteString(l.Kind)
		for _, f := range []struct{ name, value string }{
			{"user", l.User}, {"mailbox", l.Mailbox}, {"message", l.Message}, {"is", l.Have}, {"should be", l.Want},
		} {
			if f.value != "" {
				b.WriteString(" " + f.name + " " + f.value)
			}
		}
		switch {
		case l.Event == "busy":
			b.WriteString(": not judged, because it is written to all the time")
		case l.Mended:
			b.WriteString(": mended")
		}
		return b.String()
	case "progress":
		if l.Resumed {
			return fmt.Sprintf("goes on after %d accounts; --from-start begins anew", l.Done)
		}
	case "end":
		r := l.Result
		return fmt.Sprintf("%d accounts, %d messages, %d bytes: %d problems, %d mended, %d not judged, in %s",
			r.Accounts, r.Messages, r.Bytes, r.Problems, r.Mended, r.Busy, took.Round(time.Millisecond))
	}
	return ""
}

const barWidth = 30

func (p *fsckPrinter) progress(l fsckLine) {
	if !p.bar || l.Resumed {
		return
	}
	done := 0
	if l.Total > 0 {
		done = int(min(l.Done, l.Total) * barWidth / l.Total)
	}
	text := fmt.Sprintf("\r%s [%s%s] %d of %d", l.Phase, strings.Repeat("#", done), strings.Repeat(".", barWidth-done), l.Done, l.Total)
	if l.Messages > 0 {
		text += fmt.Sprintf(", %d messages of this one", l.Messages)
	}
	_, _ = io.WriteString(p.err, text+"\x1b[K")
	p.shown = true
}

// clear takes the bar away.
func (p *fsckPrinter) clear() {
	if p.shown {
		_, _ = io.WriteString(p.err, "\r\x1b[K")
		p.shown = false
	}
}
