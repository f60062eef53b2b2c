package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail/store"
)

// quiet drops what a store says of failures that the test makes.
var quiet = slog.New(slog.DiscardHandler)

// Proxy stands between a store and its database and breaks what passes, as a
// network and a failing server do.
type Proxy struct {
	t        testing.TB
	listener net.Listener
	server   string
	serving  sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	away    bool
	every   int
	random  *rand.Rand
	lose    [][]byte
	refuse  []refusal
	counted int
	router  bool
}

// AsRouter has the server say of itself, to those who connect from now on, that
// it is a router of a sharded cluster.
func (p *Proxy) AsRouter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.router = true
}

// disguise changes an answer that says what the server is.
func (p *Proxy) disguise(answer []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.router || !bytes.Contains(answer, []byte("\x10maxWireVersion\x00")) {
		return answer
	}
	// The document is the last part of both forms of an answer: OP_REPLY's head is
	// 36 bytes, OP_MSG's 21.
	start := 21
	if binary.LittleEndian.Uint32(answer[12:]) == 1 {
		start = 36
	}
	var doc bson.D
	if err := bson.Unmarshal(answer[start:], &doc); err != nil {
		return answer
	}
	doc = slices.DeleteFunc(doc, func(e bson.E) bool { return slices.Contains([]string{"setName", "hosts", "primary", "me"}, e.Key) })
	body, err := bson.Marshal(append(doc, bson.E{Key: "msg", Value: "isdbgrid"}))
	if err != nil {
		return answer
	}
	out := append(slices.Clone(answer[:start]), body...)
	binary.LittleEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // small
	return out
}

// Proxied gives an Env whose stores reach the database through a Proxy: the
// embedded engine on a loopback port, with or without a replica set's name (with
// one the driver retries its writes), or EIDER_TEST_MONGO's first host.
func Proxied(t testing.TB, setName string) (*Env, *Proxy) {
	t.Helper()
	if uri := os.Getenv("EIDER_TEST_MONGO"); uri != "" {
		env := New(t)
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		p := newProxy(t, u.Host)
		env.options.URI = "mongodb://" + p.listener.Addr().String() + "/?directConnection=true"
		return env, p
	}
	env := &Env{t: t, Log: quiet}
	env.options = store.Options{Log: env.Log}
	env.openSignals()
	engine, err := docstore.Open(context.Background(), docstore.Options{Path: filepath.Join(t.TempDir(), "eider.db"), Log: quiet, SetName: setName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Errorf("close embedded store: %v", err)
		}
	})
	l, err := engine.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, l.Addr().String())
	env.options.URI = "mongodb://" + p.listener.Addr().String() + "/?directConnection=true"
	return env, p
}

func newProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, listener: l, server: server, conns: map[net.Conn]bool{}, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // chance for a test
	p.serving.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.serving.Wait()
	})
	return p
}

// URI is the connection string of the Env's server, for a database of it.
func (e *Env) URI(database string) string {
	return strings.Replace(e.options.URI, "/?", "/"+database+"?", 1)
}

// Database is the main database's name.
func (e *Env) Database() string {
	if e.options.Database == "" {
		return "wildduck"
	}
	return e.options.Database
}

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Away takes the server off the network, or brings it back.
func (p *Proxy) Away(away bool) {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
	if away {
		p.Cut()
	}
}

// BreakEvery breaks a connection at about every n-th message, half of them
// before the server sees it and half before its answer comes back; 0 for none.
func (p *Proxy) BreakEvery(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = n
}

// LoseAnswer breaks the connection of the next command with that name on the
// collection after the server has done it.
func (p *Proxy) LoseAnswer(command, collection string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = append(p.lose, commandText(command, collection))
}

// retryable are the errors after which MongoDB tells a driver that a numbered
// write may be sent again.
var retryable = []int{6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}

// refusal is an answer that the proxy gives in place of the server.
type refusal struct {
	text []byte
	code int
}

// Refuse answers the next command with that name on the collection with an
// error of MongoDB's, and does not pass it on. A numbered write gets the label
// that MongoDB gives it.
func (p *Proxy) Refuse(command, collection string, code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = append(p.refuse, refusal{commandText(command, collection), code})
}

// commandText is how a command on a collection begins on the wire.
func commandText(command, collection string) []byte {
	text := append([]byte("\x02"+command+"\x00"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(text[len(text)-4:], uint32(len(collection)+1)) //nolint:gosec // short
	return append(append(text, collection...), 0)
}

// refusalOf is the answer to a message that is to be refused, nil for others.
func (p *Proxy) refusalOf(m []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.refuse {
		if !bytes.Contains(m, r.text) {
			continue
		}
		p.refuse = append(p.refuse[:i], p.refuse[i+1:]...)
		p.counted++
		doc := bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(r.code)}, {Key: "errmsg", Value: "refused by the test"}} //nolint:gosec // small
		if bytes.Contains(m, []byte("\x12txnNumber\x00")) && slices.Contains(retryable, r.code) {
			doc = append(doc, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
		}
		body, err := bson.Marshal(doc)
		if err != nil {
			return nil
		}
		// OP_MSG: head of 16 bytes, flags, one section of kind 0.
		out := binary.LittleEndian.AppendUint32(nil, uint32(21+len(body))) //nolint:gosec // small
		out = binary.LittleEndian.AppendUint32(out, 0)
		out = append(out, m[4:8]...)
		out = binary.LittleEndian.AppendUint32(out, 2013)
		return append(append(out, 0, 0, 0, 0, 0), body...)
	}
	return nil
}

// Broken counts the connections that were broken.
func (p *Proxy) Broken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	if !p.enter(client) {
		return
	}
	defer p.leave(client)
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !p.enter(server) {
		return
	}
	defer p.leave(server)
	for {
		m, err := readMessage(client)
		if err != nil {
			return
		}
		if answer := p.refusalOf(m); answer != nil {
			if _, err := client.Write(answer); err != nil {
				return
			}
			continue
		}
		before, behind := p.fate(m)
		if before {
			return
		}
		if _, err := server.Write(m); err != nil {
			return
		}
		answer, err := readMessage(server)
		if err != nil || behind {
			return
		}
		if _, err := client.Write(p.disguise(answer)); err != nil {
			return
		}
	}
}

func (p *Proxy) enter(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// fate says whether a message's connection breaks before it or behind it.
func (p *Proxy) fate(m []byte) (before, behind bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, text := range p.lose {
		if bytes.Contains(m, text) {
			p.lose = append(p.lose[:i], p.lose[i+1:]...)
			p.counted++
			return false, true
		}
	}
	if p.every == 0 {
		return false, false
	}
	if p.random.IntN(p.every) > 0 {
		return false, false
	}
	p.counted++
	before = p.random.IntN(2) == 0
	return before, !before
}

// maxMessage is more than any of the protocol's messages.
const maxMessage = 64 << 20

var errMessage = errors.New("not a message")

// readMessage reads one message of MongoDB's wire protocol.
func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size < 16 || size > maxMessage {
		return nil, errMessage
	}
	m := make([]byte, size)
	copy(m, head[:])
	_, err := io.ReadFull(r, m[4:])
	return m, err
}
