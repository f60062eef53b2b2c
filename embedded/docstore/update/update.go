// Package update compiles and applies MongoDB updates: operators, replacement
// documents and pipelines.
//
// An update with operators becomes a tree of paths. Applying it walks the
// encoded document and the tree together and copies what no path touches, so
// nothing is decoded. New fields come in the order of their names over all
// operators, numeric names in numeric order.
package update

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/value"
)

// Update is a compiled update. It is safe for concurrent use.
type Update struct {
	replacement bson.Raw // with _id in its first place, if it has one
	pipeline    *expr.Pipeline
	root        *node
	renames     []*renameTarget
}

// ApplyOptions say how an update meets one document.
type ApplyOptions struct {
	Pos     int            // array index for the positional $, from MatchPos; -1 for none
	Matcher *query.Matcher // the filter that found the document; may be nil
	Insert  bool           // the document is an upsert's seed: $setOnInsert applies
	Now     time.Time      // for $currentDate and $$NOW
}

// Compile compiles an update document or pipeline array; the Update keeps its
// own copy. The error is a *value.Error.
func Compile(u bson.RawValue, arrayFilters []bson.Raw) (*Update, error) {
	if err := value.CheckValue(u); err != nil {
		return nil, err
	}
	filters, err := compileFilters(arrayFilters)
	if err != nil {
		return nil, err
	}
	u.Value = bytes.Clone(u.Value)
	var out *Update
	switch u.Type {
	case bson.TypeEmbeddedDocument:
		if _, k, _, _, ok := value.Next(value.Inside(u.Value)); ok && strings.HasPrefix(string(k), "$") {
			return compileOperators(u.Value, filters)
		}
		out, err = compileReplacement(u.Value)
	case bson.TypeArray:
		if len(filters.list) > 0 {
			return nil, value.FailedToParse("arrayFilters may not be specified for pipeline-syle updates")
		}
		out, err = compilePipeline(u.Value)
	default:
		return nil, value.FailedToParse("Update argument must be either an object or an array")
	}
	if err != nil {
		return nil, err
	}
	return out, filters.unused()
}

func compileReplacement(doc bson.Raw) (*Update, error) {
	for _, f := range value.Fields(doc) {
		if strings.HasPrefix(f.Key, "$") {
			return nil, value.Errorf(value.CodeDollarPrefixed,
				"The dollar ($) prefixed field '%s' is not allowed in the context of an update's replacement document.", f.Key)
		}
	}
	doc, _ = value.IDFirst(doc)
	return &Update{replacement: doc}, nil
}

// Stages are the stages that the pipeline of an update may have.
var Stages = []string{"$addFields", "$project", "$replaceRoot", "$replaceWith", "$set", "$unset"}

func compilePipeline(array []byte) (*Update, error) {
	var stages []bson.Raw
	for _, v := range value.Elements(array) {
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, value.TypeMismatch("Each element of the 'pipeline' array must be an object")
		}
		_, k, _, _, _ := value.Next(value.Inside(v.Value))
		if name := string(k); expr.Known(name) && !slices.Contains(Stages, name) {
			return nil, value.Errorf(value.CodeInvalidOptions, "%s is not allowed to be used within an update", name)
		}
		stages = append(stages, v.Value)
	}
	p, err := expr.CompilePipeline(stages)
	if err != nil {
		return nil, err
	}
	return &Update{pipeline: p}, nil
}

// IsReplacement tells if the update is a whole document without operators.
func (u *Update) IsReplacement() bool { return u.replacement != nil }

// IsPipeline tells if the update is a pipeline.
func (u *Update) IsPipeline() bool { return u.pipeline != nil }

// Apply returns the updated document and whether it was modified in MongoDB's
// sense. The result may share memory with doc; it has its _id first, if it has
// one. The error is a *value.Error.
func (u *Update) Apply(doc bson.Raw, o ApplyOptions) (out bson.Raw, modified bool, err error) {
	id, hasID := value.Lookup(doc, "_id")
	switch {
	case u.replacement != nil:
		out = u.replace(id, hasID)
		modified = !bytes.Equal(out, doc)
	case u.pipeline != nil:
		out, err = u.pipeline.Transform(doc, o.Now)
		if err == nil && hasID {
			out = withID(out, id)
		}
		modified = err == nil && !bytes.Equal(out, doc)
	default:
		out, modified, err = u.operate(doc, o)
	}
	if err != nil {
		return nil, false, err
	}
	if !modified && !o.Insert {
		return doc, false, nil
	}
	newID, ok := value.Lookup(out, "_id")
	if hasID && (!ok || !value.Equal(id, newID)) {
		return nil, false, value.Errorf(value.CodeImmutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
	}
	if ok && (o.Insert || !hasID) {
		if err := value.CheckID(newID); err != nil {
			return nil, false, err
		}
	}
	out, _ = value.IDFirst(out)
	return out, modified, nil
}

// replace gives the replacement with the _id of the document, unless it has its
// own.
func (u *Update) replace(id bson.RawValue, hasID bool) bson.Raw {
	if !hasID {
		return u.replacement
	}
	return withID(u.replacement, id)
}

func withID(doc bson.Raw, id bson.RawValue) bson.Raw {
	if doc, ok := value.IDFirst(doc); ok {
		return doc
	}
	b := value.AppendElement(value.Begin(make([]byte, 0, len(doc)+len(id.Value)+5)), "_id", id)
	return value.Finish(append(b, value.Inside(doc)...), 0)
}

func (u *Update) operate(doc bson.Raw, o ApplyOptions) (bson.Raw, bool, error) {
	c := &context{ApplyOptions: o}
	if len(u.renames) > 0 {
		c.renamed = make(map[*renameTarget]bson.RawValue, len(u.renames))
		for _, r := range u.renames {
			if err := r.read(c, doc); err != nil {
				return nil, false, err
			}
		}
	}
	out, changed, err := c.object(u.root, doc)
	if err != nil {
		return nil, false, err
	}
	if !changed {
		return doc, false, nil
	}
	return out, true, nil
}

// Seed is the document of an upsert before Apply (with Insert set): the
// equalities of the filter, _id first. A replacement takes only the _id. It may
// lack an _id; when Apply's result lacks one too, the engine has to add it in
// front.
func Seed(m *query.Matcher, u *Update) (bson.Raw, error) {
	root := newObject()
	for _, e := range m.Equalities() {
		if u.IsReplacement() && e.Path != "_id" {
			continue
		}
		parts := strings.Split(e.Path, ".")
		if strings.HasPrefix(parts[0], "$") {
			return nil, value.Errorf(value.CodeDollarPrefixed, "The dollar ($) prefixed field '%s' is not valid for storage.", parts[0])
		}
		if !root.insert(parts, &node{op: &setTo{e.Value}}) {
			return nil, value.Errorf(value.CodeNotSingleValue, "cannot infer query fields to set, path '%s' is matched twice", e.Path)
		}
	}
	root.finish()
	c := &context{ApplyOptions: ApplyOptions{Pos: -1, Insert: true}}
	out, _, err := c.object(root, value.Finish(value.Begin(nil), 0))
	if err != nil {
		return nil, err
	}
	doc, _ := value.IDFirst(out)
	return doc, nil
}
