// Package script drives the eider binary as its operators do: scripts below
// testdata start it by its command line, talk to its listeners, stop it, and
// look at what it wrote and left.
//
// Beside testscript's own commands there are:
//
//	serve [FLAG…]            start `eider serve` and wait for its ready line; sets WEB, API, LMTP, SMTP
//	stop [SIGNAL]            send TERM, INT or KILL, wait for the end; files server.out and server.err
//	signal SIGNAL            send a signal and go on
//	waitlog PATTERN          wait until the server's log has a line that matches
//	ended [FAILED]           wait for the server's end; it must be in order, or must not
//	dial ADDRESS             open a mail session
//	send TEXT                write a line to it
//	expect PATTERN           read one reply, of one or more lines; it must match
//	starttls VAR             begin TLS; VAR is the certificate's fingerprint
//	deliver ADDRESS FROM TO FILE   one message over SMTP
//	http STATUS METHOD URL [JSON]  a request with the access token $TOKEN; standard output is the answer
//	inbox USER               counters and subjects of the account's INBOX, over the API
//	events URL               open a stream of server-sent events
//	event PATTERN            wait for a line of it that matches
//	capture VAR PATTERN FILE set a variable to the pattern's group
//	oneline FILE             the file is one line
//	same A B                 the words are the same
//	mode MODE FILE           the file has these rights
//	holdport VAR             open a port and keep it
//	makecert CERT KEY        write a certificate for localhost
package script

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/eidermail/eider/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, params(t, nil, testscript.Params{Dir: "testdata"}))
}

// The scripts in which signals matter, with Redis between the parts of the program.
func TestScriptsOnRedis(t *testing.T) {
	t.Parallel()
	uri := redisURI(t)
	testscript.Run(t, params(t, map[string]string{"EIDER_REDIS": uri}, testscript.Params{Files: []string{
		"testdata/live.txtar", "testdata/restart.txtar",
	}}))
}

// params adds what all scripts share: the binary, free ports, the commands.
func params(t *testing.T, env map[string]string, p testscript.Params) testscript.Params {
	t.Helper()
	bin, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(folder, "eider")); err != nil {
		t.Fatal(err)
	}
	p.Setup = func(e *testscript.Env) error {
		vars := map[string]string{
			"PATH":      folder + string(os.PathListSeparator) + e.Getenv("PATH"),
			"EIDER_WEB": "127.0.0.1:0", "EIDER_API": "127.0.0.1:0",
			"EIDER_LMTP": "127.0.0.1:0", "EIDER_SMTP": "127.0.0.1:0",
			"EIDER_HOSTNAME": "mx.script.test",
		}
		maps.Copy(vars, env)
		for k, v := range vars {
			e.Setenv(k, v)
		}
		w := newWorld()
		e.Values[worldKey{}] = w
		e.Defer(w.close)
		return nil
	}
	p.Cmds = commands()
	return p
}
