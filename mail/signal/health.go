package signal

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

var errAway = errors.New("the server is away")

// probeEvery is how often a server that is away is asked again. In between
// calls fail at once, so that a server that swallows packets does not make
// every login wait for a time-out.
const probeEvery = 200 * time.Millisecond

// health remembers whether the server answers. It logs the change, not each
// failure.
type health struct {
	log *slog.Logger

	mu        sync.Mutex
	away      bool
	since     time.Time
	nextProbe time.Time
}

func newHealth(log *slog.Logger) *health { return &health{log: log} }

// mayTry says whether to ask the server now.
func (h *health) mayTry() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.away {
		return true
	}
	now := time.Now()
	if now.Before(h.nextProbe) {
		return false
	}
	h.nextProbe = now.Add(probeEvery)
	return true
}

func (h *health) fails(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.nextProbe = now.Add(probeEvery)
	if h.away {
		return
	}
	h.away, h.since = true, now
	h.log.Warn("signals are away", slog.Any("error", err))
}

func (h *health) works() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.away {
		return
	}
	h.away = false
	h.log.Info("signals are back", slog.Duration("away", time.Since(h.since).Round(time.Millisecond)))
}
