package eval_test

import (
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/expr/eval"
	"github.com/eidermail/eider/embedded/docstore/value"
	"github.com/eidermail/eider/embedded/docstore/value/goldentest"
)

const doc = `{"i":7,"j":2,"s":"aBc","n":null,"t":true,"a":[1,2,3],"l":{"$numberLong":"5"},"f":{"$numberDouble":"1.5"},
	"d":{"$date":{"$numberLong":"1000"}},"o":{"x":1},"k":[{"x":1},{"x":[2]},5,{}]}`

func TestEval(t *testing.T) {
	for _, c := range []struct {
		expr, want string // an empty want is a missing value
		code       int32
	}{
		{`"$i"`, `7`, 0},
		{`"$nope"`, ``, 0},
		{`"$k.x"`, `[1,[2]]`, 0},
		{`"$a.0"`, `[]`, 0},
		{`"$$ROOT.o.x"`, `1`, 0},
		{`"$$CURRENT.i"`, `7`, 0},
		{`"$"`, ``, 16872},
		{`"$a."`, ``, 40353},
		{`{"$literal":"$i"}`, `"$i"`, 0},
		{`["$i","$nope"]`, `[7,null]`, 0},
		{`{"a":"$i","b":"$nope"}`, `{"a":7}`, 0},
		{`{"a.b":1}`, ``, 16412},
		{`{"$add":["$i","$l"]}`, `{"$numberLong":"12"}`, 0},
		{`{"$add":["$i","$n"]}`, `null`, 0},
		{`{"$add":["$d",5]}`, `{"$date":{"$numberLong":"1005"}}`, 0},
		{`{"$add":["$d","$d"]}`, ``, 16612},
		{`{"$add":["$s",1]}`, ``, 14},
		{`{"$subtract":["$d",{"$numberDouble":"0.5"}]}`, `{"$date":{"$numberLong":"999"}}`, 0},
		{`{"$subtract":["$d","$d"]}`, `{"$numberLong":"0"}`, 0},
		{`{"$multiply":["$i","$f"]}`, `{"$numberDouble":"10.5"}`, 0},
		{`{"$divide":["$i","$j"]}`, `{"$numberDouble":"3.5"}`, 0},
		{`{"$divide":["$i",0]}`, ``, 2},
		{`{"$mod":[-7,3]}`, `-1`, 0},
		{`{"$mod":["$i",0]}`, ``, 16610},
		{`{"$cond":[{"$gt":["$i",3]},"y","n"]}`, `"y"`, 0},
		{`{"$cond":{"if":"$n","then":1,"else":"$nope"}}`, ``, 0},
		{`{"$cond":{"if":1,"then":1}}`, ``, 17082},
		{`{"$cond":{"x":1}}`, ``, 17083},
		{`{"$cond":[1,2]}`, ``, 16020},
		{`{"$ifNull":["$n","$nope",3]}`, `3`, 0},
		{`{"$ifNull":["$n"]}`, ``, 1257300},
		{`{"$and":[]}`, `true`, 0},
		{`{"$or":[]}`, `false`, 0},
		{`{"$and":["$t","$n"]}`, `false`, 0},
		{`{"$not":"$n"}`, `true`, 0},
		{`{"$cmp":["$nope",null]}`, `-1`, 0},
		{`{"$concat":["$s","-"]}`, `"aBc-"`, 0},
		{`{"$concat":["$s","$n"]}`, `null`, 0},
		{`{"$concat":["$s",1]}`, ``, 16702},
		{`{"$toLower":"$s"}`, `"abc"`, 0},
		{`{"$toUpper":"$n"}`, `""`, 0},
		{`{"$toUpper":"$d"}`, ``, 16007},
		{`{"$size":"$a"}`, `3`, 0},
		{`{"$size":"$i"}`, ``, 17124},
		{`{"$in":[2,"$a"]}`, `true`, 0},
		{`{"$in":[2,"$i"]}`, ``, 40081},
		{`{"$arrayElemAt":["$a",-1]}`, `3`, 0},
		{`{"$arrayElemAt":["$a",3]}`, ``, 0},
		{`{"$arrayElemAt":["$i",0]}`, ``, 28689},
		{`{"$arrayElemAt":["$a","x"]}`, ``, 28690},
		{`{"$arrayElemAt":["$a",{"$numberDouble":"0.5"}]}`, ``, 28691},
		{`{"$concatArrays":["$a",[4]]}`, `[1,2,3,4]`, 0},
		{`{"$mergeObjects":["$o",{"x":2,"y":3},null]}`, `{"x":2,"y":3}`, 0},
		{`{"$mergeObjects":["$i"]}`, ``, 40400},
		{`{"$setIsSubset":[[1],"$a"]}`, `true`, 0},
		{`{"$setUnion":[[4,1],"$a",[4]]}`, `[1,2,3,4]`, 0},
		{`{"$setUnion":["$a","$nope"]}`, `null`, 0},
		{`{"$setUnion":["$a","$i"]}`, ``, 17043},
		{`{"$type":"$nope"}`, `"missing"`, 0},
		{`{"$isArray":"$a"}`, `true`, 0},
		{`{"$foo":1}`, ``, 168},
		{`{"$add":[{"$foo":1}]}`, ``, 168},
		{`{"$add":1,"$size":2}`, ``, 15983},
		{`{"$eq":[1]}`, ``, 16020},
		{`"$$x"`, ``, 17276},
	} {
		x, err := eval.Compile(goldentest.MustDecode(c.expr))
		var got bson.RawValue
		if err == nil {
			got, err = x.Eval(goldentest.Doc(doc), nil)
		}
		var e *value.Error
		if errors.As(err, &e) != (c.code != 0) || c.code != 0 && e.Code != c.code {
			t.Errorf("%s: error %v, want %d", c.expr, err, c.code)
			continue
		}
		if c.code != 0 {
			continue
		}
		if c.want == "" {
			if !value.Missing(got) {
				t.Errorf("%s = %v, want a missing value", c.expr, got)
			}
		} else if !value.Same(got, goldentest.MustDecode(c.want)) {
			t.Errorf("%s = %v, want %s", c.expr, got, c.want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(goldentest.Doc(`{"$cond":[{"$gt":["$i",3]},{"$concat":["$s","-"]},"$$ROOT.a"]}`)))
	f.Add([]byte(goldentest.Doc(`{"$mod":[{"$divide":["$f","$j"]},{"$numberDecimal":"2"}]}`)))
	d := goldentest.Doc(doc)
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := eval.Compile(value.OfDoc(data))
		if err != nil {
			return
		}
		if v, err := x.Eval(d, nil); err == nil && value.CheckValue(v) != nil {
			t.Fatal("the result is malformed")
		}
	})
}
