// Package deliver is the inbound side: it says who a recipient is, and files
// a message into each recipient's mailbox. SMTP, LMTP and local submission end
// here.
package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/signal"
	"github.com/eidermail/eider/mail/store"
)

const (
	// maxHops is Received fields after which a message counts as looping
	// (RFC 5321 6.3 asks for at least 100 of servers that count; WildDuck's 30
	// bounds forwards only).
	maxHops = 100
	// partialFor is how long a half-delivered message is remembered: longer
	// than a sender goes on trying (RFC 5321 4.5.4.1: 4 to 5 days).
	partialFor = 6 * 24 * time.Hour
	// maxParallel copies of one message are filed at a time, as long as they
	// take at most parallelBytes of memory.
	maxParallel   = 8
	parallelBytes = 16 << 20
	// maxHead is how much of a message is looked through for trace fields.
	maxHead = 256 << 10
)

// Options are what the deliverer works with.
type Options struct {
	Store  *store.Store
	Signal signal.Signal
	Log    *slog.Logger
	// Queue takes answers to people elsewhere, nil for one over Store.
	Queue *queue.Queue
	// Now is the clock, nil for time.Now.
	Now func() time.Time
}

// Deliverer files messages. It may be used from several goroutines.
type Deliverer struct {
	Options
}

// New makes a deliverer.
func New(o Options) *Deliverer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Queue == nil {
		o.Queue = queue.New(o.Store, o.Log)
	}
	return &Deliverer{o}
}

// Recipient is somebody here.
type Recipient struct {
	// Address is as the client gave it; it goes into Delivered-To.
	Address string
	User    mail.User
}

// key tells recipients apart, whatever case a sender writes them in.
func (r Recipient) key() string { return r.User.ID.String() + " " + strings.ToLower(r.Address) }

// Resolve says who an address belongs to.
//
// Errors: CodeInvalid for what is no address; CodeNoUser for an unknown one,
// with Reason "relay" when its whole domain is not ours; CodeDisabled for an
// account or address that takes no mail (a suspended account still does, as
// in WildDuck); CodeOverQuota for a full one; CodeUnavailable with Reason
// "forwarding" for an address that only forwards, which this release does not
// do: the sender keeps the mail and tries again.
func (d *Deliverer) Resolve(ctx context.Context, rcpt string) (Recipient, error) {
	const op = "resolve recipient"
	a, err := address.Parse(rcpt)
	if err != nil {
		return Recipient{}, &mail.Error{Code: mail.CodeInvalid, Op: op, Field: "address", Err: err}
	}
	if strings.Contains(a.Local, "*") {
		// The star of a wildcard row must not be matched by itself.
		return Recipient{}, d.unknown(ctx, a, nil)
	}
	record, err := d.Store.ResolveAddress(ctx, a, store.ResolveOptions{Wildcard: true})
	if code := mail.CodeOf(err); err != nil && (code == mail.CodeNoUser || code == mail.CodeNotFound) {
		return Recipient{}, d.unknown(ctx, a, err)
	}
	if err != nil {
		return Recipient{}, err
	}
	if record.User.IsZero() {
		if record.ForwardedDisabled {
			return Recipient{}, &mail.Error{Code: mail.CodeDisabled, Op: op}
		}
		return Recipient{}, &mail.Error{Code: mail.CodeUnavailable, Op: op, Reason: "forwarding"}
	}
	u, err := d.Store.User(ctx, record.User)
	switch {
	case err != nil:
		return Recipient{}, err
	case u.Disabled:
		return Recipient{}, &mail.Error{Code: mail.CodeDisabled, Op: op}
	case u.Quota > 0 && u.StorageUsed >= u.Quota:
		return Recipient{}, &mail.Error{Code: mail.CodeOverQuota, Op: op}
	}
	return Recipient{Address: a.String(), User: u}, nil
}

// unknown tells an unknown user from a domain that is not ours.
func (d *Deliverer) unknown(ctx context.Context, a address.Address, cause error) error {
	local, err := d.Store.LocalDomain(ctx, a.Domain)
	if err != nil {
		return err
	}
	e := &mail.Error{Code: mail.CodeNoUser, Op: "resolve recipient", Err: cause}
	if !local {
		e.Reason = "relay"
	}
	return e
}

// Delivery is one message with its envelope and where it came from.
type Delivery struct {
	// ID is the transaction's id, for Received and the log.
	ID          string
	ReversePath string
	Recipients  []Recipient
	// Message is the message as received, our Received field on top.
	Message *message.Source
	// Source is MX or API.
	Source string
	// RemoteIP and RemoteHost are the client's, Helo what it called itself.
	RemoteIP, RemoteHost, Helo string
	// TransType is the "with" of Received: ESMTPS, LMTP, HTTP.
	TransType             string
	TLSVersion, TLSCipher string
	Time                  time.Time
}

// Result is what became of one recipient.
type Result struct {
	Recipient Recipient
	Appended  store.Appended
	// Err is nil when the message is durably stored.
	Err error
}

// Deliver files the message for each recipient, a few at a time, and returns
// when every outcome is known; results are in the order of the recipients.
// Nothing is filed for a looping message: CodeInvalid with Reason "loop". Who
// may hold less than this one message gets CodeTooBig with Reason "quota"; who
// has some room left gets it, even when it takes him over his quota. Two equal
// recipients get one copy and one outcome.
func (d *Deliverer) Deliver(ctx context.Context, m Delivery) []Result {
	results := make([]Result, len(m.Recipients))
	loop := d.loops(ctx, m)
	shared := sync.OnceValues(func() (*message.Message, error) { return message.ParseSource(m.Message) })
	if len(m.Recipients) == 1 {
		results[0] = d.deliver(ctx, m, m.Recipients[0], loop, shared)
		d.log(ctx, m, results[0])
		return results
	}
	first := map[string]int{}
	var work errgroup.Group
	work.SetLimit(parallel(m.Message.Size()))
	for i, r := range m.Recipients {
		if _, ok := first[r.key()]; ok {
			continue
		}
		first[r.key()] = i
		work.Go(func() error {
			results[i] = d.deliver(ctx, m, r, loop, shared)
			d.log(ctx, m, results[i])
			return nil
		})
	}
	_ = work.Wait() // outcomes are in the results
	for i, r := range m.Recipients {
		results[i] = results[first[r.key()]]
	}
	return results
}

// loops reports a message that went through too many hosts.
func (d *Deliverer) loops(ctx context.Context, m Delivery) bool {
	head, err := m.Message.Start(maxHead)
	if err != nil {
		// Filing it will fail as well, and say so to the sender.
		d.Log.LogAttrs(ctx, slog.LevelError, "message not readable", slog.String("id", m.ID), slog.Any("error", err))
	}
	return hops(head) > maxHops
}

// parallel is how many copies of a message are made at a time: an odd one is
// parsed for each, which takes its size in memory, up to what a large one in a
// file takes.
func parallel(size int64) int {
	return int(max(1, min(maxParallel, parallelBytes/(min(size, parallelBytes/2)+1))))
}

// parsed gives the message that all recipients share, parsed when the first
// one needs it.
type parsed func() (*message.Message, error)

func (d *Deliverer) deliver(ctx context.Context, m Delivery, r Recipient, loop bool, shared parsed) (result Result) {
	const op = "deliver"
	result.Recipient = r
	// A stranger's message that trips over a defect of ours must not end the
	// process, which a panic in this goroutine would.
	defer func() {
		if p := recover(); p != nil {
			d.Log.LogAttrs(ctx, slog.LevelError, "panic while delivering",
				slog.String("id", m.ID), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			result.Err = &mail.Error{Code: mail.CodeInternal, Op: op, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	switch {
	case loop:
		result.Err = &mail.Error{Code: mail.CodeInvalid, Op: op, Reason: "loop"}
	case r.User.Quota > 0 && m.Message.Size() > r.User.Quota:
		result.Err = &mail.Error{Code: mail.CodeTooBig, Op: op, Reason: "quota"}
	default:
		var own *message.Message
		if own, result.Appended, result.Err = d.file(ctx, m, r, shared); result.Err == nil && r.User.Autoreply {
			d.answer(ctx, m, &result, own)
		}
	}
	return result
}

// DeliverAll is Deliver for a protocol with one answer for all recipients
// (RFC 5321 4.2.5: after DATA there is a single reply). When some are stored
// and others failed, the error asks the sender to try again, and the stored
// ones are remembered, so that the next try files no second copy for them.
// The memory is in the signals: losing it costs a duplicate, never a message.
func (d *Deliverer) DeliverAll(ctx context.Context, m Delivery) error {
	key := partialKey(m)
	before := d.stored(ctx, key)
	todo := m
	todo.Recipients = nil
	for _, r := range m.Recipients {
		if !before[r.key()] {
			todo.Recipients = append(todo.Recipients, r)
		}
	}
	var failures []error
	stored := maps.Clone(before)
	for _, r := range d.Deliver(ctx, todo) {
		if r.Err != nil {
			failures = append(failures, r.Err)
			continue
		}
		stored[r.Recipient.key()] = true
	}
	if len(failures) == 0 {
		if len(before) > 0 {
			d.forget(ctx, key)
		}
		return nil
	}
	if len(stored) > 0 {
		d.remember(ctx, key, stored)
		// Even when the failure is for good: a bounce would say that nobody got
		// it. The next try meets the failing recipient at RCPT, alone.
		return &mail.Error{Code: mail.CodeUnavailable, Op: "deliver to all", Err: errors.Join(failures...)}
	}
	return worst(failures)
}

// worst is the one outcome of recipients that all failed: theirs when they
// agree, and otherwise one that makes the sender try again.
func worst(failures []error) error {
	for _, err := range failures {
		if mail.CodeOf(err) != mail.CodeOf(failures[0]) {
			return &mail.Error{Code: mail.CodeUnavailable, Op: "deliver to all", Err: errors.Join(failures...)}
		}
	}
	return failures[0]
}

// partialKey names a message and its sender, whatever trace fields a new try
// puts on top: the hash starts behind our own Received field. "" for a message
// that cannot be read.
func partialKey(m Delivery) string {
	head, err := m.Message.Start(maxHead)
	if err != nil {
		return ""
	}
	own := 0
	if hasFieldName(head, "received") {
		own = fieldEnd(head)
	}
	h := sha256.New()
	h.Write([]byte(m.ReversePath + "\x00"))
	r := m.Message.Reader()
	if _, err := io.CopyN(io.Discard, r, int64(own)); err != nil {
		return ""
	}
	if _, err := io.Copy(h, r); err != nil {
		return ""
	}
	return "eider:partial:" + hex.EncodeToString(h.Sum(nil)[:16])
}

func (d *Deliverer) stored(ctx context.Context, key string) map[string]bool {
	out := map[string]bool{}
	text, ok, err := d.Signal.Get(ctx, key)
	if err != nil || !ok || json.Unmarshal([]byte(text), &out) != nil {
		return map[string]bool{}
	}
	return out
}

func (d *Deliverer) remember(ctx context.Context, key string, stored map[string]bool) {
	text, err := json.Marshal(stored)
	if err == nil {
		err = d.Signal.Set(context.WithoutCancel(ctx), key, string(text), partialFor)
	}
	if err != nil {
		d.Log.LogAttrs(ctx, slog.LevelWarn, "half-delivered message not remembered", slog.Any("error", err))
	}
}

// forget ends the memory of a message that everybody has now. The same message
// sent once more is then a new one.
func (d *Deliverer) forget(ctx context.Context, key string) {
	if err := d.Signal.Delete(context.WithoutCancel(ctx), key); err != nil {
		d.Log.LogAttrs(ctx, slog.LevelWarn, "half-delivered message not forgotten", slog.Any("error", err))
	}
}

// file stores one recipient's copy: Delivered-To and Return-Path on top, as
// WildDuck writes them (RFC 5321 4.4: the final delivery adds Return-Path).
func (d *Deliverer) file(ctx context.Context, m Delivery, r Recipient, shared parsed) (*message.Message, store.Appended, error) {
	head := fmt.Sprintf("Delivered-To: %s\r\nReturn-Path: <%s>\r\n", r.Address, m.ReversePath)
	parsed, err := below(m.Message, []byte(head), shared)
	if err != nil {
		return nil, store.Appended{}, &mail.Error{Code: mail.CodeUnavailable, Op: "read message", Err: err}
	}
	a := store.Append{
		User: r.User.ID, Message: parsed, InternalDate: m.Time,
		Meta: store.Meta{
			Source: m.Source, From: m.ReversePath, To: []string{r.Address},
			Origin: m.RemoteIP, OriginHost: m.RemoteHost, TransHost: m.Helo, TransType: m.TransType,
			QueueID: m.ID, Time: m.Time,
		},
	}
	if m.TLSCipher != "" {
		a.Verification = &store.Verification{TLSVersion: m.TLSVersion, TLSCipher: m.TLSCipher}
	}
	done, err := d.Store.Append(ctx, a)
	return parsed, done, err
}

// below is the message with head on top, from the one that is shared where that
// can be told without parsing it again.
func below(src *message.Source, head []byte, shared parsed) (*message.Message, error) {
	m, err := shared()
	if err != nil {
		return nil, err
	}
	if own, ok := m.Below(head); ok {
		return own, nil
	}
	return message.ParseSource(src.Below(head))
}

// log writes the line that a postmaster looks for.
func (d *Deliverer) log(ctx context.Context, m Delivery, r Result) {
	attrs := []slog.Attr{
		slog.String("id", m.ID), slog.String("reverse_path", m.ReversePath),
		slog.String("recipient", r.Recipient.Address), slog.String("remote", m.RemoteIP),
		slog.Int64("size", m.Message.Size()),
	}
	if r.Err != nil {
		d.Log.LogAttrs(ctx, slog.LevelWarn, "not delivered", append(attrs, slog.Any("error", r.Err))...)
		return
	}
	d.Log.LogAttrs(ctx, slog.LevelInfo, "delivered", append(attrs,
		slog.String("user", r.Recipient.User.ID.String()), slog.String("path", r.Appended.Path),
		slog.Uint64("uid", uint64(r.Appended.UID)))...)
}
