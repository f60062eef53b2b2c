package api

import (
	"encoding/json"
	"strings"

	"github.com/eidermail/eider/mail/store"
)

// userJSON is the answer of GET /users/:user.
type userJSON struct {
	Success          bool            `json:"success"`
	ID               string          `json:"id"`
	Username         string          `json:"username"`
	Name             string          `json:"name"`
	Address          string          `json:"address"`
	Language         string          `json:"language,omitempty"`
	Retention        int64           `json:"retention,omitempty"`
	Enabled2FA       []string        `json:"enabled2fa"`
	Autoreply        bool            `json:"autoreply"`
	EncryptMessages  bool            `json:"encryptMessages"`
	EncryptForwarded bool            `json:"encryptForwarded"`
	PubKey           string          `json:"pubKey"`
	SpamLevel        int             `json:"spamLevel"`
	KeyInfo          bool            `json:"keyInfo"`
	MetaData         json.RawMessage `json:"metaData"`
	InternalData     json.RawMessage `json:"internalData,omitempty"`
	Targets          []string        `json:"targets"`
	MTARelay         string          `json:"mtaRelay,omitempty"`
	Limits           limitsJSON      `json:"limits"`
	Tags             *[]string       `json:"tags,omitempty"`
	FromWhitelist    []string        `json:"fromWhitelist"`
	FeatureFlags     map[string]bool `json:"featureFlags"`
	DisabledScopes   *[]string       `json:"disabledScopes,omitempty"`
	HasPasswordSet   bool            `json:"hasPasswordSet"`
	Activated        bool            `json:"activated"`
	Disabled         bool            `json:"disabled"`
	Suspended        bool            `json:"suspended"`
}

type limitsJSON struct {
	Quota              usedJSON    `json:"quota"`
	Recipients         windowJSON  `json:"recipients"`
	Forwards           windowJSON  `json:"forwards"`
	Filters            usedJSON    `json:"filters"`
	Received           windowJSON  `json:"received"`
	IMAPUpload         windowJSON  `json:"imapUpload"`
	IMAPDownload       windowJSON  `json:"imapDownload"`
	POP3Download       windowJSON  `json:"pop3Download"`
	POP3MaxMessages    allowedJSON `json:"pop3MaxMessages"`
	IMAPMaxConnections usedJSON    `json:"imapMaxConnections"`
}

type allowedJSON struct {
	Allowed int64 `json:"allowed"`
}

type usedJSON struct {
	Allowed int64 `json:"allowed"`
	Used    int64 `json:"used"`
}

// windowJSON is a counter that starts anew; ttl is seconds, or false when none runs.
type windowJSON struct {
	Allowed int64 `json:"allowed"`
	Used    int64 `json:"used"`
	TTL     any   `json:"ttl"`
}

// userView fills the answer but for the counters.
func userView(a store.Account) userJSON {
	u := userJSON{
		Success: true, ID: a.ID.String(), Username: a.Username, Name: a.Name, Address: a.Address,
		Language: a.Language, Retention: a.Retention.Milliseconds(),
		Enabled2FA: orEmpty(a.Enabled2FA), Autoreply: a.Autoreply,
		EncryptMessages: a.EncryptMessages, EncryptForwarded: a.EncryptForwarded, PubKey: a.PublicKey,
		SpamLevel: a.SpamLevel, MetaData: jsonObject(a.MetaData), InternalData: jsonObject(a.InternalData),
		Targets: []string{}, MTARelay: a.MTARelay, Tags: listed(a.Tags), FromWhitelist: orEmpty(a.FromWhitelist),
		FeatureFlags: a.FeatureFlags, DisabledScopes: listed(a.DisabledScopes),
		HasPasswordSet: a.HasPassword, Activated: a.Activated, Disabled: a.Disabled, Suspended: a.Suspended,
	}
	for _, t := range a.Targets {
		u.Targets = append(u.Targets, t.Value)
	}
	if u.FeatureFlags == nil {
		u.FeatureFlags = map[string]bool{}
	}
	return u
}

// jsonObject gives stored JSON text, {} when there is none or it is damaged.
func jsonObject(text string) json.RawMessage {
	if text = strings.TrimSpace(text); !strings.HasPrefix(text, "{") || !json.Valid([]byte(text)) {
		return json.RawMessage("{}")
	}
	return json.RawMessage(text)
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// listed is a list that is shown even when it is empty, and left out when nil.
func listed(s []string) *[]string {
	s = orEmpty(s)
	return &s
}
