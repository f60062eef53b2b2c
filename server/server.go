// Package server starts the mail listeners together and stops them together.
// The protocols live in the folders below.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/eidermail/eider/server/lmtpd"
	"github.com/eidermail/eider/server/smtpd"
)

// Config names the addresses, empty for off, and what the listeners share.
type Config struct {
	LMTP, SMTP string
	Options    smtpd.Options
}

// Servers are the running listeners.
type Servers struct {
	// LMTP and SMTP are nil when off.
	LMTP, SMTP *smtpd.Server
}

// Start opens every address or none. The error names the one that failed.
func Start(ctx context.Context, c Config) (*Servers, error) {
	s := &Servers{}
	lmtp, err := open(ctx, "lmtp", c.LMTP)
	if err != nil {
		return nil, err
	}
	mx, err := open(ctx, "smtp", c.SMTP)
	if err != nil {
		if lmtp != nil {
			err = errors.Join(err, lmtp.Close())
		}
		return nil, err
	}
	if lmtp != nil {
		s.LMTP = lmtpd.Start(lmtp, c.Options)
	}
	if mx != nil {
		s.SMTP = smtpd.Start(mx, c.Options)
	}
	return s, nil
}

func open(ctx context.Context, name, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s cannot be opened: %w", name, addr, err)
	}
	return l, nil
}

// Stop ends the listeners at the same time, each after the work in hand, until
// ctx ends.
func (s *Servers) Stop(ctx context.Context) error {
	stops := make(chan error, 2)
	running := 0
	for _, one := range []*smtpd.Server{s.LMTP, s.SMTP} {
		if one != nil {
			running++
			go func() { stops <- one.Stop(ctx) }()
		}
	}
	var err error
	for range running {
		err = errors.Join(err, <-stops)
	}
	return err
}
