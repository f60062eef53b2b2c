package signal

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// idleCheck is the silence after which the connection is asked for a sign
	// of life; twice that and it is made anew.
	idleCheck = 15 * time.Second
	// The pause before connecting again doubles between these.
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// listener keeps one connection for all subscriptions of a process. Its run
// goroutine, started by the first subscription, connects, subscribes to what is
// wanted and hands out messages until close, which waits for it.
//
// What is wanted is the set of topics. The connection follows it by settle, one
// goroutine at a time, so that the last state wins whatever the order in which
// subscriptions come and go.
type listener struct {
	client *redis.Client
	health *health
	ctx    context.Context // the listener's life; ends with close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	topics  map[string]*topic
	conn    *redis.PubSub // nil while there is none
	started bool
	failed  bool // the last try to connect failed
	closed  bool

	wire   sync.Mutex // held while writing to conn; taken before mu
	onWire map[string]bool
}

// topic is a channel that somebody subscribes to.
type topic struct {
	// confirmed is true while the server confirmed it on the present connection.
	confirmed bool
	// queues holds true for a queue that has been live before: a further
	// confirmation means that it may have missed something.
	queues  map[*queue]bool
	waiters []chan error
}

func newListener(client *redis.Client, h *health) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	return &listener{client: client, health: h, ctx: ctx, cancel: cancel, topics: make(map[string]*topic), onWire: make(map[string]bool)}
}

func (l *listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *listener) subscribe(ctx context.Context, channel string) (Subscription, error) {
	const op = "subscribe to signals"
	if err := checkContext(ctx, op); err != nil {
		return nil, err
	}
	q := newQueue(func(q *queue) { l.leave(channel, q) })
	confirmation, err := l.join(channel, q)
	if err != nil {
		return nil, unavailable(op, err)
	}
	select {
	case err = <-confirmation:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		q.Close()
		return nil, unavailable(op, err)
	}
	return q, nil
}

// join adds the queue to its topic. The channel gives one value when the
// subscription works or cannot.
func (l *listener) join(channel string, q *queue) (<-chan error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.failed:
		// run keeps trying; who wants to wait calls again.
		return nil, errAway
	}
	t := l.topics[channel]
	if t == nil {
		t = &topic{queues: make(map[*queue]bool)}
		l.topics[channel] = t
	}
	t.queues[q] = t.confirmed
	confirmation := make(chan error, 1)
	switch {
	case t.confirmed:
		confirmation <- nil
		return confirmation, nil
	case !l.started:
		l.started = true
		l.tasks.Go(l.run)
	default:
		l.tasks.Go(func() { l.settle(channel) })
	}
	t.waiters = append(t.waiters, confirmation)
	return confirmation, nil
}

func (l *listener) leave(channel string, q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[channel]
	if t == nil {
		return
	}
	delete(t.queues, q)
	if len(t.queues) > 0 {
		return
	}
	delete(l.topics, channel)
	if !l.closed {
		l.tasks.Go(func() { l.settle(channel) })
	}
}

// settle makes the connection agree with what is wanted of one channel.
func (l *listener) settle(channel string) {
	l.wire.Lock()
	defer l.wire.Unlock()
	l.mu.Lock()
	conn, t := l.conn, l.topics[channel]
	subscribe := t != nil && !t.confirmed
	unsubscribe := t == nil && l.onWire[channel]
	l.mu.Unlock()
	if conn == nil {
		return // connect subscribes to all that is wanted
	}
	var err error
	switch {
	case subscribe:
		l.onWire[channel] = true
		err = conn.Subscribe(l.ctx, channel)
	case unsubscribe:
		delete(l.onWire, channel)
		err = conn.Unsubscribe(l.ctx, channel)
	}
	if err != nil {
		_ = conn.Close() // run notices and connects again
	}
}

// run owns the connection until close.
func (l *listener) run() {
	pause := firstPause
	for l.ctx.Err() == nil {
		conn, err := l.connect()
		if err == nil {
			pause = firstPause
			l.receive(conn)
			l.disconnect(conn)
			continue
		}
		if l.ctx.Err() != nil {
			return
		}
		l.health.fails(err)
		l.refuse(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, lastPause)
	}
}

// connect makes a connection that is subscribed to all that is wanted.
func (l *listener) connect() (*redis.PubSub, error) {
	l.wire.Lock()
	defer l.wire.Unlock()
	conn := l.client.Subscribe(l.ctx)
	l.mu.Lock()
	wanted := make([]string, 0, len(l.topics))
	for channel := range l.topics {
		wanted = append(wanted, channel)
	}
	l.mu.Unlock()
	err := conn.Ping(l.ctx)
	if err == nil && len(wanted) > 0 {
		err = conn.Subscribe(l.ctx, wanted...)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	clear(l.onWire)
	for _, channel := range wanted {
		l.onWire[channel] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	l.conn, l.failed = conn, false
	for channel, t := range l.topics {
		if !l.onWire[channel] && len(t.waiters) > 0 {
			l.tasks.Go(func() { l.settle(channel) })
		}
	}
	return conn, nil
}

// receive hands out messages until the connection ends.
func (l *listener) receive(conn *redis.PubSub) {
	asked := false
	for {
		message, err := conn.ReceiveTimeout(l.ctx, idleCheck)
		if err != nil {
			var netErr net.Error
			if l.ctx.Err() != nil || asked || !errors.As(err, &netErr) || !netErr.Timeout() || conn.Ping(l.ctx) != nil {
				return
			}
			asked = true
			continue
		}
		asked = false
		switch m := message.(type) {
		case *redis.Message:
			l.deliver(m.Channel, []byte(m.Payload))
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				l.confirm(m.Channel)
			}
		}
	}
}

func (l *listener) deliver(channel string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[channel]; t != nil {
		for q := range t.queues {
			q.send(payload)
		}
	}
}

// confirm notes that messages of a channel arrive from now on.
func (l *listener) confirm(channel string) {
	l.health.works()
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[channel]
	if t == nil {
		return
	}
	t.confirmed = true
	for q, live := range t.queues {
		if live {
			q.miss()
		}
		t.queues[q] = true
	}
	t.answer(nil)
}

func (t *topic) answer(err error) {
	for _, waiter := range t.waiters {
		waiter <- err
	}
	t.waiters = nil
}

// disconnect forgets a connection that ended.
func (l *listener) disconnect(conn *redis.PubSub) {
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = nil
	for _, t := range l.topics {
		t.confirmed = false
	}
}

// refuse tells those who wait for a subscription that the server is away.
// Subscriptions that worked before stay and are made again.
func (l *listener) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = true
	for _, t := range l.topics {
		t.answer(err)
	}
}

// close ends all subscriptions and waits for the goroutines.
func (l *listener) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.cancel()
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.mu.Unlock()
	l.tasks.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.topics {
		t.answer(ErrClosed)
		for q := range t.queues {
			q.end()
		}
	}
}
