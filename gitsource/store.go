package gitsource

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skeema/knownhosts"

	"github.com/keptn/gitops/gitsource/githubapp"
	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// A Store keeps fetched repositories below one directory, which belongs to one
// process at a time. It is safe for concurrent use, and what it keeps survives the
// process, also one that is killed.
type Store struct {
	dir string
	options

	mu      sync.Mutex
	mirrors map[string]*mirror      // by location.key
	disk    map[string]*usage       // by directory name
	clients map[string]*http.Client // by CA, client certificate and proxy
	awake   []*mirror               // the one that was used last is the last
	tokens  *githubapp.Tokens
}

// usage is what one repository takes, and when it was used last.
type usage struct {
	bytes int64
	last  time.Time
}

// NewStore opens the store in dir, which is made if need be.
func NewStore(dir string, opts ...Option) (*Store, error) {
	s := &Store{
		dir: dir, options: defaults(),
		mirrors: map[string]*mirror{}, disk: map[string]*usage{}, clients: map[string]*http.Client{},
	}
	for _, o := range opts {
		o(&s.options)
	}
	s.tokens = githubapp.NewTokens(s.now)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("opening the Git store: %w", err)
	}
	return s, s.measure()
}

// Tokens are those that the store has got for GitHub Apps, to be shared.
func (s *Store) Tokens() *githubapp.Tokens { return s.tokens }

// measure finds the repositories that an earlier process kept.
func (s *Store) measure() error {
	folders, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("opening the Git store: %w", err)
	}
	for _, f := range folders {
		if !f.IsDir() || !strings.HasSuffix(f.Name(), directorySuffix) {
			continue
		}
		packs, _ := filepath.Glob(filepath.Join(s.dir, f.Name(), "objects", "pack", "*"))
		u := &usage{}
		for _, file := range packs {
			if info, err := os.Stat(file); err == nil {
				u.bytes += info.Size()
			}
		}
		if info, err := os.Stat(filepath.Join(s.dir, f.Name(), stateFile)); err == nil {
			u.last = info.ModTime()
		}
		s.disk[f.Name()] = u
	}
	return nil
}

// Repository returns a handle to a repository; nothing is read or sent yet. Handles
// to one URL share what was fetched, but each must show the remote its own
// credentials before it reads any of it. An error says what is wrong with the URL or
// that the credentials do not fit it, or is [ErrDisk].
func (s *Store) Repository(remote Remote) (*Repository, error) {
	l, err := locate(remote.URL)
	if err != nil {
		return nil, err
	}
	if l.local() && !s.local {
		return nil, fmt.Errorf("repository %s: %w", l, ErrLocal)
	}
	if l.local() {
		return &Repository{mirror: s.mirror(l), url: l.String()}, nil
	}
	if remote.Auth.c == nil && !l.ssh() {
		if remote.Auth, err = httpAuth(l, nil); err != nil {
			return nil, err
		}
	}
	l.way = remote.Proxy.way(remote.Auth.c)
	target, err := s.target(l, remote)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", l, err)
	}
	return &Repository{
		mirror: s.mirror(l), url: l.String(), target: target, identity: remote.Auth.identity(),
		timeout: min(cmp.Or(remote.Timeout, s.timeout), s.timeout),
	}, nil
}

func (s *Store) target(l location, remote Remote) (wire.Target, error) {
	t := wire.Target{Endpoint: l.endpoint}
	var err error
	if l.ssh() {
		t.SSH, err = s.sshTarget(l, remote.Auth, remote.Proxy)
		return t, err
	}
	t.HTTP, err = s.httpTarget(l, remote.Auth, remote.Proxy)
	return t, err
}

func (s *Store) sshTarget(l location, auth Auth, proxy Proxy) (*wire.SSH, error) {
	if auth.c == nil || auth.c.signer == nil {
		return nil, errIdentity
	}
	hosts, err := s.knownHosts(auth.c.knownHosts)
	if err != nil {
		return nil, err
	}
	dialer, err := proxy.dialer(s.addresses)
	if err != nil {
		return nil, err
	}
	return &wire.SSH{User: cmp.Or(l.user, "git"), Signer: auth.c.signer, KnownHosts: hosts, Dialer: dialer}, nil
}

// knownHosts lends the library a file, which is all it reads.
func (s *Store) knownHosts(content []byte) (_ *knownhosts.HostKeyDB, err error) {
	f, err := os.CreateTemp(s.dir, "known_hosts_")
	if err != nil {
		return nil, packs.Fault(err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, packs.Fault(err)
	}
	db, err := knownhosts.NewDB(f.Name())
	if err != nil {
		return nil, fmt.Errorf("secret key known_hosts: %w", err)
	}
	return db, nil
}

func (s *Store) httpTarget(l location, auth Auth, proxy Proxy) (*wire.HTTP, error) {
	c := auth.c
	if c.signer != nil {
		return nil, errors.New("an ssh key is no use for an http URL; it needs username and password, bearerToken, or a GitHub App")
	}
	secret := c.username != "" || c.password != "" || c.bearerToken != "" || c.app != nil
	if secret && l.endpoint.Protocol == "http" && !s.plainCredentials {
		return nil, errors.New("credentials would go over plain http for all to read; use https")
	}
	client, err := s.client(c, proxy)
	if err != nil {
		return nil, fmt.Errorf("secret key ca.crt: %w", err)
	}
	if c.app != nil {
		if client, err = s.appClient(l, *c.app, client); err != nil {
			return nil, err
		}
	}
	return &wire.HTTP{Client: client, Username: c.username, Password: c.password, Bearer: c.bearerToken}, nil
}

// client is shared by all who trust and show the same certificates and go the same way,
// and so are its connections.
func (s *Store) client(c *credentials, proxy Proxy) (*http.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%q %q %q %q", c.ca, c.clientCert, c.clientKey, proxy.way(c))
	if client, ok := s.clients[key]; ok {
		return client, nil
	}
	client, err := wire.NewHTTPClient(c.ca, c.certificate, proxy.URL(), s.addresses)
	if err == nil {
		s.clients[key] = client
	}
	return client, err
}

// TakesPlainHTTP says whether passwords and tokens may go over http, see
// [AllowPlainHTTPCredentials].
func (s *Store) TakesPlainHTTP() bool { return s.plainCredentials }

func (s *Store) mirror(l location) *mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.mirrors[l.key()]
	if !ok {
		m = newMirror(s, l)
		s.mirrors[l.key()] = m
	}
	return m
}

// maxAwake is how many repositories have open files and objects in memory at once.
const maxAwake = 16

// touch notes that a repository was used now.
func (s *Store) touch(m *mirror) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.disk[m.name]; ok {
		u.last = s.now()
	}
}

// wake notes that a repository opens files and takes objects into memory, and puts those
// to rest that did so the longest time ago.
func (s *Store) wake(m *mirror) {
	s.mu.Lock()
	awake := slices.DeleteFunc(s.awake, func(other *mirror) bool { return other == m })
	surplus := max(0, len(awake)+1-maxAwake)
	idle := slices.Clone(awake[:surplus])
	s.awake = append(awake[surplus:], m)
	s.mu.Unlock()
	for _, other := range idle {
		_ = other.rest() // of files that were only read nothing is lost
	}
}

// account notes how much a repository takes, and makes room by deleting those that
// were not used for the longest time, this one and those being fetched aside.
func (s *Store) account(m *mirror, bytes int64) error {
	s.mu.Lock()
	s.disk[m.name] = &usage{bytes: bytes, last: s.now()}
	var total int64
	names := make([]string, 0, len(s.disk))
	for name, u := range s.disk {
		total += u.bytes
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return s.disk[a].last.Compare(s.disk[b].last) })
	var surplus []string
	for _, name := range names {
		if total > s.maxBytes && name != m.name {
			surplus = append(surplus, name)
			total -= s.disk[name].bytes
		}
	}
	byName := make(map[string]*mirror, len(s.mirrors))
	for _, other := range s.mirrors {
		byName[other.name] = other
	}
	s.mu.Unlock()

	var err error
	for _, name := range surplus {
		err = errors.Join(err, s.evict(name, byName[name]))
	}
	return err
}

// evict deletes what is kept of a repository; m is nil if no handle to it was made.
func (s *Store) evict(name string, m *mirror) error {
	if m != nil {
		if !m.gate.TryAcquire(1) {
			return nil
		}
		defer m.gate.Release(1)
		if err := m.reset(); err != nil {
			return err
		}
	} else if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.disk, name)
	return nil
}
