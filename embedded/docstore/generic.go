package docstore

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/embedded/docstore/value"
)

// genericFields may come with every command. Comments only show in MongoDB's logs
// and profiles, and the cluster's time means nothing to a single server.
var genericFields = map[string]kind{
	"$db": kindString, "lsid": kindDoc, "$clusterTime": kindDoc, "$readPreference": kindDoc, "comment": kindAny,
	"maxTimeMS": kindCount, "readConcern": kindDoc, "writeConcern": kindDoc,
	"txnNumber": kindNumber, "startTransaction": kindBool, "autocommit": kindBool,
	"apiVersion": kindString, "apiStrict": kindBool, "apiDeprecationErrors": kindBool,
}

// apiVersion checks the fields of MongoDB's stable API. There is only version 1,
// and nothing in it is deprecated.
func (q *request) apiVersion() error {
	switch version, strict := q.str("apiVersion"), q.flag("apiStrict"); {
	case !q.has("apiVersion"):
		if strict || q.flag("apiDeprecationErrors") {
			return refuse(4886600, "Location4886600", "Provided apiStrict and/or apiDeprecationErrors without passing apiVersion")
		}
	case version != "1":
		return refuse(322, "APIVersionError", "API version must be \"1\"")
	case strict && !q.cmd.stable:
		return refuse(323, "APIStrictError", "Provided apiStrict:true, but the command "+q.name+" is not in API Version 1")
	}
	return nil
}

// readPreference checks the preference and leaves it: there is one server, and it
// is the primary.
func (q *request) readPreference() error {
	v, ok := q.fields["$readPreference"]
	if !ok {
		return nil
	}
	fields, err := fieldsOf("$readPreference", v.Value, map[string]kind{
		"mode": kindString, "tags": kindArray, "maxStalenessSeconds": kindNumber, "hedge": kindDoc,
	}, "mode")
	if err != nil {
		return err
	}
	primary := false
	switch mode := value.Str(fields["mode"]); mode {
	case "primary":
		primary = true
	case "primaryPreferred", "secondary", "secondaryPreferred", "nearest":
	default:
		return value.FailedToParse("Could not parse $readPreference mode '%s'. Only the modes 'primary', 'primaryPreferred', 'secondary', 'secondaryPreferred' and 'nearest' are supported.", mode)
	}
	staleness, _ := value.Whole(fields["maxStalenessSeconds"])
	if primary && (staleness > 0 || len(value.Elements(fields["tags"].Value)) > 1) {
		return value.FailedToParse("Only empty tags and no staleness are allowed with primary read preference")
	}
	return nil
}

// readConcern: one process has no other truth than its own, so local, available
// and majority are the same. The others need a replica set.
func (q *request) readConcern() error {
	v, ok := q.fields["readConcern"]
	if !ok {
		return nil
	}
	return eachField("readConcern", v, func(key string, v bson.RawValue) error {
		switch key {
		case "level":
			return q.readLevel(v)
		case "provenance":
			return kindString.check("readConcern", key, v)
		case "afterClusterTime", "atClusterTime":
			return refuse(20, "IllegalOperation", "Cannot specify "+key+" readConcern without replication enabled")
		default:
			return unknownField("readConcern", key)
		}
	})
}

func (q *request) readLevel(v bson.RawValue) error {
	if v.Type != bson.TypeString {
		return wrongType("readConcern", "level", v.Type, "string")
	}
	switch level := value.Str(v); level {
	case "local":
		return nil
	case "available", "majority":
		if !q.cmd.reads {
			return refuse(value.CodeInvalidOptions, "InvalidOptions", "Command "+q.name+" does not support this readConcern: read concern not supported")
		}
		return nil
	case "linearizable", "snapshot":
		return refuse(123, "NotAReplicaSet", "node needs to be a replica set member to use readConcern: "+level)
	default:
		return value.BadValue("Enumeration value '%s' for field 'readConcern.level' is not a valid value.", level)
	}
}

// writeConcern: a write is on the disk before it is answered when j says so, or
// without j when w is "majority" or absent, which is MongoDB's default concern.
// w:1 alone is answered after the commit, and w:0 not at all. More than one node
// cannot be had.
func (q *request) writeConcern() error {
	q.durable = true
	v, ok := q.fields["writeConcern"]
	if !ok {
		return nil
	}
	if !q.cmd.write {
		return refuse(value.CodeInvalidOptions, "InvalidOptions", "Command "+q.name+" does not support writeConcern")
	}
	err := eachField("writeConcern", v, func(key string, v bson.RawValue) error {
		switch key {
		case "j", "fsync":
			return kindBool.check("writeConcern", key, v)
		case "wtimeout":
			return kindNumber.check("writeConcern", key, v)
		case "provenance":
			return kindString.check("writeConcern", key, v)
		case "w":
			return writeNodes(v)
		default:
			return unknownField("writeConcern", key)
		}
	})
	if err != nil {
		return err
	}
	w, hasW := lookupField(v, "w")
	j, hasJ := lookupField(v, "j")
	fsync, hasFsync := lookupField(v, "fsync")
	if hasJ && hasFsync && value.Truthy(j) && value.Truthy(fsync) {
		return value.FailedToParse("fsync and j options cannot be used together")
	}
	if hasW {
		q.durable = w.Type == bson.TypeString
	}
	if hasJ {
		q.durable = value.Truthy(j)
	}
	if hasFsync && value.Truthy(fsync) {
		q.durable = true
	}
	return nil
}

func writeNodes(v bson.RawValue) error {
	if v.Type == bson.TypeString {
		if mode := value.Str(v); mode != "majority" {
			return value.BadValue("cannot use non-majority 'w' mode %s when a host is not a member of a replica set", mode)
		}
		return nil
	}
	if !value.IsNumber(v.Type) {
		return value.FailedToParse("w has to be a number, string, or object; found: %s", value.TypeName(v.Type))
	}
	switch n, whole := value.Whole(v); {
	case !whole || n < 0 || n > 50:
		return value.FailedToParse("w has to be a non-negative number and not greater than 50; found: %s", v)
	case n > 1:
		return value.BadValue("cannot use 'w' > 1 when a host is not replicated")
	}
	return nil
}
