package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/eidermail/eider/embedded/docstore"
)

const (
	// markCollection is in the target's first database while a transfer is under
	// way: what has arrived, and that the rest may be written over.
	markCollection = "eider_transfer"
	markID         = "transfer"

	batchDocuments = 1000
	batchBytes     = 8 << 20
	selectTimeout  = 10 * time.Second
)

// store is MongoDB or an embedded store, as either end.
type store struct {
	client    *mongo.Client
	databases []string
	// lenient targets go without the options and indexes that they refuse: the
	// embedded store serves fewer kinds of them than MongoDB.
	lenient bool

	into  *mongo.Collection
	batch []any
	bytes int
}

func connect(p Place, databases []string) (*store, error) {
	if len(databases) == 0 {
		return nil, errors.New("no database is named")
	}
	opts := options.Client().SetServerSelectionTimeout(selectTimeout).SetReadPreference(readpref.Primary())
	if p.Engine != nil {
		opts.ApplyURI(docstore.URI).SetDialer(p.Engine).SetServerMonitoringMode("poll")
	} else {
		opts.ApplyURI(p.URI)
	}
	journaled := true
	wc := writeconcern.Majority()
	wc.Journal = &journaled
	client, err := mongo.Connect(opts.SetWriteConcern(wc))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &store{client: client, databases: databases, lenient: p.Engine != nil}, nil
}

func (s *store) close() error {
	return s.client.Disconnect(context.Background())
}

// each goes through the collections by name. Views and MongoDB's own collections
// are not moved.
func (s *store) each(ctx context.Context, f func(collection, func(func(bson.Raw) error) error) error) error {
	for _, name := range s.databases {
		db := s.client.Database(name)
		specs, err := db.ListCollectionSpecifications(ctx, bson.D{})
		if err != nil {
			return fmt.Errorf("listing the collections of %s: %w", name, err)
		}
		slices.SortFunc(specs, func(a, b mongo.CollectionSpecification) int { return strings.Compare(a.Name, b.Name) })
		for _, spec := range specs {
			if spec.Type != "collection" || strings.HasPrefix(spec.Name, "system.") || spec.Name == markCollection {
				continue
			}
			c := collection{DB: name, Name: spec.Name, Options: spec.Options}
			if c.Indexes, err = s.indexes(ctx, c); err != nil {
				return err
			}
			if c.Total, err = db.Collection(c.Name).EstimatedDocumentCount(ctx); err != nil {
				return fmt.Errorf("%s: counting: %w", c, err)
			}
			if err := f(c, func(yield func(bson.Raw) error) error { return s.documents(ctx, c, yield) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) documents(ctx context.Context, c collection, yield func(bson.Raw) error) error {
	cur, err := s.client.Database(c.DB).Collection(c.Name).Find(ctx, bson.D{}, options.Find().SetBatchSize(batchDocuments))
	if err != nil {
		return fmt.Errorf("reading %s: %w", c, err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	for cur.Next(ctx) {
		// The cursor's memory is used again.
		if err := yield(slices.Clone(cur.Current)); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", c, err)
	}
	return nil
}

// indexes are those beside _id's, as listIndexes shows them, without what two
// servers write differently.
func (s *store) indexes(ctx context.Context, c collection) ([]bson.Raw, error) {
	cur, err := s.client.Database(c.DB).Collection(c.Name).Indexes().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: listing the indexes: %w", c, err)
	}
	var specs []bson.D
	if err := cur.All(ctx, &specs); err != nil {
		return nil, fmt.Errorf("%s: listing the indexes: %w", c, err)
	}
	var out []bson.Raw
	for _, spec := range specs {
		spec = slices.DeleteFunc(spec, func(e bson.E) bool { return e.Key == "v" || e.Key == "ns" || e.Key == "background" })
		raw, err := bson.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		if indexName(raw) != "_id_" {
			out = append(out, raw)
		}
	}
	return out, nil
}

func indexName(spec bson.Raw) string {
	name, _ := spec.Lookup("name").StringValueOK()
	return name
}

func (s *store) mark() *mongo.Collection {
	return s.client.Database(s.databases[0]).Collection(markCollection)
}

func (s *store) begin(ctx context.Context) error {
	if err := s.client.Ping(ctx, nil); err != nil {
		return fmt.Errorf("the target cannot be reached: %w", err)
	}
	err := s.mark().FindOne(ctx, bson.D{{Key: "_id", Value: markID}}).Err()
	if err == nil {
		return nil // a transfer was cut
	}
	if !errors.Is(err, mongo.ErrNoDocuments) {
		return fmt.Errorf("looking at the target: %w", err)
	}
	err = s.each(ctx, func(c collection, _ func(func(bson.Raw) error) error) error {
		if c.Total > 0 {
			return fmt.Errorf("%w: %s has %d", ErrNotEmpty, c, c.Total)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := s.mark().InsertOne(ctx, bson.D{{Key: "_id", Value: markID}, {Key: "began", Value: time.Now()}}); err != nil {
		return fmt.Errorf("marking the target: %w", err)
	}
	return nil
}

func (s *store) arrived(ctx context.Context, c collection) (string, bool, error) {
	var m struct {
		Sum string `bson:"sum"`
	}
	err := s.mark().FindOne(ctx, bson.D{{Key: "_id", Value: c.String()}}).Decode(&m)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return "", false, nil
	}
	return m.Sum, err == nil, err
}

func (s *store) create(ctx context.Context, c collection, note func(string)) error {
	db := s.client.Database(c.DB)
	s.into, s.batch, s.bytes = db.Collection(c.Name), nil, 0
	// What is there is empty, or the part that arrived before the cut.
	if err := s.into.Drop(ctx); err != nil {
		return fmt.Errorf("removing the first part: %w", err)
	}
	cmd := bson.D{{Key: "create", Value: c.Name}}
	elements, err := c.Options.Elements()
	if len(c.Options) > 0 && err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	for _, e := range elements {
		cmd = append(cmd, bson.E{Key: e.Key(), Value: e.Value()})
	}
	err = db.RunCommand(ctx, cmd).Err()
	if s.lenient && isCommandError(err) && len(elements) > 0 {
		note("its options are left out: " + err.Error())
		err = db.RunCommand(ctx, cmd[:1]).Err()
	}
	if err != nil {
		return fmt.Errorf("creating the collection: %w", err)
	}
	return nil
}

func isCommandError(err error) bool {
	var ce mongo.CommandError
	return errors.As(err, &ce)
}

func (s *store) add(ctx context.Context, doc bson.Raw) error {
	s.batch = append(s.batch, doc)
	s.bytes += len(doc)
	if len(s.batch) >= batchDocuments || s.bytes >= batchBytes {
		return s.flush(ctx)
	}
	return nil
}

func (s *store) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	if _, err := s.into.InsertMany(ctx, s.batch, options.InsertMany().SetOrdered(false)); err != nil {
		return fmt.Errorf("writing %d documents: %w", len(s.batch), err)
	}
	s.batch, s.bytes = nil, 0
	return nil
}

// finish makes the indexes after it has compared the documents: what a TTL index
// removes would be missed otherwise.
func (s *store) finish(ctx context.Context, c collection, sent *sum, note func(string), read func(int64)) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	back := &sum{}
	err := s.documents(ctx, c, func(doc bson.Raw) error {
		if back.add(doc); back.count%progressStep == 0 {
			read(back.count)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if *back != *sent {
		return fmt.Errorf("%w: %d documents with the sum %s were sent, and %d with %s are there", ErrDiffers, sent.count, sent, back.count, back)
	}
	if err := s.makeIndexes(ctx, c, note); err != nil {
		return err
	}
	_, err = s.mark().InsertOne(ctx, bson.D{{Key: "_id", Value: c.String()}, {Key: "documents", Value: sent.count}, {Key: "sum", Value: sent.String()}})
	if err != nil {
		return fmt.Errorf("marking the target: %w", err)
	}
	return nil
}

func (s *store) makeIndexes(ctx context.Context, c collection, note func(string)) error {
	want := map[string]bson.Raw{}
	for _, spec := range c.Indexes {
		err := s.into.Database().RunCommand(ctx, bson.D{{Key: "createIndexes", Value: c.Name}, {Key: "indexes", Value: bson.A{spec}}}).Err()
		if s.lenient && isCommandError(err) {
			note("the index " + indexName(spec) + " is left out: " + err.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("making the index %s: %w", indexName(spec), err)
		}
		want[indexName(spec)] = spec
	}
	have, err := s.indexes(ctx, c)
	if err != nil {
		return err
	}
	if len(have) != len(want) {
		return fmt.Errorf("%w: %d indexes were made, and %d are there", ErrDiffers, len(want), len(have))
	}
	for _, spec := range have {
		if !sameSpec(spec, want[indexName(spec)]) {
			return fmt.Errorf("%w: the index %s is %s and should be %s", ErrDiffers, indexName(spec), spec, want[indexName(spec)])
		}
	}
	return nil
}

// sameSpec compares two indexes; the order of the fields beside the key is the
// server's.
func sameSpec(a, b bson.Raw) bool {
	x, errA := a.Elements()
	y, errB := b.Elements()
	if errA != nil || errB != nil || len(x) != len(y) {
		return false
	}
	for _, e := range x {
		other := b.Lookup(e.Key())
		if n, ok := e.Value().AsInt64OK(); ok {
			if m, ok := other.AsInt64OK(); !ok || n != m {
				return false
			}
			continue
		}
		if !other.Equal(e.Value()) {
			return false
		}
	}
	return true
}

func (s *store) end(ctx context.Context) error {
	if err := s.mark().Drop(ctx); err != nil {
		return fmt.Errorf("removing the mark: %w", err)
	}
	return nil
}
