package storebench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// delays measures how long a durable insert of a message takes at worst while
// something large goes on: nothing, a backup, a delete of a mailbox, a drop.
func (s *store) delays(ctx context.Context, line Line) error {
	for _, d := range []struct {
		name   string
		during func(ctx context.Context) error
	}{
		{"nothing, for three seconds", func(ctx context.Context) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}},
		{"a backup", func(ctx context.Context) error {
			_, err := s.engine.Backup(ctx, filepath.Join(s.dir, "backup.db"), nil)
			return err
		}},
		{"a delete of 10,000 messages", func(ctx context.Context) error {
			_, err := s.c.DeleteMany(ctx, bson.D{{Key: "mailbox", Value: mailboxID(s.mailboxes())}})
			return err
		}},
		{"a drop of all messages", func(ctx context.Context) error {
			if err := s.c.Drop(ctx); err != nil {
				return err
			}
			return s.freed(ctx)
		}},
	} {
		middle, worst, n, err := s.insertsDuring(ctx, d.during)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		line("worst insert during "+d.name, fmt.Sprintf("%s  middle %s of %d", short(worst), short(middle), n), "goal ≤ 50 ms")
	}
	return nil
}

// freed waits until what was dropped is freed.
func (s *store) freed(ctx context.Context) error {
	for {
		left, err := s.engine.Remains()
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// insertsDuring inserts, one after the other, as long as something goes on.
func (s *store) insertsDuring(ctx context.Context, during func(ctx context.Context) error) (mid, worst time.Duration, n int, err error) {
	c := s.c.Database().Collection("arriving")
	ended := make(chan error, 1)
	go func() { ended <- during(ctx) }()
	var took []time.Duration
	for {
		select {
		case err := <-ended:
			if len(took) == 0 {
				return 0, 0, 0, err
			}
			mid = middle(took)
			return mid, took[len(took)-1], len(took), err
		default:
		}
		d := s.fresh(len(took))
		d[0].Value = bson.NewObjectID()
		began := time.Now()
		if _, err := c.InsertOne(ctx, d); err != nil {
			return 0, 0, 0, fmt.Errorf("inserting: %w", err)
		}
		took = append(took, time.Since(began))
	}
}
