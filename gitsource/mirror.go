package gitsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sync/semaphore"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/recent"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// stateFile holds a mirror's state, beside its objects.
const stateFile = "keptn.json"

// maxTips bounds the commits offered to a remote as already here.
const maxTips = 32

// A mirror is what all handles to one URL share: the objects fetched, and what is
// known about the remote. With a commit its whole history is here. Trees and files may be
// missing, and are fetched by their names when they are needed, see [Mode]: trees only in
// a partial mirror, files in all but a full one.
type mirror struct {
	store *Store
	name  string // of the directory
	local *local // set for a repository that is read in place
	db    *packs.DB

	gate    *semaphore.Weighted // held by the one that fetches
	flights flights
	notes   *semaphore.Weighted // held by the one that appends notes

	commits *commitMemory
	paths   *pathMemory

	mu         sync.Mutex
	opened     bool
	state      state
	generation int // how often the objects were thrown away
	// admitted has the credentials that the remote takes, and what it says of itself to
	// them; nil over SSH.
	admitted map[identity]*wire.Known
	// complete are commits known to be whole, tooLarge files over the limit; both only
	// spare work, and are forgotten when they become many.
	complete map[plumbing.Hash]bool
	tooLarge map[plumbing.Hash]*largeFile
	// gone are commits that the remote lately did not have, and when.
	gone map[plumbing.Hash]time.Time
}

// state is what a mirror remembers across processes.
type state struct {
	// URL is for people who look into the directory.
	URL string `json:"url"`
	// Tips were fetched, newest first, one for each ref.
	Tips []tip `json:"tips"`
	// Shallow are the commits at which the remote's own history breaks off.
	Shallow []string `json:"shallow,omitempty"`
	// Remote is what the remote said of itself, whoever asked.
	Remote *wire.Known `json:"remote,omitempty"`
	// Mode is how it is fetched, as far as that is known.
	Mode Mode `json:"mode,omitempty"`
}

// sound tells whether a state is one that could have been written.
func (s state) sound() bool {
	commits := slices.Clone(s.Shallow)
	for _, t := range s.Tips {
		commits = append(commits, t.Commit)
	}
	strange := slices.ContainsFunc(commits, func(name string) bool { return !plumbing.IsHash(name) })
	return !strange && (s.Remote == nil || s.Remote.V2 != nil) &&
		slices.Contains([]Mode{"", Partial, Blobless, Full}, s.Mode)
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
		commits: recent.New[plumbing.Hash, *packs.Commit](commitsInMemory), paths: recent.New[treePath, entry](pathsInMemory),
		state: state{URL: l.String()}, admitted: map[identity]*wire.Known{},
		complete: map[plumbing.Hash]bool{}, tooLarge: map[plumbing.Hash]*largeFile{}, gone: map[plumbing.Hash]time.Time{},
	}
	if l.local() {
		m.local = &local{path: l.endpoint.Path}
		m.db = packs.InPlace(m.local.open)
	}
	return m
}

func (m *mirror) dir() string { return filepath.Join(m.store.dir, m.name) }

// objects are the mirror's, to be read and added to.
func (m *mirror) objects() (*packs.DB, error) {
	if err := m.open(); err != nil {
		return nil, err
	}
	m.store.wake(m)
	return m.db, nil
}

// open reads the state when the mirror is first used. One that cannot be read only costs a
// larger fetch.
func (m *mirror) open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.local != nil || m.opened {
		return nil
	}
	db, err := packs.Open(m.dir())
	if err != nil {
		return fmt.Errorf("opening the Git store: %w", err)
	}
	if b, err := os.ReadFile(filepath.Join(m.dir(), stateFile)); err == nil {
		m.recall(b)
	}
	m.db, m.opened = db, true
	return nil
}

// recall reads the state that a process left behind. One that cannot be read is forgotten.
func (m *mirror) recall(text []byte) {
	saved := state{}
	err := json.Unmarshal(text, &saved)
	if err == nil && !saved.sound() {
		err = errors.New("it holds what was never written")
	}
	if err != nil {
		m.store.repaired(m.state.URL, fmt.Errorf("%s is damaged: %w", stateFile, err))
		return
	}
	saved.URL = m.state.URL
	m.state = saved
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
	err = os.WriteFile(tmp, b, 0o644)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(m.dir(), stateFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("remembering what was fetched: %w", packs.Fault(err)), gone(os.Remove(tmp)))
	}
	return nil
}

// gone is an error of removing a file, nil if there is none to remove.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
	m.forget()
	if err := db.Reset(); err != nil {
		return fmt.Errorf("rebuilding the Git store: %w", err)
	}
	return m.update(func(s *state) { s.Tips, s.Shallow = nil, nil })
}

// repair throws the objects away because they are damaged, or because they have outgrown
// their room. The caller holds the gate.
func (m *mirror) repair(damage error) error {
	if !errors.Is(damage, errFull) {
		m.store.repaired(m.snapshot().URL, damage)
	}
	return m.reset()
}

// generationNow changes whenever the objects are thrown away.
func (m *mirror) generationNow() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}

// maxRemembered bounds what is remembered beside the objects, of each kind. All of it
// only spares work, and is forgotten when it becomes much.
const maxRemembered = 1024

// admit notes that the remote accepted these credentials, and what it said of itself.
func (m *mirror) admit(id identity, known *wire.Known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.admitted[id]; !ok && len(m.admitted) >= maxRemembered {
		clear(m.admitted)
	}
	m.admitted[id] = known
}

// dismiss notes that the remote does not accept them, or not any longer.
func (m *mirror) dismiss(id identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.admitted, id)
}

// isAdmitted tells whether the remote accepted these credentials, and what it said then.
func (m *mirror) isAdmitted(id identity) (known *wire.Known, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok = m.admitted[id]
	return known, ok
}

// goneFor is how long a commit counts as gone that the remote did not have.
const goneFor = time.Minute

// markGone remembers a commit not to ask for at each look; isGone tells for a while.
func (m *mirror) markGone(h plumbing.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.gone) >= maxRemembered {
		clear(m.gone)
	}
	m.gone[h] = m.store.now()
}

func (m *mirror) isGone(h plumbing.Hash) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.gone[h]
	return ok && m.store.now().Sub(at) < goneFor
}

// hasNews forgets which commits the remote did not have.
func (m *mirror) hasNews() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.gone)
}

// markComplete remembers a commit that is whole; isComplete tells.
func (m *mirror) markComplete(h plumbing.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.complete) >= maxRemembered {
		clear(m.complete)
	}
	m.complete[h] = true
}

func (m *mirror) isComplete(h plumbing.Hash) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.complete[h]
}

// rest closes the files that are open and forgets the objects in memory; they come
// back with the next use.
func (m *mirror) rest() error {
	m.forget()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return nil
	}
	return m.db.Close()
}
