package gitsource

import (
	"time"

	"github.com/keptn/gitops/outbound"
)

// An Option changes a [Store]. Without options a Store is usable as it is.
type Option func(*options)

type options struct {
	maxBytes           int64
	maxRepositoryBytes int64
	maxFetchBytes      int64
	maxFileBytes       int64
	timeout            time.Duration
	plainCredentials   bool
	local              bool
	addresses          outbound.Addresses
	name, email        string
	now                func() time.Time
	repaired           func(url string, damage error)
}

func defaults() options {
	return options{
		maxBytes:           4 << 30,
		maxRepositoryBytes: 2 << 30,
		maxFetchBytes:      1 << 30,
		maxFileBytes:       10 << 20,
		timeout:            5 * time.Minute,
		addresses:          outbound.Anywhere(),
		name:               "keptn",
		email:              "keptn@users.noreply.github.com",
		now:                time.Now,
		repaired:           func(string, error) {},
	}
}

// MaxBytes bounds the disk that all repositories take together; those not used for
// the longest time are deleted first. The default is 4 GiB. The one in use is kept.
func MaxBytes(n int64) Option { return func(o *options) { o.maxBytes = n } }

// MaxRepositoryBytes bounds the disk that one repository takes. One that grows over
// it is fetched anew, which drops what is no longer reachable; if it does not fit
// even then, Fetch returns [ErrTooLarge]. The default is 2 GiB.
func MaxRepositoryBytes(n int64) Option { return func(o *options) { o.maxRepositoryBytes = n } }

// MaxFetchBytes bounds what one fetch may receive; beyond it, it returns
// [ErrTooLarge]. The default is 1 GiB.
func MaxFetchBytes(n int64) Option { return func(o *options) { o.maxFetchBytes = n } }

// MaxFileBytes bounds the files that can be read; larger ones yield [ErrTooLarge] and
// are never in memory. The default is 10 MiB.
func MaxFileBytes(n int64) Option { return func(o *options) { o.maxFileBytes = n } }

// Timeout bounds one conversation with a remote, beside the caller's context. The
// default is 5 minutes.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// AllowPlainHTTPCredentials lets passwords and tokens go over http. By default a
// [Remote] that would is refused.
func AllowPlainHTTPCredentials() Option { return func(o *options) { o.plainCredentials = true } }

// AllowLocalRepositories lets remotes be folders of this machine, by file:// URLs or
// plain paths. By default they yield [ErrLocal], for whoever chooses the URL would read what
// this process can read. It is read where it is, with the repositories that its
// objects/info/alternates names.
func AllowLocalRepositories() Option { return func(o *options) { o.local = true } }

// Addresses says which addresses remotes, and proxies, may have; others yield
// [outbound.ErrForbidden]. The default is [outbound.Anywhere].
func Addresses(a outbound.Addresses) Option { return func(o *options) { o.addresses = a } }

// Identity is who commits notes, and proposals without an author. The default is keptn.
func Identity(name, email string) Option {
	return func(o *options) { o.name, o.email = name, email }
}

// Clock tells the time of notes, and which repository was used last. The default is
// time.Now.
func Clock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// OnRepair is told of each repository whose files are found damaged or gone, before they are
// fetched again. By default nobody is. The function may be called by several goroutines.
func OnRepair(f func(url string, damage error)) Option {
	return func(o *options) { o.repaired = f }
}
