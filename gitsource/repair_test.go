package gitsource

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/gitsource/internal/packs"
)

func TestADamagedStoreRepairsItself(t *testing.T) {
	t.Parallel()
	pattern := func(glob string, spoil func(string) error) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, "*.git", glob))
			if err != nil || len(files) == 0 {
				t.Fatalf("nothing to spoil: %v", err)
			}
			for _, f := range files {
				if err := os.Chmod(f, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := spoil(f); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	half := func(f string) error {
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		return os.Truncate(f, info.Size()/2)
	}
	flip := func(f string) error { // bytes all over the file
		content, err := os.ReadFile(f)
		for i := 30; i < len(content); i += 50 {
			content[i] ^= 0x10
		}
		return errors.Join(err, os.WriteFile(f, content, 0o644))
	}
	write := func(text string) func(string) error {
		return func(f string) error { return os.WriteFile(f, []byte(text), 0o644) }
	}
	cases := map[string]struct {
		reason string
		spoil  func(t *testing.T, dir string)
	}{
		"AllGone":         {"Somebody cleaned up.", pattern("", os.RemoveAll)},
		"PacksGone":       {"Only the state is left.", pattern("objects/pack/*", os.Remove)},
		"PacksOnlyGone":   {"Indexes promise what is not there.", pattern("objects/pack/*.pack", os.Remove)},
		"IndexesGone":     {"Packs without an index are of no use.", pattern("objects/pack/*.idx", os.Remove)},
		"PacksTruncated":  {"The disk was full.", pattern("objects/pack/*.pack", half)},
		"IndexTruncated":  {"The power went while it was written.", pattern("objects/pack/*.idx", half)},
		"StateUnreadable": {"The state is only a help.", pattern(stateFile, half)},
		"EmptyPacks":      {"A file system lost the content.", pattern("objects/pack/*.pack", func(f string) error { return os.Truncate(f, 0) })},
		"PacksFlipped":    {"A disk that does not keep what it is given.", pattern("objects/pack/*.pack", flip)},
		"IndexesFlipped":  {"The same of what leads to objects.", pattern("objects/pack/*.idx", flip)},
		"StateOfOthers":   {"A state that is JSON, and none of ours.", pattern(stateFile, write(`["tips"]`))},
		"StateOfNothing":  {"Commits that were never fetched.", pattern(stateFile, write(`{"tips":[{"name":"main","commit":"`+strings.Repeat("ab", 20)+`"},{"commit":"no name"}],"mode":"odd","remote":{}}`))},
		"HeadGone":        {"What Git itself would need.", pattern("HEAD", os.Remove)},
	}
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a/a": "1", "b": strings.Repeat("b", 9999)})
	for name, tc := range cases {
		for _, when := range []string{"while running", "and a restart and a push"} {
			t.Run(name+" "+when, func(t *testing.T) {
				dir := t.TempDir()
				r := open(t, storeIn(t, dir), repo.URL)
				rev := fetch(t, r, Ref{})
				readFile(t, r, rev.Commit, "a/a")
				tc.spoil(t, dir)
				if strings.Contains(when, "restart") {
					r = open(t, storeIn(t, dir), repo.URL)
				}
				if strings.Contains(when, "push") {
					repo.Commit("main", "more", map[string]string{"c": name + when})
					rev = fetch(t, r, Ref{})
				}
				if got := readFile(t, r, rev.Commit, "a/a") + readFile(t, r, c1, "a/a"); got != "11" {
					t.Errorf("%s\nfiles read %q", tc.reason, got)
				}
				if ok, err := r.IsAncestor(t.Context(), c1, rev.Commit); err != nil || !ok {
					t.Errorf("%s\nhistory: %v, %v", tc.reason, ok, err)
				}
				srv.ResetTraffic()
				fetch(t, r, Ref{})
				requests(t, srv, 1, "the fetch after the repair")
			})
		}
	}
}

func TestAnyPackOfAPartialStoreMayBeLost(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	shas := longHistory(repo, 300)
	use := func(r *Repository) {
		t.Helper()
		rev := fetch(t, r, Ref{})
		if got := readFile(t, r, rev.Commit, "svc/one/f") + readFile(t, r, shas[4], "apps/b/y"); got != "04" {
			t.Errorf("files read %q", got)
		}
		if got := len(logOf(t, r, LogOptions{From: rev.Commit, Paths: []string{"lib"}})); got < 90 {
			t.Errorf("%d commits", got)
		}
	}
	dir := t.TempDir()
	use(open(t, storeIn(t, dir), repo.URL))
	count := func() []string {
		packs, err := filepath.Glob(filepath.Join(dir, "*.git", "objects", "pack", "*.pack"))
		if err != nil || len(packs) < 4 {
			t.Fatalf("%d packs, %v", len(packs), err)
		}
		return packs
	}
	for i := range count() {
		lost := count()[i%len(count())]
		for _, f := range []string{lost, strings.TrimSuffix(lost, ".pack") + ".idx"} {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		r := open(t, storeIn(t, dir), repo.URL)
		use(r)
		if got := r.Mode(); got != Partial {
			t.Errorf("the mode is %q", got)
		}
	}
}

func TestAnInterruptedFetchLeavesAStoreThatWorks(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	dir := t.TempDir()
	r := open(t, storeIn(t, dir), repo.URL)
	ctx, cancel := context.WithCancel(t.Context())
	srv.Intercept(func(req *http.Request) {
		if req.Method == http.MethodPost {
			cancel()
		}
	})
	if _, err := r.Fetch(ctx, Ref{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled fetch: %v", err)
	}
	srv.Intercept(nil)
	packDir := filepath.Join(dir, r.mirror.name, "objects", "pack")
	for _, leftover := range []string{"tmp_pack_1234", "pack-0123456789012345678901234567890123456789.idx"} {
		if err := os.MkdirAll(packDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(packDir, leftover), []byte("half"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	r = open(t, storeIn(t, dir), repo.URL)
	rev := fetch(t, r, Ref{})
	if got := readFile(t, r, rev.Commit, "a"); got != "1" {
		t.Errorf("a is %q", got)
	}
	if files, _ := filepath.Glob(filepath.Join(packDir, "tmp_*")); len(files) > 0 {
		t.Errorf("leftovers: %v", files)
	}
}

func TestWhatOthersBringMeanwhileIsNoDamage(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	s := storeIn(t, t.TempDir(), OnRepair(func(_ string, damage error) { t.Errorf("told of damage: %v", damage) }))
	r := open(t, s, repo.URL)
	if err := r.admission(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.mirror.gate.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var missed sync.WaitGroup
	for range 4 {
		missed.Add(1)
		wg.Go(func() {
			var once sync.Once
			err := r.read(t.Context(), plumbing.NewHash(head), func(db *packs.DB) error {
				defer once.Do(missed.Done)
				_, err := db.Commit(plumbing.NewHash(head))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	missed.Wait()
	r.mirror.gate.Release(1)
	wg.Wait()
}

func TestARepairIsToldAndTouchesNoOtherRepository(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, beside := srv.Create(t, "app"), srv.Create(t, "other")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	other := beside.Commit("main", "one", map[string]string{"a": "2"})
	dir := t.TempDir()
	var told []string
	start := func() (r, aside *Repository) {
		s := storeIn(t, dir, OnRepair(func(url string, damage error) { told = append(told, url+": "+damage.Error()) }))
		return open(t, s, repo.URL), open(t, s, beside.URL)
	}
	r, aside := start()
	fetch(t, r, Ref{})
	fetch(t, aside, Ref{})
	if got := readFile(t, r, head, "a") + readFile(t, aside, other, "a"); got != "12" || len(told) > 0 {
		t.Fatalf("read %q, told %q", got, told)
	}
	for name, spoil := range map[string]func() error{
		"object store is corrupt": func() error {
			packs, err := filepath.Glob(filepath.Join(r.mirror.dir(), "objects", "pack", "*.pack"))
			for _, pack := range packs {
				err = errors.Join(err, os.Chmod(pack, 0o644), os.Truncate(pack, 40))
			}
			return err
		},
		stateFile + " is damaged": func() error { return os.WriteFile(filepath.Join(r.mirror.dir(), stateFile), []byte("{"), 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		told = nil
		r, aside = start()
		if got := readFile(t, r, head, "a"); got != "1" {
			t.Errorf("a is %q", got)
		}
		if len(told) != 1 || !strings.HasPrefix(told[0], repo.URL+": ") || !strings.Contains(told[0], name) {
			t.Errorf("told %q, want the repository and %q", told, name)
		}
		srv.ResetTraffic()
		if got := readFile(t, aside, other, "a"); got != "2" {
			t.Errorf("the other's a is %q", got)
		}
		requests(t, srv, 1, "the other repository, once admitted again,")
	}
}
