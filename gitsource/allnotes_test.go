package gitsource

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

// allNotesOf collects all notes; those that are too large have the line "too large".
func allNotesOf(t testing.TB, r *Repository) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	last := ""
	for n, err := range r.AllNotes(t.Context(), notesRef) {
		if n.Commit == "" {
			t.Fatal(err)
		}
		if errors.Is(err, ErrTooLarge) {
			n.Lines, err = []string{"too large"}, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if n.Commit <= last {
			t.Errorf("%s comes after %s", n.Commit, last)
		}
		last, all[n.Commit] = n.Commit, n.Lines
	}
	return all
}

// noteCommits makes commits, each with a note of its number, by git fast-import, which
// spreads the notes over folders as Git does.
func noteCommits(repo *gittest.Repo, n int) {
	var stream strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&stream, "commit refs/heads/main\nmark :%d\ncommitter C <c@x> %d +0000\ndata 1\nm\n", i, 1_700_000_000+i)
	}
	fmt.Fprintf(&stream, "commit refs/notes/keptn\ncommitter C <c@x> 1800000000 +0000\ndata 1\nn\n")
	for i := 1; i <= n; i++ {
		text := fmt.Sprintf("line %d\nanother\n", i)
		fmt.Fprintf(&stream, "N inline :%d\ndata %d\n%s\n", i, len(text), text)
	}
	repo.Import(stream.String())
}

func TestAllNotesComeInOneFetch(t *testing.T) {
	t.Parallel()
	const n = maxWants + 1
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	noteCommits(repo, n)
	want := map[string][]string{}
	shas := strings.Fields(repo.Git("rev-list", "--reverse", "main"))
	for i, sha := range shas {
		want[sha] = []string{"another", fmt.Sprint("line ", i+1)}
	}
	if len(want) != n {
		t.Fatalf("made %d commits", len(want))
	}
	dir := t.TempDir()
	r := open(t, storeIn(t, dir), repo.URL)
	srv.ResetTraffic()
	if diff := cmp.Diff(want, allNotesOf(t, r)); diff != "" {
		t.Errorf("%.2000s", diff)
	}
	requests(t, srv, 5, "asking what the remote is, where the ref is, for its history, its trees and all notes")

	repo.Git("-c", "user.name=o", "-c", "user.email=o@x", "notes", "--ref=keptn", "append", "-m", "more", shas[7])
	want[shas[7]] = []string{"another", "line 8", "more"}
	r = open(t, storeIn(t, dir), repo.URL)
	if diff := cmp.Diff(want, allNotesOf(t, r)); diff != "" {
		t.Errorf("after another process: %.2000s", diff)
	}
	requests(t, srv, 3, "reading them again after a change")
	allNotesOf(t, r)
	requests(t, srv, 1, "reading them again")
	for _, err := range r.AllNotes(t.Context(), notesRef) {
		if err != nil {
			t.Error(err)
		}
		break // a reader may leave
	}
}

func TestAllNotesOfARepositoryWithoutAnyAreNone(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	empty := srv.Create(t, "empty")
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	for _, url := range []string{empty.URL, repo.URL, repo.Dir} {
		if all := allNotesOf(t, open(t, newStore(t), url)); len(all) != 0 {
			t.Errorf("%s: %v", url, all)
		}
	}
	for n, err := range open(t, newStore(t), repo.URL).AllNotes(t.Context(), "../heads/main") {
		if err == nil || n.Commit != "" {
			t.Errorf("a branch: %v, %v", n, err)
		}
	}
}

func TestANoteThatIsTooLargeHidesNoOther(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	lesser := gittest.New(t)
	lesser.DisableFilter()
	for name, tc := range map[string]struct {
		reason string
		server *gittest.Server
		opts   []Option
	}{
		"NotFetched":   {"Over the limit for files it is not even fetched.", srv, []Option{MaxFileBytes(1 << 16)}},
		"Fetched":      {"Within that, it may still be too large for a note.", srv, nil},
		"WithoutLimit": {"A server without filters sends all, and it is not read.", lesser, nil},
	} {
		t.Run(name, func(t *testing.T) {
			repo := tc.server.Create(t, name)
			noteCommits(repo, 3)
			shas := strings.Fields(repo.Git("rev-list", "main"))
			blob := repo.GitInput(strings.Repeat("lines\n", maxNoteBytes/6+1), "hash-object", "-w", "--stdin")
			repo.Git("-c", "user.name=o", "-c", "user.email=o@x", "notes", "--ref=keptn", "add", "-f", "-C", blob, shas[0])
			all := allNotesOf(t, open(t, newStore(t, tc.opts...), repo.URL))
			if got := all[shas[0]]; cmp.Diff([]string{"too large"}, got) != "" {
				t.Errorf("%s\nthe large one: %.100q", tc.reason, got)
			}
			if got := all[shas[1]]; cmp.Diff([]string{"another", "line 2"}, got) != "" || len(all) != 3 {
				t.Errorf("%s\n%d notes, the other is %q", tc.reason, len(all), got)
			}
		})
	}
}

func TestWhatIsNoNoteIsNotReadAsOne(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c := repo.Commit("main", "one", map[string]string{"a": "1"})
	blob := func(text string) string { return repo.GitInput(text, "hash-object", "-w", "--stdin") }
	half := repo.GitInput(fmt.Sprintf("100644 blob %s\t%s\n", blob("z\nb\n"), c[2:]), "mktree")
	other := strings.Repeat("ab", 20)
	tree := repo.GitInput(fmt.Sprintf("100644 blob %s\t%s\n040000 tree %s\t%s\n", blob("b\n\na\n"), c, half, c[:2])+
		fmt.Sprintf("160000 commit %s\t%s\n120000 blob %s\t%s\n", c, other, blob("x"), strings.Repeat("cd", 20))+
		fmt.Sprintf("100644 blob %s\tREADME\n100644 blob %s\t%s\n", blob("no note"), blob("too short"), c[:39]), "mktree")
	repo.Git("update-ref", "refs/notes/keptn", repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "n", tree))
	for _, url := range []string{repo.URL, repo.Dir} {
		// Two parts of one note, under both names that it can have, are one.
		if diff := cmp.Diff(map[string][]string{c: {"a", "b", "z"}}, allNotesOf(t, open(t, newStore(t), url))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNotesThatNameThemselvesOverAndOverAreBounded(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	blob := repo.GitInput("x", "hash-object", "-w", "--stdin")
	entry := "100644 blob " + blob + "\t%036x\n"
	for range 3 { // 256 to the power of 3 notes, of which no two are the same commit's
		var lines strings.Builder
		for i := range 256 {
			fmt.Fprintf(&lines, entry, i)
		}
		entry = "040000 tree " + repo.GitInput(lines.String(), "mktree") + "\t%02x\n"
	}
	tree := strings.Fields(entry)[2]
	repo.Git("update-ref", "refs/notes/keptn", repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "n", tree))
	var last error
	for n, err := range open(t, newStore(t), repo.URL).AllNotes(t.Context(), notesRef) {
		if n.Commit != "" {
			t.Fatalf("%v comes before the error", n)
		}
		last = err
	}
	if !errors.Is(last, ErrTooLarge) {
		t.Errorf("error: %v, want ErrTooLarge", last)
	}
}
