package gitsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

const notesRef = "keptn"

func appendNotes(t testing.TB, r *Repository, lines map[string][]string) {
	t.Helper()
	if err := r.AppendNotes(t.Context(), notesRef, lines); err != nil {
		t.Fatal(err)
	}
}

func TestNotesAreWhatGitNotesReads(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a": "1"})
	c2 := repo.Commit("main", "two", map[string]string{"a": "2"})
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for place, url := range map[string]string{"http": repo.URL, "local": repo.Dir} {
		t.Run(place, func(t *testing.T) {
			repo.Git("update-ref", "-d", "refs/notes/keptn") // of the other place
			r := open(t, newStore(t, Clock(func() time.Time { return when }), Identity("Kate", "kate@example.com")), url)
			if got, err := r.Notes(t.Context(), notesRef, c1); err != nil || len(got) != 0 {
				t.Errorf("Notes() before there are any: %v, %v", got, err)
			}
			appendNotes(t, r, map[string][]string{c1: {"b", "a", "b"}, c2: {"z"}})
			appendNotes(t, r, map[string][]string{c1: {"c", "a"}})

			if got := repo.Git("notes", "--ref=keptn", "show", c1); got != "a\nb\nc" {
				t.Errorf("git notes show: %q", got)
			}
			if got := repo.Git("log", "-1", "--notes=keptn", "--format=%N", c2); strings.TrimSpace(got) != "z" {
				t.Errorf("git log --notes: %q", got)
			}
			if got := repo.Git("log", "--format=%an <%ae> %at", "refs/notes/keptn"); got != strings.Repeat(fmt.Sprintf("\nKate <kate@example.com> %d", when.Unix()), 2)[1:] {
				t.Errorf("commits of notes: %q", got)
			}
			if got, err := r.Notes(t.Context(), "refs/notes/keptn", c1); err != nil || cmp.Diff([]string{"a", "b", "c"}, got) != "" {
				t.Errorf("Notes(): %q, %v", got, err)
			}
			repo.Git("fsck", "--strict")
		})
	}
}

func TestNotesAlreadyThereArePushedNowhere(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c := repo.Commit("main", "one", map[string]string{"a": "1"})
	r := open(t, newStore(t), repo.URL)
	appendNotes(t, r, map[string][]string{c: {"line"}})
	tip := repo.Git("rev-parse", "refs/notes/keptn")
	srv.ResetTraffic()
	appendNotes(t, r, map[string][]string{c: {"line"}})
	requests(t, srv, 1, "appending nothing new")
	if got := repo.Git("rev-parse", "refs/notes/keptn"); got != tip {
		t.Error("a commit without a change was pushed")
	}
	appendNotes(t, r, nil)
}

func TestNotesKeepWhatOthersWrote(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a": "1"})
	c2 := repo.Commit("main", "two", map[string]string{"a": "2"})
	identity := []string{"-c", "user.name=o", "-c", "user.email=o@x", "notes", "--ref=keptn"}
	repo.Git(append(identity, "add", "-m", "z first\na second", c1)...)
	r := open(t, newStore(t), repo.URL)

	pushes := 0
	srv.Intercept(func(req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/git-receive-pack") && pushes < 3 {
			pushes++
			repo.Git(append(identity, "append", "-m", fmt.Sprint("racer ", pushes), c2)...)
		}
	})
	appendNotes(t, r, map[string][]string{c1: {"ours"}, c2: {"ours, too"}})
	srv.Intercept(nil)
	if got := repo.Git("notes", "--ref=keptn", "show", c1); got != "a second\nours\nz first" {
		t.Errorf("merged with what was there: %q", got)
	}
	if got := repo.Git("notes", "--ref=keptn", "show", c2); got != "ours, too\nracer 1\nracer 2\nracer 3" {
		t.Errorf("merged with what was pushed in between: %q", got)
	}
}

func TestManyWritersLoseNoNote(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c := repo.Commit("main", "one", map[string]string{"a": "1"})
	const writers = 4
	results := make(chan error, 2*writers)
	var want []string
	for i := range writers {
		r := open(t, newStore(t), repo.URL)
		for k := range 2 {
			line := fmt.Sprintf("writer %d.%d", i, k)
			want = append(want, line)
			go func() { results <- r.AppendNotes(t.Context(), notesRef, map[string][]string{c: {line}}) }()
		}
	}
	for range 2 * writers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(want, strings.Split(repo.Git("notes", "--ref=keptn", "show", c), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestNotesOfManyCommitsAreSpreadOverFolders(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	real := repo.Commit("main", "one", map[string]string{"a": "1"})
	lines := map[string][]string{real: {"real"}}
	for i := range 300 {
		lines[fmt.Sprintf("%02x%038x", i%256, i)] = []string{fmt.Sprint(i)}
	}
	r := open(t, newStore(t), repo.URL)
	appendNotes(t, r, lines)
	if got := repo.Git("ls-tree", "--name-only", "refs/notes/keptn"); len(strings.Fields(got)[0]) != 2 {
		t.Errorf("a flat tree: %.80s", got)
	}
	other := open(t, newStore(t), repo.URL)
	appendNotes(t, other, map[string][]string{real: {"more"}})
	if got := repo.Git("notes", "--ref=keptn", "show", real); got != "more\nreal" {
		t.Errorf("git reads %q", got)
	}
	if got, err := other.Notes(t.Context(), notesRef, fmt.Sprintf("%02x%038x", 7, 7)); err != nil || !slices.Equal(got, []string{"7"}) {
		t.Errorf("Notes(): %q, %v", got, err)
	}
}

func TestNotesThatAreNotTakenAreAnError(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c := repo.Commit("main", "one", map[string]string{"a": "1"})
	hook := "#!/bin/sh\nexit 1\n"
	if err := os.WriteFile(filepath.Join(repo.Dir, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	r := open(t, newStore(t), repo.URL)
	if err := r.AppendNotes(t.Context(), notesRef, map[string][]string{c: {"x"}}); !errors.Is(err, ErrNotesRejected) {
		t.Errorf("a hook declines: %v", err)
	}
	cases := map[string]struct {
		reason string
		ref    string
		lines  map[string][]string
	}{
		"Branch":    {"Only notes are written.", "../heads/main", map[string][]string{c: {"x"}}},
		"NoRef":     {"An empty name is none.", "", map[string][]string{c: {"x"}}},
		"LineBreak": {"A line is one line.", "keptn", map[string][]string{c: {"a\nb"}}},
		"Short":     {"An abbreviated commit could be two.", "keptn", map[string][]string{c[:7]: {"x"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := r.AppendNotes(context.Background(), tc.ref, tc.lines); err == nil || errors.Is(err, ErrNotesRejected) {
				t.Errorf("%s\nerror: %v", tc.reason, err)
			}
		})
	}
}
