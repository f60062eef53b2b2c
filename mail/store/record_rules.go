package store

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/eidermail/eider/mail"
)

// filterRecord is a document of filters (schema 7).
type filterRecord struct {
	ID    bson.ObjectID `bson:"_id"`
	User  bson.ObjectID `bson:"user"`
	Name  bson.RawValue `bson:"name"`
	Query struct {
		Headers struct {
			From    string `bson:"from"`
			To      string `bson:"to"`
			Subject string `bson:"subject"`
			ListID  string `bson:"listId"`
		} `bson:"headers"`
		Text string        `bson:"text"`
		HA   bson.RawValue `bson:"ha"`
		Size int64         `bson:"size"`
	} `bson:"query"`
	Action struct {
		Seen    bson.RawValue  `bson:"seen"`
		Flag    bson.RawValue  `bson:"flag"`
		Delete  bson.RawValue  `bson:"delete"`
		Spam    bson.RawValue  `bson:"spam"`
		Mailbox bson.RawValue  `bson:"mailbox"`
		Targets []targetRecord `bson:"targets"`
	} `bson:"action"`
	Disabled bool          `bson:"disabled"`
	MetaData bson.RawValue `bson:"metaData"`
	Created  bson.RawValue `bson:"created"`
}

// yesNo reads a boolean that may be missing.
func yesNo(v bson.RawValue) *bool {
	b, ok := v.BooleanOK()
	if !ok {
		return nil
	}
	return &b
}

func (r *filterRecord) filter() Filter {
	return Filter{
		ID: mail.ID(r.ID), User: mail.ID(r.User), Name: rawString(r.Name), Disabled: r.Disabled,
		MetaData: rawString(r.MetaData), Created: rawTime(r.Created),
		Query: FilterQuery{
			From: r.Query.Headers.From, To: r.Query.Headers.To, Subject: r.Query.Headers.Subject, ListID: r.Query.Headers.ListID,
			Text: r.Query.Text, HasAttachments: yesNo(r.Query.HA), Size: r.Query.Size,
		},
		Action: FilterAction{
			Seen: yesNo(r.Action.Seen), Flag: yesNo(r.Action.Flag), Delete: yesNo(r.Action.Delete), Spam: yesNo(r.Action.Spam),
			Mailbox: rawID(r.Action.Mailbox), Targets: targets(r.Action.Targets),
		},
	}
}

// given adds a text that is not empty, present a value that is there.
func given(d bson.D, name, value string) bson.D {
	if value == "" {
		return d
	}
	return append(d, bson.E{Key: name, Value: text(value)})
}

func present(d bson.D, name string, value *bool) bson.D {
	if value == nil {
		return d
	}
	return append(d, bson.E{Key: name, Value: *value})
}

func filterDoc(f *Filter) bson.D {
	headers := given(given(given(given(bson.D{}, "from", f.Query.From), "to", f.Query.To), "subject", f.Query.Subject), "listId", f.Query.ListID)
	query := present(given(key("headers", headers), "text", f.Query.Text), "ha", f.Query.HasAttachments)
	if f.Query.Size != 0 {
		query = append(query, bson.E{Key: "size", Value: number(f.Query.Size)})
	}
	action := present(present(present(present(bson.D{}, "seen", f.Action.Seen), "flag", f.Action.Flag), "delete", f.Action.Delete), "spam", f.Action.Spam)
	if !f.Action.Mailbox.IsZero() {
		action = append(action, bson.E{Key: "mailbox", Value: oid(f.Action.Mailbox)})
	}
	if len(f.Action.Targets) > 0 {
		action = append(action, bson.E{Key: "targets", Value: targetDocs(f.Action.Targets)})
	}
	d := bson.D{{Key: "user", Value: oid(f.User)}, {Key: "query", Value: query}, {Key: "action", Value: action}, {Key: "disabled", Value: f.Disabled}}
	return given(given(d, "name", f.Name), "metaData", f.MetaData)
}

// autoreplyRecord is a document of autoreplies.
type autoreplyRecord struct {
	ID      bson.ObjectID `bson:"_id"`
	User    bson.ObjectID `bson:"user"`
	Status  bool          `bson:"status"`
	Name    string        `bson:"name"`
	Subject string        `bson:"subject"`
	Text    string        `bson:"text"`
	HTML    string        `bson:"html"`
	Start   bson.RawValue `bson:"start"`
	End     bson.RawValue `bson:"end"`
	Created bson.RawValue `bson:"created"`
}

func (r *autoreplyRecord) autoreply() Autoreply {
	a := Autoreply{
		ID: mail.ID(r.ID), User: mail.ID(r.User), Status: r.Status, Name: r.Name, Subject: r.Subject, Text: r.Text, HTML: r.HTML,
		Start: rawTime(r.Start), End: rawTime(r.End), Created: isoOrDate(r.Created),
	}
	if a.Created.IsZero() {
		a.Created = a.ID.Time().UTC()
	}
	return a
}

// isoOrDate reads a date that WildDuck writes as text.
func isoOrDate(v bson.RawValue) time.Time {
	if t, err := time.Parse(time.RFC3339, rawString(v)); err == nil {
		return t.UTC()
	}
	return rawTime(v)
}

func autoreplyDoc(a *Autoreply) bson.D {
	return bson.D{
		{Key: "user", Value: oid(a.User)},
		{Key: "status", Value: a.Status},
		{Key: "name", Value: text(a.Name)},
		{Key: "subject", Value: text(a.Subject)},
		{Key: "text", Value: text(a.Text)},
		{Key: "html", Value: text(a.HTML)},
		{Key: "start", Value: dateOrFalse(a.Start)},
		{Key: "end", Value: dateOrFalse(a.End)},
	}
}

// domainRuleRecord is a document of domainaccess.
type domainRuleRecord struct {
	ID     bson.ObjectID `bson:"_id"`
	Tag    string        `bson:"tag"`
	Domain string        `bson:"domain"`
	Action string        `bson:"action"`
}

func (r *domainRuleRecord) rule() DomainRule {
	return DomainRule{ID: mail.ID(r.ID), Tag: r.Tag, Domain: r.Domain, Action: r.Action}
}

// aliasRecord is a document of domainaliases (schema 2.4).
type aliasRecord struct {
	ID      bson.ObjectID `bson:"_id"`
	Alias   string        `bson:"alias"`
	Domain  string        `bson:"domain"`
	Created bson.RawValue `bson:"created"`
}

func (r *aliasRecord) alias() DomainAlias {
	return DomainAlias{ID: mail.ID(r.ID), Alias: r.Alias, Domain: r.Domain, Created: rawTime(r.Created)}
}
