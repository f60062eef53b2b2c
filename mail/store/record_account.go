package store

import (
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// accountDoc is what an administrator may change of a user (schema 2.1).
func accountDoc(a *Account) bson.D {
	flags := bson.D{}
	for _, name := range slices.Sorted(maps.Keys(a.FeatureFlags)) {
		flags = append(flags, bson.E{Key: name, Value: a.FeatureFlags[name]})
	}
	d := bson.D{
		{Key: "name", Value: text(a.Name)},
		{Key: "language", Value: text(a.Language)},
		{Key: "quota", Value: number(a.OwnQuota)},
		{Key: "recipients", Value: number(int64(a.MaxRecipients))},
		{Key: "forwards", Value: number(int64(a.Forwards))},
		{Key: "filters", Value: number(int64(a.Filters))},
		{Key: "receivedMax", Value: number(int64(a.ReceivedMax))},
		{Key: "imapMaxUpload", Value: number(a.IMAPMaxUpload)},
		{Key: "imapMaxDownload", Value: number(a.IMAPMaxDownload)},
		{Key: "pop3MaxDownload", Value: number(a.POP3MaxDownload)},
		{Key: "pop3MaxMessages", Value: number(int64(a.POP3MaxMessages))},
		{Key: "imapMaxConnections", Value: number(int64(a.IMAPMaxConnections))},
		{Key: "targets", Value: targetDocs(a.Targets)},
		{Key: "uploadSentMessages", Value: a.UploadSentMessages},
		{Key: "pubKey", Value: text(a.PublicKey)},
		{Key: "encryptMessages", Value: a.EncryptMessages},
		{Key: "encryptForwarded", Value: a.EncryptForwarded},
		{Key: "spamLevel", Value: number(int64(a.SpamLevel))},
		{Key: "retention", Value: number(a.Retention.Milliseconds())},
		{Key: "disabledScopes", Value: stringArray(a.DisabledScopes)},
		{Key: "fromWhitelist", Value: stringArray(a.FromWhitelist)},
		{Key: "metaData", Value: text(a.MetaData)},
		{Key: "internalData", Value: text(a.InternalData)},
		{Key: "featureFlags", Value: flags},
		{Key: "disabled", Value: a.Disabled},
		{Key: "suspended", Value: a.Suspended},
	}
	if a.MTARelay != "" {
		d = append(d, bson.E{Key: "mtaRelay", Value: key("id", oid(a.relayID), "type", "relay", "value", a.MTARelay)})
	}
	if len(a.Tags) > 0 {
		d = append(d, bson.E{Key: "tags", Value: textArray(a.Tags)}, bson.E{Key: "tagsview", Value: tagsView(a.Tags)})
	}
	return d
}

// addressDoc is what may be changed of an address. What belongs to forwarded
// ones only is not written to others.
func addressDoc(a *AddressRecord) bson.D {
	d := bson.D{
		{Key: "name", Value: text(a.Name)},
		{Key: "metaData", Value: text(a.MetaData)},
		{Key: "internalData", Value: text(a.InternalData)},
	}
	if len(a.Tags) > 0 {
		d = append(d, bson.E{Key: "tags", Value: textArray(a.Tags)}, bson.E{Key: "tagsview", Value: tagsView(a.Tags)})
	}
	if !a.User.IsZero() {
		return d
	}
	d = append(d,
		bson.E{Key: "targets", Value: targetDocs(a.Targets)},
		bson.E{Key: "forwards", Value: number(int64(a.Forwards))},
		bson.E{Key: "forwardedDisabled", Value: a.ForwardedDisabled},
	)
	if r := a.Autoreply; r != nil {
		d = append(d, bson.E{Key: "autoreply", Value: bson.D{
			{Key: "status", Value: r.Status},
			{Key: "name", Value: text(r.Name)},
			{Key: "subject", Value: text(r.Subject)},
			{Key: "text", Value: text(r.Text)},
			{Key: "html", Value: text(r.HTML)},
			{Key: "start", Value: dateOrFalse(r.Start)},
			{Key: "end", Value: dateOrFalse(r.End)},
		}})
	}
	return d
}

// deletedRecord is a document of deletedusers: the user's, and this.
type deletedRecord struct {
	ID          bson.ObjectID `bson:"_id"`
	Username    string        `bson:"username"`
	Tags        []string      `bson:"tags"`
	StorageUsed int64         `bson:"storageUsed"`
	Info        struct {
		DeletedAt   time.Time  `bson:"deletedAt"`
		MainAddress string     `bson:"mainAddress"`
		Addresses   []bson.Raw `bson:"addresses"`
		// After is ours: when the task may begin.
		After time.Time `bson:"eiderAfter"`
	} `bson:"deleteInfo"`
}

// ownedRecord is a message of a deleted account.
type ownedRecord struct {
	ID      bson.ObjectID `bson:"_id"`
	Mailbox bson.ObjectID `bson:"mailbox"`
	UID     int64         `bson:"uid"`
	Thread  bson.ObjectID `bson:"thread"`
}
