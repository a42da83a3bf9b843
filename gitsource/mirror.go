package gitsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sync/semaphore"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// stateFile holds a mirror's state, beside its objects.
const stateFile = "keptn.json"

// maxTips bounds the commits offered to a remote as already here.
const maxTips = 32

// A mirror is what all handles to one URL share: the objects fetched, and what is
// known about the remote. Whatever is here is whole, in that with a commit come its
// history and all their trees; only files may be missing.
type mirror struct {
	store *Store
	name  string // of the directory
	local *local // set for a repository that is read in place
	db    *packs.DB

	last    time.Time           // of use; the store's lock guards it
	gate    *semaphore.Weighted // held by the one that fetches
	flights flights
	notes   *semaphore.Weighted // held by the one that appends notes

	mu         sync.Mutex
	opened     bool
	state      state
	generation int // how often the objects were thrown away
	admitted   map[identity]bool
	// complete are commits known to be whole, tooLarge files over the limit; both only
	// spare work, and are forgotten when they become many.
	complete, tooLarge map[plumbing.Hash]bool
}

// state is what a mirror remembers across processes.
type state struct {
	// URL is for people who look into the directory.
	URL string `json:"url"`
	// Tips were fetched, newest first, one for each ref.
	Tips []tip `json:"tips"`
	// Shallow are the commits at which the remote's own history breaks off.
	Shallow []string `json:"shallow,omitempty"`
	// Unfiltered says that files cannot be fetched one by one, so that all are fetched.
	Unfiltered bool `json:"unfiltered,omitempty"`
}

// A tip is a commit that was fetched, and the name of its revision; "" if it was asked
// for by its object name.
type tip struct {
	Name   string `json:"name,omitempty"`
	Commit string `json:"commit"`
}

func newMirror(s *Store, l location) *mirror {
	m := &mirror{
		store: s, name: l.directory(), gate: semaphore.NewWeighted(1), notes: semaphore.NewWeighted(1), flights: newFlights(),
		state: state{URL: l.String()}, admitted: map[identity]bool{},
		complete: map[plumbing.Hash]bool{}, tooLarge: map[plumbing.Hash]bool{},
	}
	if l.local() {
		m.local = &local{path: l.endpoint.Path}
		m.db = packs.InPlace(m.local.open)
	}
	return m
}

func (m *mirror) dir() string { return filepath.Join(m.store.dir, m.name) }

// objects opens the mirror's objects when they are first needed. A state that cannot
// be read only costs a larger fetch.
func (m *mirror) objects() (*packs.DB, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.local != nil || m.opened {
		return m.db, nil
	}
	db, err := packs.Open(m.dir())
	if err != nil {
		return nil, fmt.Errorf("opening the Git store: %w", err)
	}
	saved := state{}
	if b, err := os.ReadFile(filepath.Join(m.dir(), stateFile)); err == nil && json.Unmarshal(b, &saved) == nil {
		saved.URL = m.state.URL
		m.state = saved
	}
	m.db, m.opened = db, true
	return db, nil
}

// update changes the state, on disk as well.
func (m *mirror) update(change func(*state)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.state)
	b, err := json.MarshalIndent(m.state, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(m.dir(), stateFile+".tmp")
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(m.dir(), stateFile))
}

// remember notes commits that were fetched, in the place of what their ref was at
// before.
func (m *mirror) remember(name string, commits ...plumbing.Hash) error {
	known := m.snapshot().Tips
	tips := make([]tip, 0, len(commits)+len(known))
	fresh := false
	for _, c := range commits {
		t := tip{Name: name, Commit: c.String()}
		at := slices.Index(known, t)
		fresh = fresh || at < 0 || at > maxTips/2 // one that is about to be forgotten
		tips = append(tips, t)
	}
	if !fresh {
		return nil
	}
	for _, t := range known {
		bare := t.Name == "" && slices.ContainsFunc(tips, func(n tip) bool { return n.Commit == t.Commit })
		if !bare && (name == "" || t.Name != name) {
			tips = append(tips, t)
		}
	}
	return m.update(func(s *state) { s.Tips = tips[:min(len(tips), maxTips)] })
}

func (m *mirror) snapshot() state {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Tips = slices.Clone(s.Tips)
	return s
}

// tips are the commits to offer to the remote.
func (m *mirror) tips() []plumbing.Hash {
	var tips []plumbing.Hash
	for _, t := range m.snapshot().Tips {
		tips = append(tips, plumbing.NewHash(t.Commit))
	}
	return unique(tips)
}

// shallow are the commits at which the remote's history breaks off.
func (m *mirror) shallow() ([]plumbing.Hash, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return hashes(m.state.Shallow), nil
}

// reset throws the objects away. The caller holds the gate.
func (m *mirror) reset() error {
	db, err := m.objects()
	if err != nil {
		return errors.Join(os.RemoveAll(m.dir()), err)
	}
	m.mu.Lock()
	m.generation++
	clear(m.complete)
	m.mu.Unlock()
	if err := db.Reset(); err != nil {
		return fmt.Errorf("rebuilding the Git store: %w", err)
	}
	return m.update(func(s *state) { s.Tips, s.Shallow = nil, nil })
}

// generationNow changes whenever the objects are thrown away.
func (m *mirror) generationNow() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}

// admit notes whether the remote accepted these credentials.
func (m *mirror) admit(id identity, accepted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if accepted {
		m.admitted[id] = true
		return
	}
	delete(m.admitted, id)
}

func (m *mirror) isAdmitted(id identity) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.admitted[id]
}

// markTooLarge remembers a file not to ask for again; isTooLarge tells.
func (m *mirror) markTooLarge(h plumbing.Hash) { m.mark(m.tooLarge, h) }

func (m *mirror) isTooLarge(h plumbing.Hash) bool { return m.marked(m.tooLarge, h) }

// markComplete remembers a commit that is whole; isComplete tells.
func (m *mirror) markComplete(h plumbing.Hash) { m.mark(m.complete, h) }

func (m *mirror) isComplete(h plumbing.Hash) bool { return m.marked(m.complete, h) }

func (m *mirror) mark(set map[plumbing.Hash]bool, h plumbing.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const most = 1024
	if len(set) >= most {
		clear(set)
	}
	set[h] = true
}

func (m *mirror) marked(set map[plumbing.Hash]bool, h plumbing.Hash) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return set[h]
}

// rest closes the files that are open and forgets the objects in memory; they come
// back with the next use.
func (m *mirror) rest() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return nil
	}
	return m.db.Close()
}

// flights lets callers who want the same thing at the same time share one answer.
type flights struct {
	mu  *sync.Mutex
	now map[string]*flight
}

type flight struct {
	waiters  int
	cancel   context.CancelFunc
	done     chan struct{}
	revision Revision
	err      error
}

func newFlights() flights { return flights{mu: &sync.Mutex{}, now: map[string]*flight{}} }

// share runs f, or waits for a run of the same key. f goes on while anyone waits:
// its context ends when the last of them leaves.
func (fs flights) share(ctx context.Context, key string, f func(context.Context) (Revision, error)) (Revision, error) {
	fs.mu.Lock()
	fl, ok := fs.now[key]
	if !ok {
		shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{cancel: cancel, done: make(chan struct{})}
		fs.now[key] = fl
		go func() {
			fl.revision, fl.err = f(shared)
			fs.leave(key, fl, true)
			close(fl.done)
		}()
	}
	fl.waiters++
	fs.mu.Unlock()

	select {
	case <-fl.done:
		return fl.revision, fl.err
	case <-ctx.Done():
		fs.leave(key, fl, false)
		return Revision{}, context.Cause(ctx)
	}
}

// leave ends a flight that has landed, or that nobody waits for any longer.
func (fs flights) leave(key string, fl *flight, landed bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fl.waiters--
	if !landed && fl.waiters > 0 {
		return
	}
	if fs.now[key] == fl {
		delete(fs.now, key)
	}
	fl.cancel()
}
