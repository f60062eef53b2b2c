package docstore

import (
	"errors"
	"sync"
)

// pool keeps the connections that read. It gives the one that came back last,
// whose cache and statements are warm; the others are opened when as many read at
// once.
type pool struct {
	slots chan struct{} // one for each that is out
	mu    sync.Mutex
	idle  []*conn
}

// take waits for a place and gives a connection, nil if one has to be opened.
func (p *pool) take() *conn {
	p.slots <- struct{}{}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return c
}

// give takes a connection back; nil: it is no more.
func (p *pool) give(c *conn) {
	if c != nil {
		p.mu.Lock()
		p.idle = append(p.idle, c)
		p.mu.Unlock()
	}
	<-p.slots
}

// close waits until nobody reads, and closes the connections. Nobody may come
// afterwards.
func (p *pool) close() (err error) {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for _, c := range p.idle {
		err = errors.Join(err, c.close())
	}
	return err
}

// read runs f with a connection of the pool.
func (e *Engine) read(f func(c *conn) error) (err error) {
	c := e.readers.take()
	if c == nil {
		if c, err = openReader(e.path); err != nil {
			e.readers.give(nil)
			return storageError(err)
		}
	}
	ok := false
	defer func() {
		if !ok { // f panicked with statements in an unknown state
			_ = c.close()
			c = nil
		}
		e.readers.give(c)
	}()
	err = f(c)
	ok = true
	return err
}
