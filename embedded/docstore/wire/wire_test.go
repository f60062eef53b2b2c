package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/net/nettest"

	"github.com/eidermail/eider/embedded/docstore/wire"
)

func TestPipeIsAConnection(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = wire.Pipe()
		return c1, c2, func() { _ = c1.Close(); _ = c2.Close() }, nil
	})
}

func TestPipeLargerThanItsBuffer(t *testing.T) {
	a, b := wire.Pipe()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	go func() {
		_, _ = a.Write(sent)
		_ = a.Close()
	}()
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestPipeDeadlineWakesAWriter(t *testing.T) {
	a, _ := wire.Pipe()
	if err := a.SetWriteDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := a.Write(make([]byte, 2<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v", err)
	}
}

func document(t testing.TB, v any) []byte {
	b, err := bson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(op uint32, body []byte) []byte {
	b := make([]byte, 16, 16+len(body))
	binary.LittleEndian.PutUint32(b, uint32(16+len(body)))
	binary.LittleEndian.PutUint32(b[4:], 7)
	binary.LittleEndian.PutUint32(b[12:], op)
	return append(b, body...)
}

func section(name string, docs ...[]byte) []byte {
	b := append([]byte(name), 0)
	for _, d := range docs {
		b = append(b, d...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte{1}, uint32(len(b)+4)), b...)
}

func TestRead(t *testing.T) {
	ping := document(t, bson.D{{Key: "ping", Value: 1}})
	body := append([]byte{0, 0, 0, 0, 0}, ping...)
	body = append(body, section("documents", ping, ping)...)
	m, err := wire.Read(bytes.NewReader(message(2013, body)))
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != 7 || m.Query || !bytes.Equal(m.Body, ping) || len(m.Sequences) != 1 || len(m.Sequences[0].Docs) != 2 {
		t.Fatalf("%+v", m)
	}
	query := append([]byte{0, 0, 0, 0}, "admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"...)
	m, err = wire.Read(bytes.NewReader(message(2004, append(query, ping...))))
	if err != nil || !m.Query || m.Collection != "admin.$cmd" {
		t.Fatalf("%+v, %v", m, err)
	}
	reply := wire.AppendReply(nil, m, 9, ping)
	if binary.LittleEndian.Uint32(reply[12:]) != 1 || !bytes.HasSuffix(reply, ping) {
		t.Fatalf("% x", reply)
	}
}

func TestReadRefuses(t *testing.T) {
	ping := document(t, bson.D{{Key: "ping", Value: 1}})
	for name, b := range map[string][]byte{
		"no body":          message(2013, []byte{0, 0, 0, 0}),
		"unknown flag":     message(2013, append([]byte{4, 0, 0, 0, 0}, ping...)),
		"two bodies":       message(2013, append(append([]byte{0, 0, 0, 0, 0}, ping...), append([]byte{0}, ping...)...)),
		"unknown section":  message(2013, append([]byte{0, 0, 0, 0, 2}, ping...)),
		"unknown op":       message(2012, ping),
		"bad document":     message(2013, append([]byte{0, 0, 0, 0, 0}, ping[:len(ping)-1]...)),
		"section too long": message(2013, append(append([]byte{0, 0, 0, 0, 0}, ping...), 1, 99, 0, 0, 0, 'a', 0)),
		"too long":         {0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0},
		"negative":         {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0},
	} {
		if _, err := wire.Read(bytes.NewReader(b)); !errors.Is(err, wire.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	ping := document(f, bson.D{{Key: "ping", Value: 1}})
	body := append([]byte{0, 0, 0, 0, 0}, ping...)
	f.Add(message(2013, append(body, section("documents", ping)...)))
	f.Add(message(2004, append([]byte("\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"), ping...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		// What was taken for whole can be walked to its end.
		if err := m.Body.Validate(); err != nil {
			t.Fatalf("body: %v", err)
		}
		for _, s := range m.Sequences {
			for _, d := range s.Docs {
				if err := d.Validate(); err != nil {
					t.Fatalf("%s: %v", s.Name, err)
				}
			}
		}
	})
}
