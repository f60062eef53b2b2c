package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/eidermail/eider/mail"
	"github.com/eidermail/eider/mail/store"
)

// everyChange calls each operation on accounts, documents and in the
// background at least once.
func everyChange(t *testing.T, s *store.Store, user, box, trash mail.ID) {
	t.Helper()
	ctx := context.Background()
	works(t, s)
	edge := mail.NewID().String()
	for _, p := range []store.Paging{{}, {After: edge}, {Before: edge}} {
		_, _, err := s.Users(ctx, store.UserFilter{Tags: []string{"a"}, RequiredTags: []string{"b"}}, p)
		wantNil(t, err)
		_, _, err = s.Users(ctx, store.UserFilter{}, p)
		wantNil(t, err)
		_, _, err = s.AllAddresses(ctx, store.AddressFilter{Tags: []string{"a"}}, p)
		wantNil(t, err)
		_, _, err = s.AllFilters(ctx, "x@example.com", p)
		wantNil(t, err)
		_, _, err = s.DomainAliases(ctx, "", p)
		wantNil(t, err)
		_, _, err = s.DomainRules(ctx, "tag", store.DomainAllow, "", p)
		wantNil(t, err)
		_, _, err = s.DKIMKeys(ctx, "", p)
		wantNil(t, err)
		_, _, err = s.Certificates(ctx, "", p)
		wantNil(t, err)
		_, _, err = s.Webhooks(ctx, "user.created", user, p)
		wantNil(t, err)
	}
	_, _, err := s.QuotaTotals(ctx)
	wantNil(t, err)
	must(s.EditUser(ctx, user, func(a *store.Account) error { a.Name = "Other"; return nil }))(t)
	second := must(s.AddAddress(ctx, user, mustAddress(t, "second@example.com"), "", false))(t)
	must(s.RenameAddress(ctx, user, second.ID, mustAddress(t, "third@example.com")))(t)
	wantNil(t, s.MakeMain(ctx, user, second.ID))
	must(s.AddForwarded(ctx, mustAddress(t, "list@example.com"), store.AddressRecord{}))(t)
	must(s.RenameDomain(ctx, "example.com", "example.net"))(t)
	must(s.ResolveDomainAlias(ctx, "alias.example"))(t)
	must(s.AddDomainRule(ctx, "tag", "x.example", store.DomainAllow))(t)
	must(s.DomainRulesFor(ctx, []string{"tag"}, "x.example"))(t)

	f := must(s.AddFilter(ctx, store.Filter{User: user}))(t)
	must(s.EditFilter(ctx, user, f.ID, func(f *store.Filter) error { f.Name = "x"; return nil }))(t)
	must(s.Filters(ctx, user))(t)
	must(s.SetAutoreply(ctx, user, func(a *store.Autoreply) error { a.Status = true; return nil }))(t)
	wantNil(t, s.DeleteAutoreply(ctx, user))
	a := must(s.AddAppPassword(ctx, store.AppPassword{User: user}, "p"))(t)
	must(s.AppPasswords(ctx, user))(t)
	must(s.AppPasswordCandidates(ctx, user, "p"))(t)
	wantNil(t, s.UseAppPassword(ctx, user, a.ID, mail.NewID(), "192.0.2.1"))
	_, err = s.DKIMSigner(ctx, "example.net")
	wantCode(t, err, mail.CodeNotFound)
	_, err = s.CertificateFor(ctx, "mail.example.net")
	wantCode(t, err, mail.CodeNotFound)
	must(s.WebhooksFor(ctx, "user.created", user))(t)
	wantNil(t, s.SetSetting(ctx, "x", "1", store.SettingOptions{}))
	must(s.Setting(ctx, "x"))(t)
	must(s.Settings(ctx, ""))(t)
	must(s.AddAudit(ctx, store.Audit{User: user, Expires: time.Now()}))(t)
	must(s.ActiveAudits(ctx, user, time.Now()))(t)

	for _, b := range []store.Bulk{
		{Mailbox: box, Kind: store.BulkCopy, Target: trash}, {Mailbox: box, Kind: store.BulkFlags}, {Mailbox: trash, Kind: store.BulkExpunge, Archive: true},
	} {
		b.User = user
		ended(t, s, must(s.StartBulk(ctx, b))(t))
	}
	must(s.BulkJobs(ctx, user))(t)
	list := must(s.Archived(ctx, user, mail.NewID(), 5))(t)
	must(s.Restore(ctx, user, list[0].ID, mail.ID{}))(t)
	for _, start := range []func() (mail.ID, error){
		func() (mail.ID, error) { return s.StartRestore(ctx, user, time.Now().Add(-time.Hour), time.Now()) },
		func() (mail.ID, error) { return s.StartClear(ctx, user, trash, true) },
		func() (mail.ID, error) { return s.StartQuota(ctx) },
	} {
		task := must(start())(t)
		eventually(t, "the end of a task", func() bool { return !must(s.TaskWaits(ctx, task))(t) })
	}
	must(s.DeleteUser(ctx, user, time.Now().Add(time.Hour)))(t)
	must(s.DeletedUser(ctx, user))(t)
	must(s.RestoreUser(ctx, user))(t)
	d := must(s.DeleteUser(ctx, user, time.Time{}))(t)
	eventually(t, "the end of an account", func() bool { return !must(s.TaskWaits(ctx, d.Task))(t) })
	eventually(t, "a sweep", func() bool {
		_, err := s.Sweep(ctx)
		return err == nil
	})
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
