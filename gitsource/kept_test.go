package gitsource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

func TestWhatWasDeployedBeforeAForcedPushStaysReadable(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		// keep says whether the commits were fetched before the forced push, and restart
		// whether another process reads them.
		keep, restart bool
		server        func(*gittest.Server, *gittest.Repo)
		found         bool
	}{
		"InTheStore": {"Nothing that was fetched goes with its branch.", true, false,
			func(_ *gittest.Server, repo *gittest.Repo) { repo.Prune() }, true},
		"AfterARestart": {"Nor with the process.", true, true,
			func(_ *gittest.Server, repo *gittest.Repo) { repo.Prune() }, true},
		"FromAServerThatAllows": {"An empty store fetches by object name.", false, false,
			func(*gittest.Server, *gittest.Repo) {}, true},
		"FromAServerThatRefuses": {"Many servers send only what a ref reaches.", false, false,
			func(srv *gittest.Server, _ *gittest.Repo) { srv.RefuseUnadvertisedWants() }, false},
		"FromNowhere": {"What is pruned is gone.", false, false,
			func(_ *gittest.Server, repo *gittest.Repo) { repo.Prune() }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv := gittest.New(t)
			repo := srv.Create(t, "app")
			c1 := repo.Commit("main", "one", map[string]string{"a/x": "1"})
			c2 := repo.Commit("main", "two", map[string]string{"a/x": "2"})
			c3 := repo.Commit("main", "three", map[string]string{"b": "3"})
			dir := t.TempDir()
			r := open(t, storeIn(t, dir), repo.URL)
			if tc.keep {
				fetch(t, r, Ref{})
			}
			repo.ForcePush("main", c1)
			c4 := repo.Commit("main", "four", map[string]string{"a/x": "4"})
			tc.server(srv, repo)
			if tc.restart {
				r = open(t, storeIn(t, dir), repo.URL)
			}
			if got := fetch(t, r, Ref{}); got.Commit != c4 {
				t.Fatalf("%s\nmain is at %v", tc.reason, got)
			}
			if !tc.found {
				for _, err := range r.Log(t.Context(), LogOptions{From: c3, Until: c4}) {
					if !errors.Is(err, ErrCommitNotFound) {
						t.Errorf("%s\nLog: %v", tc.reason, err)
					}
				}
				if _, err := r.IsAncestor(t.Context(), c1, c3); !errors.Is(err, ErrCommitNotFound) {
					t.Errorf("%s\nIsAncestor: %v", tc.reason, err)
				}
				return
			}
			for _, until := range []string{c1, c4} { // what the new branch has not
				if diff := cmp.Diff([]string{c3, c2}, logOf(t, r, LogOptions{From: c3, Until: until})); diff != "" {
					t.Errorf("%s\n%s", tc.reason, diff)
				}
			}
			if diff := cmp.Diff([]string{c2}, logOf(t, r, LogOptions{From: c3, Until: c4, Paths: []string{"a"}})); diff != "" {
				t.Errorf("%s\n%s", tc.reason, diff)
			}
			if ok, err := r.IsAncestor(t.Context(), c3, c4); ok || err != nil {
				t.Errorf("%s\nthe new branch comes after the old one: %v, %v", tc.reason, ok, err)
			}
		})
	}
}

// linear makes commits, every other of which changes the folder a.
func linear(repo *gittest.Repo, n int) []string {
	var shas []string
	for i := range n {
		shas = append(shas, repo.Commit("main", "more", map[string]string{[]string{"a/x", "b/x"}[i%2]: fmt.Sprint(i)}))
	}
	return shas
}

// newestFirstOf are the commits after the i-th and up to the k-th that change the folder a.
func newestFirstOf(shas []string, i, k int) []string {
	var own []string
	for n := i + 1; n <= k; n++ {
		if n%2 == 0 {
			own = append(own, shas[n])
		}
	}
	slices.Reverse(own)
	return own
}

func TestWhatWasReadOnceIsNotReadAgain(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	shas := linear(repo, 8)
	r := open(t, newStore(t), repo.URL)
	fetch(t, r, Ref{})
	of := func(i, k int) LogOptions {
		return LogOptions{From: shas[k], Until: shas[i], Paths: []string{"a"}}
	}
	first := logOf(t, r, of(3, 7))
	old, err := filepath.Glob(filepath.Join(r.mirror.dir(), "objects", "pack", "*"))
	if err != nil || len(old) == 0 {
		t.Fatal(old, err)
	}
	shas = append(shas, linear(repo, 4)...)
	repo.ForcePush("other", shas[5]) // and what is known by its name is known whatever the refs say
	fetch(t, r, Ref{})
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.mirror.db.Close(); err != nil {
		t.Fatal(err)
	}
	srv.ResetTraffic()
	if diff := cmp.Diff(newestFirstOf(shas, 3, 7), first); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first, logOf(t, r, of(3, 7))); diff != "" {
		t.Errorf("the same delivery: %s", diff)
	}
	if diff := cmp.Diff(newestFirstOf(shas, 7, 11), logOf(t, r, of(7, 11))); diff != "" {
		t.Errorf("the next delivery: %s", diff)
	}
	requests(t, srv, 0, "reading what was read, and what came after it,")
	if err := r.mirror.rest(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, logOf(t, r, of(3, 7))); diff != "" {
		t.Errorf("what was forgotten and is gone: %s", diff)
	}
	if srv.Traffic().Requests == 0 {
		t.Error("a mirror that rests holds commits in memory")
	}
}

func TestManyReadHistoryAtOnce(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	shas := linear(repo, 12)
	s := newStore(t)
	fetch(t, open(t, s, repo.URL), Ref{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r, err := s.Repository(Remote{URL: repo.URL})
			if err != nil {
				t.Error(err)
				return
			}
			var got []string
			for c, err := range r.Log(t.Context(), LogOptions{From: shas[4+i], Until: shas[i], Paths: []string{"a"}}) {
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, c.SHA)
			}
			if diff := cmp.Diff(newestFirstOf(shas, i, 4+i), got); diff != "" {
				t.Errorf("from %d: %s", i, diff)
			}
		})
	}
	wg.Wait()
}
