package signal

import (
	"container/heap"
	"time"
)

// entry is a key of the memory implementation.
type entry struct {
	key   string
	value string
	// until is when the key ends; the zero time means never.
	until time.Time
	index int
}

// table is a map whose keys expire. A heap has the key that ends first on top,
// so that finding what has ended costs nothing while nothing has.
type table struct {
	byKey map[string]*entry
	order expiryHeap
	max   int
}

func newTable(maxKeys int) *table {
	return &table{byKey: make(map[string]*entry), max: maxKeys}
}

// purge removes what has ended by now.
func (t *table) purge(now time.Time) {
	for len(t.order) > 0 {
		first := t.order[0]
		if first.until.IsZero() || first.until.After(now) {
			return
		}
		t.remove(first)
	}
}

func (t *table) get(key string) *entry { return t.byKey[key] }

// put writes a key. At the bound the key that would end first makes room.
func (t *table) put(key, value string, until time.Time) {
	if e := t.byKey[key]; e != nil {
		e.value, e.until = value, until
		heap.Fix(&t.order, e.index)
		return
	}
	if len(t.byKey) >= t.max {
		t.remove(t.order[0])
	}
	e := &entry{key: key, value: value, until: until}
	t.byKey[key] = e
	heap.Push(&t.order, e)
}

func (t *table) remove(e *entry) {
	delete(t.byKey, e.key)
	heap.Remove(&t.order, e.index)
}

// expiryHeap orders entries by their end; those without one are last.
type expiryHeap []*entry

func (h expiryHeap) Len() int { return len(h) }

func (h expiryHeap) Less(i, j int) bool {
	if h[i].until.IsZero() || h[j].until.IsZero() {
		return !h[i].until.IsZero()
	}
	return h[i].until.Before(h[j].until)
}

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *expiryHeap) Push(x any) {
	e, ok := x.(*entry)
	if !ok {
		return
	}
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop is for container/heap.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
