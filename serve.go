package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail/deliver"
	"github.com/eidermail/eider/mail/queue"
	"github.com/eidermail/eider/mail/spool"
	"github.com/eidermail/eider/mail/submit"
	"github.com/eidermail/eider/server"
	"github.com/eidermail/eider/server/smtpd"
	"github.com/eidermail/eider/web"
	"github.com/eidermail/eider/web/api"
	"github.com/eidermail/eider/web/imageproxy"
	"github.com/eidermail/eider/web/live"
	"github.com/eidermail/eider/web/session"
	"github.com/eidermail/eider/web/webmail"
)

// collectAt is the garbage collector's setting where GOGC does not say another.
// The live heap is some ten megabytes, so a collection at four times as much
// costs little memory; it saves a tenth of a delivery's time against Go's own
// setting of 100 (make bench).
const collectAt = 300

// What may be in the spool of HTTP and sending at a time, in bytes.
const (
	spoolMemory = 128 << 20
	spoolDisk   = 4 << 30
)

// program is a running instance.
type program struct {
	config  config.Config
	log     *slog.Logger
	backend *backend
	tls     *tls.Config

	deliver *deliver.Deliverer
	submit  *submit.Submitter
	// spool holds what is built or comes over HTTP.
	spool   *spool.Pool
	live    *live.Live
	metrics *web.Metrics

	mail     *server.Servers
	web, api *web.Server
	control  *control
	tools    *docstore.Listener
	// stopping ends event streams, which no graceful stop would wait out.
	stopping context.Context
	stopAll  context.CancelFunc
	// work is the store's in the background.
	work     sync.WaitGroup
	stopWork context.CancelFunc
}

// serve starts everything, prints the ready line, and ends on a signal.
func serve(ctx context.Context, t terminal, c config.Config) error {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(collectAt)
	}
	log := newLogger(t.err, c)
	b, err := openBackend(ctx, c, log)
	if err != nil {
		return unlessAsked(ctx, err)
	}
	p := &program{config: c, log: log, backend: b, metrics: web.NewMetrics()}
	p.stopping, p.stopAll = context.WithCancel(context.Background())
	if err := p.start(ctx, t); err != nil {
		return errors.Join(unlessAsked(ctx, err), p.stop())
	}
	_, _ = fmt.Fprintln(t.out, "ready "+p.addresses())
	log.LogAttrs(ctx, slog.LevelInfo, "ready", slog.String("version", version()), slog.String("store", c.StoreName()))
	<-ctx.Done()
	log.LogAttrs(context.Background(), slog.LevelInfo, "stopping")
	return p.stop()
}

// unlessAsked drops the failure of a start that was asked to stop before it was
// ready.
func unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// start wires the parts together and opens the listeners.
func (p *program) start(ctx context.Context, t terminal) (err error) {
	if p.tls, err = loadTLS(p.config); err != nil {
		return err
	}
	if p.config.Mongo == "" {
		if err := p.backend.recover(ctx, p.config, p.log); err != nil {
			return err
		}
		// Before the first mail is taken: the file also marks a stop out of order.
		if p.control, err = startControl(ctx, p.stopping, p.config, p.backend, p.log); err != nil {
			return err
		}
	}
	b := p.backend
	p.deliver = deliver.New(deliver.Options{Store: b.store, Signal: b.signals, Log: p.log})
	p.spool = &spool.Pool{Folder: p.config.Data, Memory: spoolMemory, Disk: spoolDisk}
	p.submit = submit.New(submit.Options{
		Store: b.store, Deliver: p.deliver, Queue: queue.New(b.store, p.log), Limit: b.limit,
		Log: p.log, Hostname: p.config.Hostname, Spool: p.spool,
	})
	p.mail, err = server.Start(ctx, server.Config{
		LMTP: p.config.LMTP, SMTP: p.config.SMTP,
		Options: smtpd.Options{
			Deliver: p.deliver, Log: p.log, Hostname: p.config.Hostname, TLS: p.tls,
			MaxMessage: p.config.MaxMessage, MaxRecipients: p.config.MaxRecipients, Folder: p.config.Data,
		},
	})
	if err != nil {
		return err
	}
	if err := p.startWeb(ctx); err != nil {
		return err
	}
	if err := p.startAPI(ctx); err != nil {
		return err
	}
	if err := p.startTools(ctx); err != nil {
		return err
	}
	work, stopWork := context.WithCancel(context.Background())
	p.stopWork = stopWork
	p.work.Go(func() { b.store.Work(work) })
	// Last, so that a start that fails shows no password in passing.
	return p.firstAdministrator(ctx, t)
}

// firstAdministrator makes the first account of an empty installation, and
// shows its password and token this once, apart from the log.
func (p *program) firstAdministrator(ctx context.Context, t terminal) error {
	admin, made, err := p.backend.accounts.EnsureAdmin(ctx)
	if err != nil {
		return fmt.Errorf("make the first administrator: %w", err)
	}
	if made {
		_, _ = fmt.Fprintf(t.err, "First administrator, shown once: user name %s, password %s, API token %s\n",
			admin.User.Username, admin.Password, admin.Token)
	}
	return nil
}

func (p *program) startWeb(ctx context.Context) error {
	if p.config.Web == "" {
		return nil
	}
	b := p.backend
	guard := session.NewGuard(b.accounts, deriveKey(b.secret, "visit"), p.config.BehindProxy)
	proxy, err := imageproxy.New(imageproxy.Options{
		Key: deriveKey(b.secret, "image"), Path: webmail.ImagePath, Log: p.log,
	})
	if err != nil {
		return err
	}
	p.live = live.New(live.Options{
		Log: p.log, Store: b.store, Hub: b.hub, Guard: guard, Key: deriveKey(b.secret, "live"),
		Check: func(ctx context.Context, secret string) error {
			_, err := b.accounts.Session(ctx, secret)
			return err
		},
	})
	e := web.NewEcho(p.base("web"))
	webmail.Register(e, webmail.Options{
		Log: p.log, Store: b.store, Accounts: b.accounts, Submit: p.submit, Deliver: p.deliver,
		Limit: b.limit, Signal: b.signals, Guard: guard, Proxy: proxy, Live: p.live,
		ContentKey: deriveKey(b.secret, "content"), MaxMessage: p.config.MaxMessage,
		RequestID: web.RequestID, Now: time.Now,
	})
	p.web, err = web.Listen(ctx, "web", p.config.Web, e, p.webTLS(), p.log)
	return err
}

func (p *program) startAPI(ctx context.Context) (err error) {
	if p.config.API == "" {
		return nil
	}
	b := p.backend
	e := web.NewEcho(p.base("api"))
	e.GET("/metrics", echo.WrapHandler(p.metrics.Handler()))
	api.Register(e, api.Options{
		Log: p.log, Store: b.store, Accounts: b.accounts, Submit: p.submit, Hub: b.hub, Signal: b.signals, Spool: p.spool,
		RootToken: p.config.APIToken, Open: p.config.APIOpen, EmailDomain: p.config.Domains[0],
		RequestID: web.RequestID, Stopping: p.stopping, Now: time.Now,
	})
	p.api, err = web.Listen(ctx, "api", p.config.API, e, p.webTLS(), p.log)
	return err
}

// startTools opens the embedded store to other programs of this machine.
func (p *program) startTools(ctx context.Context) (err error) {
	if p.config.DocstoreListen == "" {
		return nil
	}
	if p.tools, err = p.backend.engine.Listen(ctx, p.config.DocstoreListen); err != nil {
		return fmt.Errorf("--docstore-listen: %w", err)
	}
	return nil
}

func (p *program) base(surface string) web.Base {
	return web.Base{
		Log: p.log, Metrics: p.metrics, BehindProxy: p.config.BehindProxy, Surface: surface,
		Ready: func(ctx context.Context) error {
			return errors.Join(p.backend.store.Ping(ctx), p.backend.signals.Ping(ctx))
		},
	}
}

// webTLS is nil for plain HTTP: on loopback, or behind a proxy that ends TLS.
func (p *program) webTLS() *tls.Config {
	if p.config.TLSCert == "" {
		return nil
	}
	return p.tls
}

// addresses lists the listeners that are on, for the ready line.
func (p *program) addresses() string {
	var parts []string
	add := func(name string, a net.Addr) { parts = append(parts, name+"="+a.String()) }
	if p.web != nil {
		add("web", p.web.Addr())
	}
	if p.api != nil {
		add("api", p.api.Addr())
	}
	if p.mail.LMTP != nil {
		add("lmtp", p.mail.LMTP.Addr())
	}
	if p.mail.SMTP != nil {
		add("smtp", p.mail.SMTP.Addr())
	}
	if p.tools != nil {
		add("docstore", p.tools.Addr())
	}
	return strings.Join(parts, " ")
}

// endWork ends the work in the background after the step in hand. What is left
// of it goes on with the next start.
func (p *program) endWork(ctx context.Context) error {
	p.stopWork()
	done := make(chan struct{})
	go func() {
		p.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("work in the background does not end: %w", ctx.Err())
	}
}

// closeTimeout bounds the closing of the data, where nothing is in hand any more.
const closeTimeout = 5 * time.Second

// stop lets work in hand end, within the configured time: first the listeners,
// all at once, then the data below them. Where work was cut the control file
// stays, so that the next start mends what that left.
func (p *program) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.config.StopTimeout)
	defer cancel()
	p.stopAll()
	if p.live != nil {
		p.live.Stop()
	}
	var stops []func(context.Context) error
	if p.mail != nil {
		stops = append(stops, p.mail.Stop)
	}
	for _, s := range []*web.Server{p.web, p.api} {
		if s != nil {
			stops = append(stops, s.Stop)
		}
	}
	if p.tools != nil {
		stops = append(stops, p.tools.Stop)
	}
	if p.control != nil {
		stops = append(stops, p.control.stop)
	}
	if p.stopWork != nil {
		stops = append(stops, p.endWork)
	}
	results := make(chan error, len(stops))
	for _, stop := range stops {
		go func() { results <- stop(ctx) }()
	}
	var err error
	for range stops {
		err = errors.Join(err, <-results)
	}
	if p.control != nil && err == nil {
		err = p.control.remove()
	}
	closing, cancelClosing := context.WithTimeout(context.Background(), closeTimeout)
	defer cancelClosing()
	return errors.Join(err, p.backend.close(closing))
}
