// Package lmtpd receives mail from the site's own MTA over LMTP (RFC 2033):
// one answer for each recipient after the data. Everything else is smtpd's.
package lmtpd

import (
	"io"
	"net"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/server/smtpd"
)

// session adds the answer for each recipient.
type session struct{ *smtpd.Session }

var _ smtp.LMTPSession = session{}

// Start serves LMTP on the listener until Stop.
func Start(l net.Listener, o smtpd.Options) *smtpd.Server {
	return smtpd.StartLMTP(l, o, func(s *smtpd.Session) smtp.Session { return session{s} })
}

// LMTPData takes the message and answers for each recipient when its copy is
// stored (RFC 2033 4.2).
func (s session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	m, err := s.Receive(r)
	if err != nil {
		return err
	}
	defer m.Done()
	for i, result := range s.Deliver(m) {
		status.SetStatus(m.Given[i], s.Answer(result.Err))
	}
	return nil
}
