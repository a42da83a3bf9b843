package gitsource

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

func logOf(t testing.TB, r *Repository, o LogOptions) []string {
	t.Helper()
	shas := []string{}
	for c, err := range r.Log(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		shas = append(shas, c.SHA)
	}
	return shas
}

// history makes commits with random parents, times and changes.
func history(repo *gittest.Repo, seed uint64, n int) []string {
	rng := rand.New(rand.NewPCG(seed, 0))
	var stream strings.Builder
	for i := 1; i <= n; i++ {
		when := 1_700_000_000 + i*60
		switch rng.IntN(8) {
		case 0:
			when = rng.IntN(1_700_000_000) // a clock that was never set
		case 1:
			when += 86400 * 400 // one that is ahead
		}
		fmt.Fprintf(&stream, "commit refs/heads/c%d\nmark :%d\ncommitter C <c@x> %d +0000\ndata 1\nm\n", i, i, when)
		for k := range min(i-1, 1+rng.IntN(3)/2) {
			word := []string{"from", "merge"}[min(k, 1)]
			fmt.Fprintf(&stream, "%s :%d\n", word, max(1, i-1-rng.IntN(5)-k))
		}
		if rng.IntN(3) > 0 {
			fmt.Fprintf(&stream, "M 100644 inline %s\ndata 1\n%d\n", []string{"a/x", "a/y", "b/x", "c"}[rng.IntN(4)], rng.IntN(3))
		}
	}
	repo.Import(stream.String())
	shas := make([]string, n)
	for i := range n {
		shas[i] = repo.Git("rev-parse", fmt.Sprintf("refs/heads/c%d", i+1))
	}
	return shas
}

func TestLogAndIsAncestorAgreeWithGit(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	for seed := range uint64(3) {
		repo := srv.Create(t, fmt.Sprint("h", seed))
		const n = 40
		commits := history(repo, seed, n)
		r := open(t, newStore(t), repo.URL)
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 4 {
			from, until := commits[n-1-rng.IntN(n/3)], commits[rng.IntN(n)]
			paths := [][]string{nil, {"a"}, {"a/x", "c"}, {"b/x"}}[rng.IntN(4)]
			for _, o := range []LogOptions{{From: from, Until: until, Paths: paths}, {From: from, Paths: paths}} {
				if diff := cmp.Diff(gitLog(repo, o), sorted(logOf(t, r, o))); diff != "" {
					t.Errorf("seed %d: %+v\n%s", seed, o, diff)
				}
			}
			below := repo.Git("rev-list", "--count", until, "^"+from) == "0"
			if ok, err := r.IsAncestor(t.Context(), until, from); err != nil || ok != below {
				t.Errorf("seed %d: IsAncestor(%s, %s): %v, %v", seed, until, from, ok, err)
			}
		}
		if diff := cmp.Diff(parentsLast(t, repo, commits[n-1]), true); diff != "" {
			t.Error(diff)
		}
	}
}

// gitLog is what Git says to the same question. A merge that is like one of its
// parents is no change, which takes a look at each.
func gitLog(repo *gittest.Repo, o LogOptions) []string {
	args := []string{"rev-list", "--full-history", "--no-merges", o.From}
	if o.Until != "" {
		args = append(args, "^"+o.Until)
	}
	commits := strings.Fields(repo.Git(slices.Concat(args, []string{"--"}, o.Paths)...))
	args[2] = "--merges"
	for line := range strings.Lines(repo.Git(slices.Concat(args, []string{"--parents", "--"})...)) {
		merge := strings.Fields(line)
		if len(o.Paths) == 0 || !slices.ContainsFunc(merge[1:], func(parent string) bool {
			return repo.Git(slices.Concat([]string{"diff-tree", "-r", "--name-only", parent, merge[0], "--"}, o.Paths)...) == ""
		}) {
			commits = append(commits, merge[0])
		}
	}
	return sorted(commits)
}

func sorted(s []string) []string {
	return slices.Sorted(slices.Values(s))
}

// parentsLast tells whether a bounded log has every commit before its parents.
func parentsLast(t *testing.T, repo *gittest.Repo, from string) bool {
	r := open(t, newStore(t), repo.URL)
	root := strings.Fields(repo.Git("rev-list", "--max-parents=0", from))[0]
	position := map[string]int{}
	log := logOf(t, r, LogOptions{From: from, Until: root})
	for i, sha := range log {
		position[sha] = i
	}
	for _, sha := range log {
		c, err := r.Commit(t.Context(), sha)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.Parents {
			if at, ok := position[p]; ok && at < position[sha] {
				return false
			}
		}
	}
	return true
}

func TestLogIsNewestFirstAndStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a": "1"})
	c2 := repo.Commit("main", "two", map[string]string{"b": "1"})
	c3 := repo.Commit("main", "three", map[string]string{"a": "2"})
	r := open(t, newStore(t), repo.URL)
	if diff := cmp.Diff([]string{c3, c2}, logOf(t, r, LogOptions{From: c3, Limit: 2})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{c3, c2}, logOf(t, r, LogOptions{From: c3, Until: c1})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{c3}, logOf(t, r, LogOptions{From: c3, Paths: []string{"a"}, Limit: 1})); diff != "" {
		t.Error(diff)
	}
	if got := logOf(t, r, LogOptions{From: c1, Until: c3}); len(got) != 0 {
		t.Errorf("an empty difference: %v", got)
	}
	for _, o := range []LogOptions{{From: strings.Repeat("0", 39) + "1"}, {From: c1, Until: strings.Repeat("0", 39) + "1"}} {
		for _, err := range r.Log(t.Context(), o) {
			if !errors.Is(err, ErrCommitNotFound) {
				t.Errorf("Log(%v): %v", o, err)
			}
		}
	}
}

func TestChangesAndChangedPathsCompareWithTheFirstParent(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	root := repo.Commit("main", "root", map[string]string{"a/x": "1", "a/y": "1", "b": "1"})
	change := repo.Commit("main", "change", map[string]string{"a/x": "2", "c/d": "1"})
	gone := repo.Remove("main", "gone", "a")
	folder := repo.Commit("main", "a file becomes a folder", map[string]string{"a": "now a file"})
	repo.ForcePush("side", change)
	side := repo.Commit("side", "side", map[string]string{"s": "1"})
	merge := repo.Merge("main", "side", "merge", map[string]string{"s": "1"})
	r := open(t, newStore(t), repo.URL)

	for sha, want := range map[string][]string{
		root: {"a/x", "a/y", "b"}, change: {"a/x", "c/d"}, gone: {"a/x", "a/y"}, folder: {"a"}, side: {"s"}, merge: {"s"},
	} {
		got, err := r.ChangedPaths(t.Context(), sha)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ChangedPaths(%s)\n%s", sha, diff)
		}
	}
	cases := map[string]struct {
		reason string
		sha    string
		paths  []string
		want   bool
	}{
		"Folder":     {"A folder changes with a file in it.", change, []string{"a"}, true},
		"File":       {"Its neighbour does not.", change, []string{"a/y"}, false},
		"Any":        {"One of several is enough.", change, []string{"b", "c/d"}, true},
		"All":        {"The whole tree is a path, too.", change, []string{"."}, true},
		"Deleted":    {"Gone is changed.", gone, []string{"a/x"}, true},
		"Root":       {"Without a parent what exists was changed.", root, []string{"b"}, true},
		"RootNot":    {"And what does not exist was not.", root, []string{"nope"}, false},
		"Merge":      {"A merge is compared with the branch it went into.", merge, []string{"s"}, true},
		"MergeSide":  {"Not with the branch it came from.", merge, []string{"a"}, false},
		"TrailSlash": {"A folder may be written with a slash.", change, []string{"a/"}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := r.Changes(t.Context(), tc.sha, tc.paths...)
			if err != nil || got != tc.want {
				t.Errorf("%s\nChanges(%q): %v, %v", tc.reason, tc.paths, got, err)
			}
		})
	}
}

func TestAShallowCloneEndsWhereItsHistoryDoes(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	c2 := repo.Commit("main", "two", map[string]string{"a": "2"})
	c3 := repo.Commit("main", "three", map[string]string{"b": "3"})
	clone := srv.Create(t, "shallow")
	clone.Git("fetch", "--quiet", "--depth=2", repo.URL, "+main:main")
	for place, url := range map[string]string{"local": clone.Dir, "remote": clone.URL} {
		t.Run(place, func(t *testing.T) {
			r := open(t, newStore(t), url)
			fetch(t, r, Ref{})
			if diff := cmp.Diff([]string{c3, c2}, logOf(t, r, LogOptions{From: c3})); diff != "" {
				t.Error(diff)
			}
			if got, err := r.ChangedPaths(t.Context(), c2); err != nil || len(got) != 1 {
				t.Errorf("ChangedPaths at the end: %v, %v", got, err)
			}
		})
	}
}
