package api

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// dkimBits are of an RSA key that is made here, as WildDuck's.
const dkimBits = 2048

// errNoDKIM says that there is no such key.
var errNoDKIM = &apiError{status: http.StatusNotFound, code: "DkimNotFound", text: "Invalid or unknown DKIM key"}

// dkimJSON is a key as it is shown: never its private half.
type dkimJSON struct {
	ID          string        `json:"id"`
	Domain      string        `json:"domain"`
	Selector    string        `json:"selector"`
	Description string        `json:"description,omitempty"`
	Fingerprint string        `json:"fingerprint"`
	PublicKey   string        `json:"publicKey,omitempty"`
	DNS         *dkimDNSEntry `json:"dnsTxt,omitempty"`
	Created     *string       `json:"created,omitempty"`
}

type dkimDNSEntry struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// dkimRow is a key in a list, dkimView one by itself.
func dkimRow(k store.DKIMKey) dkimJSON {
	return dkimJSON{
		ID: k.ID.String(), Domain: k.Domain, Selector: k.Selector, Description: k.Description,
		Fingerprint: k.Fingerprint, Created: stampOrNil(k.Created),
	}
}

func dkimView(k store.DKIMKey) dkimJSON {
	v := dkimRow(k)
	name, value := k.Record()
	v.PublicKey, v.DNS = k.PublicKey, &dkimDNSEntry{name, value}
	return v
}

// dkimKeys is GET /dkim.
func (s *server) dkimKeys(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	p.open = true
	query := strings.TrimSpace(p.text("query", false, 255))
	paging := store.Paging{Limit: int(p.number("limit", false, 1, store.MaxPage, defaultRows))}
	next, previous := p.cursor("next"), p.cursor("previous")
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "dkim", mail.ID{}); err != nil {
		return err
	}
	page := 1
	switch {
	case next != "":
		paging.After, page, err = textCursor(next)
	case previous != "":
		paging.Before, page, err = textCursor(previous)
	}
	if err != nil {
		return err
	}
	list, cursors, err := s.Store.DKIMKeys(ctxOf(c), query, paging)
	if err != nil {
		return err
	}
	rows := make([]dkimJSON, len(list))
	for i := range list {
		rows[i] = dkimRow(list[i])
	}
	if cursors.Previous == "" {
		page = 1
	}
	body := map[string]any{
		"success": true, "query": query, "total": cursors.Total, "page": max(page, 1), "previousCursor": false, "nextCursor": false, "results": rows,
	}
	if cursors.Previous != "" {
		body["previousCursor"] = formatTextCursor(cursors.Previous, list[0].ID, max(page-1, 1))
	}
	if cursors.Next != "" {
		body["nextCursor"] = formatTextCursor(cursors.Next, list[len(list)-1].ID, max(page, 1)+1)
	}
	return respond(c, http.StatusOK, body)
}

// defaultRows is how many rows a list has that does not ask for a number.
const defaultRows = 20

// formatTextCursor writes the position in a list that is ordered by a text.
func formatTextCursor(text string, id mail.ID, page int) string {
	inner, _ := json.Marshal([]any{text, ejsonID{id.String()}})
	outer, _ := json.Marshal([]any{string(inner), page})
	return base64.RawURLEncoding.EncodeToString(outer)
}

// textCursor reads one; a cursor that cannot be unwrapped counts as absent.
func textCursor(s string) (text string, page int, err error) {
	inner, page, ok := unwrap(s)
	if !ok {
		return "", 1, nil
	}
	var parts []json.RawMessage
	if json.Unmarshal([]byte(inner), &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &text) != nil {
		return "", 1, errCursor
	}
	return text, page, nil
}

// dkimKey is GET /dkim/:dkim.
func (s *server) dkimKey(c echo.Context) error {
	id, err := s.named(c, "dkim", "read", "dkim")
	if err != nil {
		return err
	}
	k, err := s.Store.DKIMByID(ctxOf(c), id)
	return answerDKIM(c, k, err)
}

func answerDKIM(c echo.Context, k store.DKIMKey, err error) error {
	if mail.IsCode(err, mail.CodeNotFound) {
		return errNoDKIM
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, struct {
		Success bool `json:"success"`
		dkimJSON
	}{true, dkimView(k)})
}

// resolveDKIM is GET /dkim/resolve/:domain.
func (s *server) resolveDKIM(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	domain := p.text("domain", true, 255)
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "read", "dkim", mail.ID{}); err != nil {
		return err
	}
	k, err := s.Store.DKIM(ctxOf(c), domain)
	if mail.IsCode(err, mail.CodeNotFound) {
		return errNoDKIM
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true, "id": k.ID.String()})
}

// setDKIM is POST /dkim: a domain has one key, and the new one replaces it.
func (s *server) setDKIM(c echo.Context) error {
	p, err := readParams(c)
	if err != nil {
		return err
	}
	domain, selector := p.text("domain", true, 255), strings.TrimSpace(p.text("selector", true, 255))
	private, description := strings.TrimSpace(p.text("privateKey", false, maxKeyText)), strings.TrimSpace(p.text("description", false, 255))
	p.session()
	if err := p.finish(); err != nil {
		return err
	}
	if err := s.may(c, "create", "dkim", mail.ID{}); err != nil {
		return err
	}
	if private, err = dkimPrivate(private); err != nil {
		return err
	}
	k, err := s.Store.SetDKIM(ctxOf(c), domain, selector, private, description)
	if err == nil {
		k.Created = k.Created.UTC()
	}
	return answerDKIM(c, k, err)
}

// maxKeyText bounds a key's PEM.
const maxKeyText = 64 << 10

// dkimPrivate gives a private key as PEM: one is made where none is given, and
// 44 characters of base64 are the seed of an Ed25519 key.
func dkimPrivate(text string) (string, error) {
	if strings.HasPrefix(text, "-----BEGIN ") {
		return text, nil
	}
	var key any
	if text == "" {
		made, err := rsa.GenerateKey(rand.Reader, dkimBits)
		if err != nil {
			return "", err
		}
		key = made
	} else {
		seed, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(seed) != ed25519.SeedSize {
			return "", invalid("privateKey", "must be a private key as PEM, or 44 characters of base64")
		}
		key = ed25519.NewKeyFromSeed(seed)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// deleteDKIM is DELETE /dkim/:dkim.
func (s *server) deleteDKIM(c echo.Context) error {
	id, err := s.named(c, "dkim", "delete", "dkim")
	if err != nil {
		return err
	}
	err = s.Store.DeleteDKIM(ctxOf(c), id)
	if mail.IsCode(err, mail.CodeNotFound) {
		return errNoDKIM
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, map[string]any{"success": true})
}
