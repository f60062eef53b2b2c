package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/web"
)

// With the embedded store one process holds the data folder. So that `eider
// user add` works while the server runs, the server listens on a loopback port
// and leaves its address and a key, new at each start, in a file that only
// the folder's owner can read. The file goes with a stop in order, so one that
// is found by who holds the folder tells of a crash.

const (
	controlFile = "control"
	// maxOrder bounds an order's JSON and its answer, in bytes.
	maxOrder = 16 << 10
)

// control is the running server's side.
type control struct {
	server *web.Server
	file   string
}

// startControl listens. stopping ends what takes long.
func startControl(ctx, stopping context.Context, c config.Config, b *backend, log *slog.Logger) (*control, error) {
	var raw [24]byte
	_, _ = rand.Read(raw[:])
	key := hex.EncodeToString(raw[:])
	server, err := web.Listen(ctx, "control", "127.0.0.1:0", controlHandler(stopping, key, b), nil, log)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(c.Data, controlFile)
	if err := os.WriteFile(file, []byte(server.Addr().String()+" "+key+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", file, err), server.Stop(ctx))
	}
	return &control{server: server, file: file}, nil
}

func (k *control) stop(ctx context.Context) error { return k.server.Stop(ctx) }

// remove takes the file away while this process still holds the data folder:
// later it could be the next server's.
func (k *control) remove() error { return removeControl(k.file) }

func removeControl(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the control file: %w", err)
	}
	return nil
}

func controlHandler(stopping context.Context, key string, b *backend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /user", func(w http.ResponseWriter, r *http.Request) { answer[newAccount](w, r, key, b) })
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { answer[newToken](w, r, key, b) })
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) { serveBackup(stopping, w, r, key, b) })
	mux.HandleFunc("POST /fsck", func(w http.ResponseWriter, r *http.Request) { serveFsck(stopping, w, r, key, b) })
	return mux
}

// answer carries an order out. The body is the line to print, or the error's
// text with status 422.
func answer[T any](w http.ResponseWriter, r *http.Request, key string, b *backend) {
	order, ok := readOrder[T](w, r, key)
	if !ok {
		return
	}
	made, err := b.carryOut(r.Context(), order)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	_, _ = io.WriteString(w, made) //nolint:gosec // read by our own command line, never by a browser
}

// readOrder checks the key and reads the order; where it answers false it has
// refused it.
func readOrder[T any](w http.ResponseWriter, r *http.Request, key string) (order T, ok bool) {
	got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(got), []byte(key)) != 1 {
		http.Error(w, "wrong key", http.StatusForbidden)
		return order, false
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxOrder)).Decode(&order); err != nil {
		http.Error(w, "the order is no JSON", http.StatusBadRequest)
		return order, false
	}
	return order, true
}

// answersControl reports whether a server that holds the data folder runs.
func answersControl(ctx context.Context, c config.Config) bool {
	addr, _, ok := readControl(c)
	if !ok {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusNoContent
}

// readControl reads the address and the key that a running server left.
func readControl(c config.Config) (addr, key string, ok bool) {
	line, err := os.ReadFile(filepath.Join(c.Data, controlFile))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(strings.TrimSpace(string(line)), " ")
}

// leftControl reports a control file that no running server can own, since
// this process holds the data folder: the last one did not stop in order.
func leftControl(c config.Config) bool {
	_, err := os.Stat(filepath.Join(c.Data, controlFile))
	return err == nil
}

// askRunning hands an order to the server that holds the data folder. ok is
// false when it does not answer. The caller has found the folder in use: an
// order holds a password, and the address of a server that is gone may be
// somebody else's by now.
func askRunning(ctx context.Context, c config.Config, kind string, order any) (made string, ok bool, err error) {
	addr, key, ok := readControl(c)
	if !ok {
		return "", false, nil
	}
	body, err := json.Marshal(order)
	if err != nil {
		return "", true, fmt.Errorf("write the order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/"+kind, bytes.NewReader(body))
	if err != nil {
		return "", false, nil
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false, nil
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxOrder))
	switch {
	case err != nil:
		return "", true, fmt.Errorf("read the running server's answer: %w", err)
	case res.StatusCode == http.StatusUnprocessableEntity:
		return "", true, errors.New(strings.TrimSpace(string(text)))
	case res.StatusCode != http.StatusOK:
		return "", false, nil
	}
	return string(text), true, nil
}
