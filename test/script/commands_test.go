package script

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/eidermail/eider/test/harness"
)

// world is what one script has open.
type world struct {
	server *process
	mail   *dialog
	events *lines
	// seen is the events already looked at.
	seen   int
	closes []func()
}

type worldKey struct{}

func newWorld() *world { return &world{} }

func of(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) close() {
	for _, c := range w.closes {
		c()
	}
	if w.mail != nil {
		w.mail.close()
	}
	if w.server != nil {
		w.server.close()
	}
}

type command = func(ts *testscript.TestScript, neg bool, args []string)

func commands() map[string]command {
	list := map[string]struct {
		least, most int
		run         func(ts *testscript.TestScript, w *world, args []string)
	}{
		"serve": {0, 30, serve}, "stop": {0, 1, stop}, "signal": {1, 1, sendSignal}, "ended": {0, 1, ended},
		"waitlog": {1, 1, waitLog}, "dial": {1, 1, dial}, "send": {1, 1, send}, "expect": {1, 1, expect},
		"starttls": {1, 1, startTLS}, "deliver": {4, 4, deliver}, "http": {3, 4, request}, "inbox": {1, 1, inbox},
		"events": {1, 1, openEvents}, "event": {1, 1, event}, "capture": {3, 3, capture}, "oneline": {1, 1, oneLine},
		"same": {2, 2, same}, "mode": {2, 2, mode}, "holdport": {1, 1, holdPort}, "makecert": {2, 2, makeCert},
	}
	out := map[string]command{}
	for name, c := range list {
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.least || len(args) > c.most {
				ts.Fatalf("%s takes no !, and %d to %d words", name, c.least, c.most)
			}
			c.run(ts, of(ts), args)
		}
	}
	return out
}

var readyLine = regexp.MustCompile(`^ready( (web|api|lmtp|smtp|docstore)=\S+:[1-9]\d*)*$`)

func serve(ts *testscript.TestScript, w *world, args []string) {
	bin, err := harness.Binary()
	ts.Check(err)
	cmd := exec.Command(bin, append([]string{"serve"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = environment(ts)
	w.server, err = start(cmd)
	ts.Check(err)
	line, _, err := w.server.out.await(0, readyLine)
	if err != nil {
		ts.Fatalf("no ready line: %v\n%s%s", err, w.server.out.text(), w.server.err.text())
	}
	for _, name := range []string{"WEB", "API", "LMTP", "SMTP"} {
		ts.Setenv(name, "")
	}
	for _, field := range strings.Fields(line)[1:] {
		name, addr, _ := strings.Cut(field, "=")
		ts.Setenv(strings.ToUpper(name), addr)
	}
	ts.Setenv("PID", strconv.Itoa(w.server.cmd.Process.Pid))
	_, _ = fmt.Fprintln(ts.Stdout(), line)
}

// eiderVariables are those that scripts set; testscript does not list a
// script's environment. For a listener the empty value means off, and NONE in a
// script stands for a variable that is not set; others are set when not empty.
var eiderVariables = []string{
	"EIDER_WEB", "EIDER_API", "EIDER_LMTP", "EIDER_SMTP", "EIDER_HOSTNAME", "EIDER_REDIS", "EIDER_DATA", "EIDER_API_TOKEN",
	"EIDER_CONFIG", "EIDER_DOMAINS", "EIDER_BEHIND_PROXY", "EIDER_API_OPEN", "EIDER_TLS_CERT", "EIDER_TLS_KEY",
}

// listeners is how many of them, at the beginning, name a listener.
const listeners = 4

func environment(ts *testscript.TestScript) []string {
	var env []string
	for i, name := range eiderVariables {
		if v := ts.Getenv(name); v != "NONE" && (i < listeners || v != "") {
			env = append(env, name+"="+v)
		}
	}
	return env
}

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}

func sendSignal(ts *testscript.TestScript, w *world, args []string) {
	if w.server == nil {
		ts.Fatalf("no server runs")
	}
	ts.Check(w.server.cmd.Process.Signal(signals[args[0]]))
}

func stop(ts *testscript.TestScript, w *world, args []string) {
	if len(args) == 0 {
		args = []string{"TERM"}
	}
	sendSignal(ts, w, args)
	finish(ts, w, args[0] == "KILL")
}

func ended(ts *testscript.TestScript, w *world, args []string) { finish(ts, w, len(args) > 0) }

// finish waits for the end and leaves what the server wrote in files.
func finish(ts *testscript.TestScript, w *world, failed bool) {
	ts.Check(w.server.wait())
	p := w.server
	w.server = nil
	ts.Check(os.WriteFile(ts.MkAbs("server.out"), []byte(p.out.text()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("server.err"), []byte(p.err.text()), 0o600))
	if failed != (p.result != nil) {
		ts.Fatalf("eider ended with %v\n%s", p.result, p.err.text())
	}
}

func waitLog(ts *testscript.TestScript, w *world, args []string) {
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	if _, _, err := w.server.err.await(0, re); err != nil {
		ts.Fatalf("waitlog %s: %v\n%s", args[0], err, w.server.err.text())
	}
}

func capture(ts *testscript.TestScript, _ *world, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	text := ts.ReadFile(args[2])
	m := re.FindStringSubmatch(text)
	if len(m) != 2 {
		ts.Fatalf("%s does not have one group of %s:\n%s", args[2], args[1], text)
	}
	ts.Setenv(args[0], m[1])
}

func oneLine(ts *testscript.TestScript, _ *world, args []string) {
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || len(text) < 2 {
		ts.Fatalf("not one line: %q", text)
	}
}

func same(ts *testscript.TestScript, _ *world, args []string) {
	if args[0] != args[1] {
		ts.Fatalf("%s is not %s", args[0], args[1])
	}
}

func mode(ts *testscript.TestScript, _ *world, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}

func holdPort(ts *testscript.TestScript, w *world, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	w.closes = append(w.closes, func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
