package signal

import "sync"

// queueLength is how many messages wait for a slow subscriber. A message on
// WildDuck's channel is 32 bytes, so a full queue is small.
const queueLength = 256

// queue is the Subscription of both implementations. The publisher never
// waits: a message that does not fit is dropped and leaves a token in lost.
type queue struct {
	messages chan []byte
	lost     chan struct{}
	// leave takes the queue out of its Signal. It is called once, by Close.
	leave func(*queue)
	once  sync.Once

	mu     sync.Mutex // held for sends and for the closing of messages
	closed bool
}

func newQueue(leave func(*queue)) *queue {
	return &queue{messages: make(chan []byte, queueLength), lost: make(chan struct{}, 1), leave: leave}
}

func (q *queue) C() <-chan []byte { return q.messages }

func (q *queue) Lost() <-chan struct{} { return q.lost }

func (q *queue) Close() {
	q.once.Do(func() { q.leave(q) })
	q.end()
}

// end closes the channel of messages; what is queued can still be read.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.messages)
	}
}

func (q *queue) send(payload []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	select {
	case q.messages <- payload:
	default:
		q.miss()
	}
}

// miss tells the subscriber that messages may be missing. One token is enough
// however many are.
func (q *queue) miss() {
	select {
	case q.lost <- struct{}{}:
	default:
	}
}

var _ Subscription = (*queue)(nil)
