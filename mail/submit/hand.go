package submit

import (
	"context"
	"sync"

	"github.com/eidermail/eider/mail"
)

// hand is the drafts that are being saved or sent in this process. Who comes
// second waits and then finds that the draft has gone, so that a button pressed
// twice sends once. Between processes the same press has the time of one
// sending to go wrong; the cost is a second copy, never a lost message.
type hand struct {
	mu   sync.Mutex
	refs map[Ref]chan struct{}
}

// take waits until nobody else has the draft in hand. release must be called.
func (h *hand) take(ctx context.Context, r Ref) (release func(), err error) {
	if r.IsZero() {
		return func() {}, nil
	}
	for {
		h.mu.Lock()
		other, taken := h.refs[r]
		if !taken {
			break
		}
		h.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, &mail.Error{Code: mail.CodeUnavailable, Op: "wait for draft", Err: ctx.Err()}
		}
	}
	defer h.mu.Unlock()
	if h.refs == nil {
		h.refs = map[Ref]chan struct{}{}
	}
	done := make(chan struct{})
	h.refs[r] = done
	return func() {
		h.mu.Lock()
		delete(h.refs, r)
		h.mu.Unlock()
		close(done)
	}, nil
}
