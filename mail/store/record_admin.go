package store

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// webhookRecord is a document of webhooks (schema 2.7). Its types may be one
// string or a list.
type webhookRecord struct {
	ID      bson.ObjectID `bson:"_id"`
	Type    bson.RawValue `bson:"type"`
	User    bson.RawValue `bson:"user"`
	URL     string        `bson:"url"`
	Created bson.RawValue `bson:"created"`
}

func (r *webhookRecord) webhook() Webhook {
	w := Webhook{ID: mail.ID(r.ID), User: rawID(r.User), URL: r.URL, Created: rawTime(r.Created)}
	if one := rawString(r.Type); one != "" {
		w.Types = []string{one}
	} else if list, ok := r.Type.ArrayOK(); ok {
		values, err := list.Values()
		for i := 0; err == nil && i < len(values); i++ {
			if t := rawString(values[i]); t != "" {
				w.Types = append(w.Types, t)
			}
		}
	}
	return w
}

func webhookDoc(w *Webhook) bson.D {
	var user any
	if !w.User.IsZero() {
		user = oid(w.User)
	}
	return key("type", textArray(w.Types), "user", user, "url", text(w.URL))
}

// settingRecord is a document of settings (schema 7). Value is JSON text.
type settingRecord struct {
	Key        string        `bson:"key"`
	Value      string        `bson:"value"`
	Encrypted  bool          `bson:"encrypted"`
	Enumerable bool          `bson:"enumerable"`
	Created    bson.RawValue `bson:"created"`
}

// auditRecord is a document of audits (schema 7).
type auditRecord struct {
	ID      bson.ObjectID `bson:"_id"`
	User    bson.ObjectID `bson:"user"`
	Start   bson.RawValue `bson:"start"`
	End     bson.RawValue `bson:"end"`
	Expires bson.RawValue `bson:"expires"`
	Deleted bool          `bson:"deleted"`
	Notes   bson.RawValue `bson:"notes"`
	Meta    bson.Raw      `bson:"meta"`
	Import  struct {
		Status string `bson:"status"`
		Failed int64  `bson:"failed"`
		Copied int64  `bson:"copied"`
	} `bson:"import"`
	Audited int64         `bson:"audited"`
	Last    bson.RawValue `bson:"lastAuditedMessage"`
}

func (r *auditRecord) audit() Audit {
	a := Audit{
		ID: mail.ID(r.ID), User: mail.ID(r.User), Start: rawTime(r.Start), End: rawTime(r.End), Expires: rawTime(r.Expires),
		Deleted: r.Deleted, Notes: rawString(r.Notes), Status: r.Import.Status, Failed: int(r.Import.Failed), Copied: int(r.Import.Copied),
		Audited: int(r.Audited), LastAudited: rawTime(r.Last),
	}
	if len(r.Meta) > 0 {
		if js, err := bson.MarshalExtJSON(r.Meta, false, false); err == nil {
			a.Meta = string(js)
		}
	}
	return a
}
