package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eidermail/eider/config"
	"github.com/eidermail/eider/embedded/docstore"
	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/account"
	"github.com/eidermail/eider/mail/address"
	"github.com/eidermail/eider/mail/store"
)

// maxPassword bounds the line read from standard input, in bytes.
const maxPassword = 1024

// newAccount is the order of `eider user add`. It travels to a running server
// as JSON.
type newAccount struct {
	Username, Password, Name, Address string
	Admin                             bool
}

// check refuses a user name that could not be a mail address, or the part of
// one before the @: nobody could type it where it is asked for.
func (o newAccount) check() error {
	full := o.Username
	if !strings.Contains(full, "@") {
		full += "@eider.localhost"
	}
	if _, err := address.Parse(full); err != nil || strings.ContainsAny(full, `"+`) {
		return fmt.Errorf("the user name %s is not accepted (format): choose another", o.Username)
	}
	return nil
}

// newToken is the order of `eider token add`.
type newToken struct{ User, Role string }

// ownRole is the role that reaches nothing but its account's own data.
const ownRole = "user"

// check refuses a token that would open nothing. The roles are WildDuck's.
func (o newToken) check() error {
	roles := []string{"root", "manager", "webmail", ownRole, "auth", "tokenAuth", "audit", "downloader", "attachments"}
	if !slices.Contains(roles, o.Role) {
		return fmt.Errorf("--role %q is none of %s", o.Role, strings.Join(roles, ", "))
	}
	if o.Role == ownRole && o.User == "" {
		return fmt.Errorf("--role %s needs the account: give --user NAME", ownRole)
	}
	return nil
}

func userCommand(ctx context.Context, t terminal, args []string) error {
	if len(args) == 0 || args[0] != "add" {
		return usageError{errors.New("the command is `eider user add NAME --password-stdin`")}
	}
	var order newAccount
	var fromStdin bool
	flags := func(fs *flag.FlagSet) {
		fs.BoolVar(&fromStdin, "password-stdin", false, "")
		fs.StringVar(&order.Address, "address", "", "")
		fs.StringVar(&order.Name, "name", "", "")
		fs.BoolVar(&order.Admin, "admin", false, "")
	}
	return withConfig(t, "user add", args[1:], 1, func(c config.Config, words []string) error {
		if len(words) == 0 {
			return usageError{errors.New("a user name is missing: eider user add NAME --password-stdin")}
		}
		if !fromStdin {
			return usageError{errors.New("give --password-stdin and the password as a line on standard input")}
		}
		order.Username = words[0]
		if err := order.check(); err != nil {
			return usageError{err}
		}
		var err error
		if order.Password, err = readPassword(t.in); err != nil {
			return err
		}
		if order.Address == "" {
			order.Address = words[0]
			if !strings.Contains(order.Address, "@") {
				order.Address += "@" + c.Domains[0]
			}
		}
		made, err := administer(ctx, c, t, "user", order)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, made)
		return err
	}, flags)
}

func tokenCommand(ctx context.Context, t terminal, args []string) error {
	if len(args) == 0 || args[0] != "add" {
		return usageError{errors.New("the command is `eider token add [--user NAME] [--role ROLE]`")}
	}
	var order newToken
	flags := func(fs *flag.FlagSet) {
		fs.StringVar(&order.User, "user", "", "")
		fs.StringVar(&order.Role, "role", "", "")
	}
	return withConfig(t, "token add", args[1:], 0, func(c config.Config, _ []string) error {
		if order.Role == "" {
			order.Role = "root"
			if order.User != "" {
				order.Role = ownRole
			}
		}
		if err := order.check(); err != nil {
			return usageError{err}
		}
		made, err := administer(ctx, c, t, "token", order)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, made)
		return err
	}, flags)
}

// readPassword takes the first line of standard input.
func readPassword(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxPassword+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("the password on standard input is empty")
	}
	if len(line) > maxPassword {
		return "", fmt.Errorf("the password on standard input is longer than %d bytes", maxPassword)
	}
	return line, nil
}

// administer carries an order out: through the running server where one holds
// the data folder, and on the data itself otherwise.
func administer(ctx context.Context, c config.Config, t terminal, kind string, order any) (string, error) {
	log := newLogger(t.err, quiet(c))
	b, err := openBackend(ctx, c, log)
	if errors.Is(err, docstore.ErrInUse) {
		if made, ok, err := askRunning(ctx, c, kind, order); ok {
			return made, err
		}
	}
	if err != nil {
		return "", err
	}
	var made string
	if c.Mongo == "" {
		err = b.recover(ctx, c, log)
	}
	if err == nil {
		made, err = b.carryOut(ctx, order)
	}
	return made, errors.Join(err, b.close(context.WithoutCancel(ctx)))
}

// quiet keeps a short command's log to what went wrong.
func quiet(c config.Config) config.Config {
	c.LogLevel = "error"
	return c
}

// carryOut does the order and gives the line to print.
func (b *backend) carryOut(ctx context.Context, order any) (string, error) {
	switch o := order.(type) {
	case newAccount:
		u, err := b.accounts.Create(ctx, store.NewUser{
			Username: o.Username, Name: o.Name, Address: o.Address, Admin: o.Admin,
		}, o.Password)
		if err != nil {
			return "", explain(o, err)
		}
		return u.ID.String() + " " + u.Address, nil
	case newToken:
		opts := account.TokenOptions{Role: o.Role, Description: "eider token add"}
		if o.User != "" {
			u, err := b.store.FindUser(ctx, o.User)
			if err != nil {
				return "", fmt.Errorf("user %s: %w", o.User, err)
			}
			opts.User = u.ID
		}
		return b.accounts.NewToken(ctx, opts)
	case newBackup:
		return backUp(ctx, b.engine, o)
	default:
		return "", fmt.Errorf("unknown order %T", order)
	}
}

// explain words what is wrong with a new account for the person at the shell.
func explain(o newAccount, err error) error {
	var e *mail.Error
	if !errors.As(err, &e) {
		return err
	}
	// A password is not repeated.
	what := e.Field
	switch e.Field {
	case "username":
		what = "user name " + o.Username
	case "address":
		what += " " + o.Address
	}
	switch {
	case e.Code == mail.CodeExists:
		return fmt.Errorf("the %s is taken: choose another", what)
	case e.Code == mail.CodeInvalid && e.Field != "":
		return fmt.Errorf("the %s is not accepted (%s): choose another", what, e.Reason)
	default:
		return err
	}
}
