package smtpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/mail/store"
	"github.com/eidermail/eider/server/conn"
)

// Session is one connection's state. The library has no contexts, so the
// server's is used; it ends when the server gives work in hand up.
type Session struct {
	server *Server
	log    *slog.Logger
	client *smtp.Conn
	remote string
	conn   *conn.Conn
	tls    *tls.ConnectionState

	// mu guards the transaction: with BDAT the library reads a message in one
	// goroutine while it may reset the session in another.
	mu sync.Mutex
	tx *transaction
}

// transaction is what MAIL began.
type transaction struct {
	id   string
	helo string
	from string
	size int64
	utf8 bool
	// given are the texts of the RCPT commands, rcpts whom they mean.
	given []string
	rcpts []deliver.Recipient
}

func newSession(server *Server, sc *smtp.Conn, c *conn.Conn) *Session {
	s := &Session{server: server, client: sc, conn: c, remote: conn.IP(c.RemoteAddr())}
	if state, ok := sc.TLSConnectionState(); ok {
		s.tls = &state
	}
	c.SetAbove(sc.Conn())
	s.log = server.log.With(slog.String("sid", c.ID), slog.String("remote", s.remote))
	return s
}

// reply makes an answer with an enhanced status code (RFC 2034, RFC 3463).
func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

// The answers that are not about a domain error.
var (
	errEnded     = reply(421, 4, 3, 2, "This connection is ending")
	errNested    = reply(503, 5, 5, 1, "A transaction is open already")
	errSender    = reply(553, 5, 1, 7, "Sender address syntax not accepted")
	errUTF8      = reply(553, 5, 6, 7, "Address with characters beyond ASCII needs the SMTPUTF8 parameter")
	errFull      = reply(452, 4, 3, 1, "Too much mail in hand, try again later")
	errNobody    = reply(503, 5, 5, 1, "No recipients")
	errCut       = reply(451, 4, 4, 2, "Message data incomplete")
	errLine      = reply(554, 5, 6, 0, "A line of the message is too long")
	errBare      = reply(554, 5, 6, 0, "CR or LF outside CRLF is not allowed in message data")
	errTooBig    = reply(552, 5, 2, 2, "Message larger than the mailbox may hold")
	sayBareReply = "554 5.6.0 CR or LF outside CRLF is not allowed in message data\r\n"
)

// Reset forgets the transaction. The library calls it when the answer to a
// message is written, too.
func (s *Session) Reset() {
	s.mu.Lock()
	s.tx = nil
	s.mu.Unlock()
	s.conn.Answered()
}

// Logout ends the session.
func (s *Session) Logout() error { return nil }

// Mail begins a transaction. Any reverse-path that is an address, and the
// null one, is taken; whether it is true is a later stage's work.
func (s *Session) Mail(from string, opts *smtp.MailOptions) error {
	if s.conn.Dead() {
		return errEnded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx != nil {
		// RFC 5321 4.1.4: MAIL must not be sent inside a transaction.
		return errNested
	}
	tx := &transaction{
		id: store.NewQueueID(s.server.o.Now()), helo: s.client.Hostname(),
		size: opts.Size, utf8: opts.UTF8,
	}
	if from != "" {
		if !tx.utf8 && !isASCII(from) {
			return errUTF8
		}
		var ok bool
		if tx.from, ok = reversePath(from); !ok {
			return errSender
		}
	}
	s.tx = tx
	return nil
}

// maxPath is the longest path of RFC 5321 4.5.3.1.3.
const maxPath = 256

// reversePath gives the sender's address as Return-Path shows it. Forwarders
// and list servers write local-parts over 64 octets (SRS, VERP); as a
// reverse-path they are taken, up to the length of a path.
func reversePath(path string) (string, bool) {
	a, err := parse(path)
	if err == nil {
		return a.String(), true
	}
	var bad *address.Error
	at := strings.LastIndexByte(path, '@')
	if !errors.As(err, &bad) || bad.Reason != address.ReasonLong || len(path) > maxPath || strings.ContainsAny(path[:at], ` "\<>`) {
		return "", false
	}
	for _, r := range path[:at] {
		if !unicode.IsGraphic(r) {
			return "", false
		}
	}
	domain, err := address.Domain(path[at+1:])
	return path[:at] + "@" + domain, err == nil
}

// parse reads a path from which the library took the quotation marks of the
// local-part away.
func parse(path string) (address.Address, error) {
	a, err := address.Parse(path)
	if err == nil {
		return a, nil
	}
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return address.Address{}, err
	}
	local := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path[:at])
	return address.Parse(`"` + local + `"` + path[at:])
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Rcpt accepts a recipient that is here and has room.
func (s *Session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	switch {
	case s.conn.Dead() || tx == nil:
		return errEnded
	case !tx.utf8 && !isASCII(to):
		return errUTF8
	}
	a, err := parse(to)
	if err != nil {
		return s.refuse(tx, to, &mail.Error{Code: mail.CodeInvalid, Op: "read recipient", Field: "address", Err: err})
	}
	who, err := s.resolve(a)
	if err == nil {
		err = room(who.User, tx.size)
	}
	if err != nil {
		return s.refuse(tx, to, err)
	}
	tx.given, tx.rcpts = append(tx.given, to), append(tx.rcpts, who)
	return nil
}

func (s *Session) resolve(a address.Address) (who deliver.Recipient, err error) {
	defer s.recovered(func(e error) { err = e })
	return s.server.o.Deliver.Resolve(s.server.ctx, a.String())
}

// refuse logs a refused recipient and words the answer.
func (s *Session) refuse(tx *transaction, to string, err error) error {
	answer := answerTo(err)
	s.log.LogAttrs(s.server.ctx, slog.LevelInfo, "recipient refused",
		slog.String("id", tx.id), slog.String("reverse_path", tx.from), slog.String("recipient", to),
		slog.Int("code", answer.Code), slog.Any("error", err))
	return answer
}

// room refuses what is announced (RFC 1870) as larger than the room that is left.
func room(u mail.User, size int64) error {
	switch {
	case u.Quota <= 0 || size <= 0 || u.StorageUsed+size <= u.Quota:
		return nil
	case size > u.Quota:
		return &mail.Error{Code: mail.CodeTooBig, Op: "check quota", Reason: "quota"}
	default:
		return &mail.Error{Code: mail.CodeOverQuota, Op: "check quota"}
	}
}

// Data takes the message and answers after it is stored for everybody. A
// message that is larger than some recipient's mailbox may ever hold is
// refused before anybody gets it: there is one answer for all of them.
func (s *Session) Data(r io.Reader) error {
	m, err := s.Receive(r)
	if err != nil {
		return err
	}
	defer m.Done()
	for _, who := range m.Recipients {
		if who.User.Quota > 0 && m.Message.Size() > who.User.Quota {
			return errTooBig
		}
	}
	return s.Answer(s.deliverAll(m))
}

func (s *Session) deliverAll(m Received) (err error) {
	defer s.recovered(func(e error) { err = e })
	return s.server.o.Deliver.DeliverAll(s.server.ctx, m.Delivery)
}

// Deliver is the per-recipient form of Data's second half, for LMTP.
func (s *Session) Deliver(m Received) (results []deliver.Result) {
	defer s.recovered(func(e error) {
		results = make([]deliver.Result, len(m.Recipients))
		for i := range results {
			results[i].Err = e
		}
	})
	return s.server.o.Deliver.Deliver(s.server.ctx, m.Delivery)
}

// recovered turns a defect of ours into a temporary failure of one message.
func (s *Session) recovered(fail func(error)) {
	if defect := recover(); defect != nil {
		err := fmt.Errorf("panic: %v", defect)
		s.log.LogAttrs(s.server.ctx, slog.LevelError, "delivery panicked",
			slog.Any("error", err), slog.String("stack", string(debug.Stack())))
		fail(&mail.Error{Code: mail.CodeInternal, Op: "deliver", Err: err})
	}
}

// Answer words an error; nil stays nil.
func (s *Session) Answer(err error) error {
	if err == nil {
		return nil
	}
	return answerTo(err)
}

// Received is a message as it came, with our trace field on top.
type Received struct {
	deliver.Delivery
	// Given are the texts of the RCPT commands, one for each recipient.
	Given []string
	// Done must be called when the message is filed.
	Done func()
}

// Receive reads the whole message, under the limits. The error is the answer
// to the client. After a CR or LF outside CRLF the client is told and the
// connection ended here: what follows may be meant as commands by another
// reading of the same bytes.
func (s *Session) Receive(r io.Reader) (Received, error) {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	if tx == nil || len(tx.rcpts) == 0 {
		return Received{}, errNobody
	}
	if !s.conn.Begin() {
		return Received{}, errEnded
	}
	m := s.begin(tx)
	held := s.server.spool.New()
	err := s.read(r, tx, held)
	if _, chunks := r.(*io.PipeReader); chunks && err == nil && !s.conn.Whole() {
		err = io.ErrUnexpectedEOF
	}
	m.Done = func() {
		if err := held.Close(); err != nil {
			s.log.LogAttrs(s.server.ctx, slog.LevelWarn, "spool file not closed", slog.String("id", tx.id), slog.Any("error", err))
		}
		s.conn.End()
	}
	if err == nil {
		m.Message = held.Source()
		return m, nil
	}
	m.Done()
	s.log.LogAttrs(s.server.ctx, slog.LevelInfo, "message refused",
		slog.String("id", tx.id), slog.String("reverse_path", tx.from), slog.Any("error", err))
	return Received{}, s.unread(err, len(tx.rcpts))
}

// unread words why a message could not be read.
func (s *Session) unread(err error, recipients int) error {
	var answer *smtp.SMTPError
	switch {
	case s.conn.Bare() || errors.Is(err, conn.ErrBareLineEnd):
		lines := 1
		if s.server.lmtp {
			lines = recipients
		}
		s.conn.Refuse(strings.Repeat(sayBareReply, lines))
		return errBare
	case errors.Is(err, conn.ErrLongLine):
		return errLine
	case errors.Is(err, spool.ErrFull):
		return errFull
	case errors.As(err, &answer):
		return answer
	default:
		return errCut
	}
}

// begin fills in what is known before the message comes.
func (s *Session) begin(tx *transaction) Received {
	m := Received{Given: tx.given}
	m.Delivery = deliver.Delivery{
		ID: tx.id, ReversePath: tx.from, Recipients: tx.rcpts, Source: "MX", RemoteIP: s.remote, Helo: tx.helo,
		TransType: s.with(tx), Time: s.server.o.Now(),
	}
	if s.tls != nil {
		m.TLSVersion, m.TLSCipher = tls.VersionName(s.tls.Version), tls.CipherSuiteName(s.tls.CipherSuite)
	}
	return m
}

// read puts the message into the spool, behind our Received field.
func (s *Session) read(r io.Reader, tx *transaction, held *spool.Message) error {
	if _, err := held.Write(s.received(tx)); err != nil {
		return err
	}
	// A buffer of ours: io.Copy would take the library's, which is small.
	b, _ := copyBuffers.Get().(*[copyStep]byte)
	defer copyBuffers.Put(b)
	_, err := io.CopyBuffer(struct{ io.Writer }{held}, struct{ io.Reader }{conn.NewStrictReader(r, textLine)}, b[:])
	if s.conn.Bare() {
		return conn.ErrBareLineEnd
	}
	return err
}

// copyStep is how much of a message is read at a time.
const copyStep = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyStep]byte) }}
