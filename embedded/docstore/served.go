package docstore

import (
	"maps"
	"slices"
	"strconv"

	"github.com/eidermail/eider/embedded/docstore/expr"
	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/project"
	"github.com/eidermail/eider/embedded/docstore/query"
	"github.com/eidermail/eider/embedded/docstore/update"
)

//go:generate go run ./table ../../docs/docstore.md

// ServedCommand is a command that the engine serves.
type ServedCommand struct {
	Name    string
	Aliases []string
	Fields  []ServedField // its own ones, without the generic ones
	Open    bool          // further fields are no error
}

// ServedField is a field of a command.
type ServedField struct {
	Name     string // updates.q is the field q of the documents in updates
	Required bool
	Refusal  int32 // the code when it is anything but false or empty; 0 if it is served
}

// ServedNames are the names of one kind that the engine serves, in order.
type ServedNames struct {
	Kind  string
	Names []string
}

// The kinds of Served.
const (
	KindGeneric     = "generic fields"
	KindStage       = "stages"
	KindUpdateStage = "stages of an update"
	KindTop         = "query operators on documents"
	KindQuery       = "query operators on fields"
	KindUpdate      = "update operators"
	KindModifier    = "modifiers of update operators"
	KindPositional  = "positional operators of an update"
	KindExpression  = "expressions"
	KindVariable    = "variables"
	KindAccumulator = "accumulators"
	KindProjection  = "projection operators"
	KindIndexOption = "index options"
	KindIndexType   = "index types"
)

// Commands lists the commands that are served, with their fields. It is read from
// the tables by which they are served.
func Commands() []ServedCommand {
	out := make([]ServedCommand, 0, len(commands))
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		c := commands[name]
		sc := ServedCommand{Name: name, Open: c.open}
		for _, alias := range slices.Sorted(maps.Keys(aliases)) {
			if aliases[alias] == name {
				sc.Aliases = append(sc.Aliases, alias)
			}
		}
		for _, f := range slices.Sorted(maps.Keys(c.fields)) {
			sc.Fields = append(sc.Fields, ServedField{f, slices.Contains(c.required, f), c.only[f]})
			for _, item := range slices.Sorted(maps.Keys(c.items[f])) {
				sc.Fields = append(sc.Fields, ServedField{Name: f + "." + item})
			}
		}
		out = append(out, sc)
	}
	return out
}

// Served lists everything but commands that is served, read from the tables by
// which it is served.
func Served() []ServedNames {
	top, field := query.Operators()
	return []ServedNames{
		{KindGeneric, slices.Sorted(maps.Keys(genericFields))},
		{KindTop, top},
		{KindQuery, field},
		{KindUpdate, update.Operators()},
		{KindModifier, update.Modifiers},
		{KindPositional, update.Positional},
		{KindUpdateStage, update.Stages},
		{KindStage, expr.Stages()},
		{KindAccumulator, expr.Accumulators()},
		{KindExpression, eval.Operators()},
		{KindVariable, eval.Variables},
		{KindProjection, project.Operators},
		{KindIndexOption, slices.Sorted(maps.Keys(indexOptions))},
		{KindIndexType, indexTypes},
	}
}

// Limits lists the bounds of the engine, for people.
func Limits() [][2]string {
	n := strconv.Itoa
	return [][2]string{
		{"bytes of a document", n(maxDocument)},
		{"statements of a write command", n(maxStatements)},
		{"indexes of a collection", n(maxIndexes)},
		{"open cursors", n(maxCursors)},
		{"minutes until an idle cursor ends", n(int(cursorIdle.Minutes()))},
		{"minutes until an idle session ends", n(sessionMinutes)},
		{"documents of a first batch", n(defaultBatch)},
		{"bytes of a pipeline's result", n(pipelineMemory)},
	}
}
