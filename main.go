// Command eider is a webmail-first mail platform in one binary: webmail, REST
// API, LMTP and SMTP over one shared store.
//
//	eider serve          start everything
//	eider user add NAME  make an account
//	eider token add      make an access token for the API
//	eider fsck           check counters, references and mailboxes, and mend them
//	eider backup FILE    copy the embedded store, also while the server runs
//	eider restore FILE   make the embedded store a copy of a backup
//	eider dump, load     move everything between the embedded store, MongoDB and a file
//	eider check          validate the configuration and the reach of every server
//	eider version        say which build this is
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // zones of the settings, also where the system has none

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail/address"
)

// terminal is what a command talks to; tests give their own.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t := terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ()}
	code := execute(ctx, t, os.Args[1:])
	stop()
	os.Exit(code)
}

// execute runs one command and gives the exit code: 0, 1 for a failure, 2 for
// a wrong command line.
func execute(ctx context.Context, t terminal, args []string) int {
	if len(args) == 0 {
		args = []string{"help"}
	}
	name, args := args[0], args[1:]
	var err error
	switch name {
	case "serve":
		err = withConfig(t, name, args, 0, func(c config.Config, _ []string) error { return serve(ctx, t, c) })
	case "user":
		err = userCommand(ctx, t, args)
	case "token":
		err = tokenCommand(ctx, t, args)
	case "fsck":
		return fsckCommand(ctx, t, args)
	case "backup":
		err = withConfig(t, name, args, 1, func(c config.Config, words []string) error { return backup(ctx, t, c, words) })
	case "restore":
		err = restoreCommand(t, args)
	case "dump":
		err = dumpCommand(ctx, t, args)
	case "load":
		err = loadCommand(ctx, t, args)
	case "check":
		err = withConfig(t, name, args, 0, func(c config.Config, _ []string) error { return check(ctx, t, c) })
	case "version", "--version":
		_, _ = fmt.Fprintln(t.out, "eider", version())
	case "help", "--help", "-h":
		help(t.out)
	default:
		err = usageError{fmt.Errorf("%q is no command; `eider help` lists them", name)}
	}
	return report(t, err)
}

// usageError marks a mistake in the command line.
type usageError struct{ error }

// report writes a failure as one line and gives the exit code.
func report(t terminal, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(t.err, "eider: "+oneLine(err))
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// oneLine words a failure with what to do about it. A chain of several errors
// is still one line, for logs that are read line by line.
func oneLine(err error) string {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if todo := advice(err); todo != "" {
		text += ": " + todo
	}
	return text
}

// advice is what to do about a failure of the system, "" where the error itself
// says it.
func advice(err error) string {
	var listen *net.OpError
	switch {
	case errors.Is(err, docstore.ErrInUse):
		return "stop that process, or give another folder"
	case errors.Is(err, docstore.ErrForeign):
		return "give another folder"
	case !errors.As(err, &listen) || listen.Op != "listen":
		return ""
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop the process that uses it, or give another port (0 takes a free one)"
	case errors.Is(err, syscall.EACCES):
		return "give a port above 1023, or start with the right to open this one"
	default:
		return "give an address of this machine"
	}
}

// withConfig reads the configuration of a command that takes at most max words.
func withConfig(t terminal, name string, args []string, max int, run func(config.Config, []string) error, extra ...func(*flag.FlagSet)) error {
	c, words, err := config.Load(name, args, t.env, t.out, extra...)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	for _, d := range c.Domains {
		if _, err := address.Domain(d); err != nil {
			return usageError{fmt.Errorf("--domains %q: %w: give names such as example.org", d, err)}
		}
	}
	if len(words) > max {
		return usageError{fmt.Errorf("%q is not expected here; `eider help` shows how", words[max])}
	}
	return run(c, words)
}

func help(w io.Writer) {
	_, _ = io.WriteString(w, `eider: webmail, REST API, LMTP and SMTP over one store

  eider serve                       start everything; no option is needed
  eider user add NAME --password-stdin [--address A] [--name N] [--admin]
                                    make an account; the password is a line on standard input
  eider token add [--user NAME] [--role ROLE]
                                    make an access token for the API and print it
  eider fsck [--repair] [--user NAME] [--json] [--from-start]
                                    check counters, references and mailboxes, and mend them
  eider backup FILE                 copy the embedded store to a new file, also while the server runs
  eider restore FILE [--force]      make the embedded store a copy of a backup; --force moves the old one aside
  eider dump --to URI|FILE          move everything to a MongoDB, or to a new file
  eider load --from URI|FILE        move everything from a MongoDB or a dump into an empty store
  eider check                       validate the configuration and reach every server
  eider version

Options of these commands:
`)
	config.WriteOptions(w)
}
