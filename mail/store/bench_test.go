package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/message"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/mail/store/storetest"
)

func tenKB(n int64) *message.Message {
	return message.Parse([]byte(fmt.Sprintf("From: ann%d@example.com\r\nTo: bob@example.com\r\nSubject: number %d\r\nMessage-ID: <%d@example.com>\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\n%s", n%50, n, n, strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 220))))
}

// BenchmarkAppend is deliveries of 10 kB by 16 writers to 16 accounts.
func BenchmarkAppend(b *testing.B) {
	ctx, s := context.Background(), storetest.Open(b)
	users := make([]mail.User, 16)
	for i := range users {
		users[i] = newUser(b, s, fmt.Sprintf("user%d", i))
	}
	var n atomic.Int64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			if _, err := s.Append(ctx, store.Append{User: users[i%16].ID, Message: tenKB(i)}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkMessages is one page of a mailbox.
func BenchmarkMessages(b *testing.B) {
	ctx, s := context.Background(), storetest.Open(b)
	u := newUser(b, s, "ann")
	box := inbox(b, s, u.ID)
	var k *store.Key
	for i := range int64(1000) {
		appendTo(b, s, u.ID, box.ID, tenKB(i))
		if i == 500 {
			page := must(s.Messages(ctx, store.List{User: u.ID, Mailbox: box.ID, Limit: 1}))(b)
			key := store.KeyOf(&page.Messages[0])
			k = &key
		}
	}
	for name, l := range map[string]store.List{"newest": {}, "middle": {Before: k}, "counts": {ThreadCounts: true}} {
		l.User, l.Mailbox = u.ID, box.ID
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(s.Messages(ctx, l))(b)
			}
		})
	}
	b.Run("mailboxes", func(b *testing.B) {
		for b.Loop() {
			must(s.Mailboxes(ctx, u.ID))(b)
		}
	})
	b.Run("message", func(b *testing.B) {
		for b.Loop() {
			must(s.Message(ctx, u.ID, box.ID, 500))(b)
		}
	})
}
