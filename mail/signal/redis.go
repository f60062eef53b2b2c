package signal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/eidermail/eider/mail"
)

// How long one exchange with the server may take. Signals are asked on every
// login and every delivery: a server that does not answer must not hold them.
const (
	dialTimeout  = 2 * time.Second
	replyTimeout = 2 * time.Second
)

// redisSignal is Signal on Redis. Values, counters and locks go through the
// client's pool; all subscriptions share one connection, kept by listener.
type redisSignal struct {
	client   *redis.Client
	health   *health
	listener *listener
}

// NewRedis connects to the server that uri names: redis://, rediss:// (TLS) or
// unix://. Keys are written as given, so that WildDuck's processes on the same
// server see them.
//
// Errors: CodeInvalid for the uri, CodeUnavailable when the server does not
// answer. A server that goes away later is logged once, and once when it is
// back.
func NewRedis(ctx context.Context, uri string, log *slog.Logger) (Signal, error) {
	options, err := redis.ParseURL(uri)
	if err != nil {
		return nil, &mail.Error{Code: mail.CodeInvalid, Op: "read Redis address", Field: "redis", Err: hideURI(err)}
	}
	options.DialTimeout = dialTimeout
	options.ReadTimeout = replyTimeout
	options.WriteTimeout = replyTimeout
	options.ContextTimeoutEnabled = true
	options.DialerRetries = 1
	// One more try covers a connection that the server closed while idle. A
	// count may then be added twice, which errs on the side of the limit.
	options.MaxRetries = 1
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redis.SetLogger(clientLog{log})
	r := &redisSignal{client: redis.NewClient(options), health: newHealth(log)}
	if err := r.client.Ping(ctx).Err(); err != nil {
		_ = r.client.Close()
		return nil, unavailable("connect to Redis", err)
	}
	r.listener = newListener(r.client, r.health)
	return r, nil
}

// hideURI keeps the text of an error that may quote a password to its kind.
func hideURI(err error) error {
	return fmt.Errorf("not redis://[user:password@]host:port/db, rediss:// or unix:// (%T)", err)
}

// clientLog brings the client's own complaints into our log at debug level:
// what matters of them is logged by health, once.
type clientLog struct{ log *slog.Logger }

func (c clientLog) Printf(ctx context.Context, format string, v ...any) {
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.LogAttrs(ctx, slog.LevelDebug, "redis client", slog.String("detail", fmt.Sprintf(format, v...)))
	}
}

// do runs one exchange with the server and turns its failure into our error.
func (r *redisSignal) do(ctx context.Context, op string, exchange func() error) error {
	if err := checkContext(ctx, op); err != nil {
		return err
	}
	if r.listener.isClosed() {
		return unavailable(op, ErrClosed)
	}
	if !r.health.mayTry() {
		return unavailable(op, errAway)
	}
	err := exchange()
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		r.health.works()
		return err
	case ctx.Err() != nil:
		// The caller's end says nothing about the server.
		return unavailable(op, err)
	case errors.Is(err, redis.ErrClosed):
		return unavailable(op, ErrClosed)
	case isReply(err) && !isAwayReply(err):
		r.health.works()
		return &mail.Error{Code: mail.CodeInternal, Op: op, Err: err}
	}
	r.health.fails(err)
	return unavailable(op, err)
}

// isReply reports an error that the server itself answered.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isAwayReply reports answers of a server that cannot serve at the moment.
func isAwayReply(err error) bool {
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

func (r *redisSignal) Count(ctx context.Context, key string, by, limit int64, window time.Duration) (Counted, error) {
	const op = "count signal"
	if window == 0 {
		window = defaultWindow
	}
	if err := checkTTL(op, window, false); err != nil {
		return Counted{}, err
	}
	var reply []int64
	err := r.do(ctx, op, func() (err error) {
		reply, err = scriptCount.Run(ctx, r.client, []string{key}, by, limit, window.Milliseconds()).Int64Slice()
		return err
	})
	if err != nil {
		return Counted{}, err
	}
	if len(reply) != 3 {
		return Counted{}, &mail.Error{Code: mail.CodeInternal, Op: op, Err: errReply}
	}
	// PTTL is -1 for a key without end and -2 for none.
	ttl := time.Duration(max(reply[2], 0)) * time.Millisecond
	return Counted{Allowed: reply[0] == 1, Value: reply[1], TTL: ttl}, nil
}

func (r *redisSignal) Adjust(ctx context.Context, key string, by int64, ttl time.Duration) error {
	const op = "adjust signal"
	if err := checkTTL(op, ttl, false); err != nil {
		return err
	}
	return r.do(ctx, op, func() error {
		return scriptAdjust.Run(ctx, r.client, []string{key}, by, ttl.Milliseconds()).Err()
	})
}

func (r *redisSignal) Get(ctx context.Context, key string) (value string, ok bool, err error) {
	err = r.do(ctx, "get signal", func() (err error) {
		value, err = r.client.Get(ctx, key).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	return value, err == nil, err
}

func (r *redisSignal) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	const op = "set signal"
	if err := checkTTL(op, ttl, true); err != nil {
		return err
	}
	return r.do(ctx, op, func() error { return r.client.Set(ctx, key, value, ttl).Err() })
}

func (r *redisSignal) SetNew(ctx context.Context, key, value string, ttl time.Duration) (bool, error) {
	const op = "set signal"
	if err := checkTTL(op, ttl, true); err != nil {
		return false, err
	}
	err := r.do(ctx, op, func() error {
		return r.client.SetArgs(ctx, key, value, redis.SetArgs{Mode: "NX", TTL: ttl}).Err()
	})
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

func (r *redisSignal) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	return r.do(ctx, "delete signal", func() error { return r.client.Del(ctx, keys...).Err() })
}

// SetMember implements Sets.
func (r *redisSignal) SetMember(ctx context.Context, key, member string, in bool) (changed bool, err error) {
	err = r.do(ctx, "change set", func() error {
		var n int64
		var err error
		if in {
			n, err = r.client.SAdd(ctx, key, member).Result()
		} else {
			n, err = r.client.SRem(ctx, key, member).Result()
		}
		changed = n > 0
		return err
	})
	return changed, err
}

func (r *redisSignal) Publish(ctx context.Context, channel string, payload []byte) error {
	return r.do(ctx, "publish signal", func() error { return r.client.Publish(ctx, channel, payload).Err() })
}

func (r *redisSignal) Subscribe(ctx context.Context, channel string) (Subscription, error) {
	return r.listener.subscribe(ctx, channel)
}

func (r *redisSignal) Ping(ctx context.Context) error {
	return r.do(ctx, "ping signals", func() error { return r.client.Ping(ctx).Err() })
}

func (r *redisSignal) Close() error {
	r.listener.close()
	if err := r.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close Redis: %w", err)
	}
	return nil
}

var _ Signal = (*redisSignal)(nil)
