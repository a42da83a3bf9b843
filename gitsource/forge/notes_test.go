package forge_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/gittest"
)

// noteStore keeps notes in memory, and fails on request.
type noteStore struct {
	mu      sync.Mutex
	commits map[string][]string // those it has, with their notes
	appends int
	broken  *fault
}

var _ forge.NoteStore = (*noteStore)(nil)

func (s *noteStore) fail(f fault) { s.broken = &f }

// meet returns the error that a fault of the remote comes out as.
func (s *noteStore) meet(ctx context.Context, commit string) error {
	_, known := s.commits[commit]
	switch f := s.broken; {
	case f == nil && !known:
		return forge.ErrNotFound
	case f == nil:
		return nil
	case f.hang:
		<-ctx.Done()
		return ctx.Err()
	case f.cut:
		return io.ErrUnexpectedEOF
	case f.header != nil:
		return &forge.RateLimitedError{RetryAfter: 7 * time.Second}
	default:
		return map[int]error{
			401: forge.ErrUnauthorized, 403: forge.ErrUnauthorized, 404: forge.ErrNotFound,
			409: forge.ErrRejected, 422: forge.ErrRejected, 423: forge.ErrRejected, 502: io.EOF,
		}[f.code]
	}
}

func (s *noteStore) Notes(ctx context.Context, ref, commit string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref != "refs/notes/keptn" {
		return nil, errors.New("unexpected ref " + ref)
	}
	return slices.Clone(s.commits[commit]), s.meet(ctx, commit)
}

func (s *noteStore) AppendNotes(ctx context.Context, _ string, lines map[string][]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appends++
	for commit, added := range lines {
		if err := s.meet(ctx, commit); err != nil {
			return err
		}
		s.commits[commit] = append(s.commits[commit], added...)
		slices.Sort(s.commits[commit])
		s.commits[commit] = slices.Compact(s.commits[commit])
	}
	return nil
}

func openNotes(t *testing.T, store forge.NoteStore, cluster string) forge.Destination {
	return mustNew(t, forge.Generic, forge.Target{Repository: "git@git.example.com:acme/shop.git", Notes: store, Cluster: cluster})
}

func TestAVerdictIsNotNotedTwice(t *testing.T) {
	store := &noteStore{commits: map[string][]string{knownCommit: nil}}
	reporter := openNotes(t, store, "west")
	first := status(knownCommit, forge.Success, "passed")
	later := first
	later.Time = later.Time.Add(time.Hour)
	for _, s := range []forge.Status{first, later} {
		if err := reporter.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if store.appends != 1 {
		t.Errorf("written %d times, want 1", store.appends)
	}
}

func TestNotesOfOtherClustersAndPeopleAreLeftAlone(t *testing.T) {
	store := &noteStore{commits: map[string][]string{knownCommit: {"LGTM, tested by hand", `{"time":1}`}}}
	west, east := openNotes(t, store, "west"), openNotes(t, store, "east")
	s := status(knownCommit, forge.Success, "passed")
	for _, r := range []forge.Reporter{west, east} {
		if err := r.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"LGTM, tested by hand",
		`{"time":"2026-11-22T10:00:00.000Z","context":"keptn/prod/checkout/deployment","state":"success","description":"passed","targetURL":"https://keptn.example.com/checkout?a=1&b=2","cluster":"east"}`,
		`{"time":"2026-11-22T10:00:00.000Z","context":"keptn/prod/checkout/deployment","state":"success","description":"passed","targetURL":"https://keptn.example.com/checkout?a=1&b=2","cluster":"west"}`,
		`{"time":1}`,
	}
	if diff := cmp.Diff(want, store.commits[knownCommit]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheLatestNoteIsTheNewestByItsOwnTime(t *testing.T) {
	at := func(second int, state forge.State) string {
		s := status(knownCommit, state, "")
		s.Time = s.Time.Add(time.Duration(second) * time.Second)
		return forge.Note{Status: s}.Line()
	}
	cases := map[string]struct {
		reason string
		lines  []string
		want   forge.State
	}{
		"OutOfOrder": {"A merge may order lines in any way.", []string{at(2, forge.Failure), at(1, forge.Success)}, forge.Failure},
		"SameMoment": {"The verdict came after the wait for it.", []string{at(1, forge.Failure), at(1, forge.Pending)}, forge.Failure},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				slices.Reverse(tc.lines)
				reporter := openNotes(t, &noteStore{commits: map[string][]string{knownCommit: tc.lines}}, "")
				got, found, err := reporter.Latest(t.Context(), knownCommit, "keptn/prod/checkout/deployment")
				if err != nil || !found || got.State != tc.want {
					t.Errorf("%s\ngot %s, found %t, %v; want %s", tc.reason, got.State, found, err, tc.want)
				}
			}
		})
	}
}

// repositoryNotes serves a repository with one commit, and opens its notes as
// the given cluster does.
func repositoryNotes(t *testing.T) (repo *gittest.Repo, server *gittest.Server, open func(cluster string) forge.Destination) {
	t.Helper()
	server = gittest.New(t)
	repo = server.Create(t, "acme/shop")
	open = func(cluster string) forge.Destination {
		store, err := gitsource.NewStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Repository(gitsource.Remote{URL: repo.URL})
		if err != nil {
			t.Fatal(err)
		}
		return mustNew(t, forge.Generic, forge.Target{Repository: repo.URL, Notes: r, Cluster: cluster})
	}
	return repo, server, open
}

func openRepositoryNotes(t *testing.T) backend {
	repo, _, open := repositoryNotes(t)
	return backend{reporter: open("west"), commit: repo.Commit("main", "first", nil), takesAny: true}
}

func TestNotesOfTwoClustersMergeInOrderOfTime(t *testing.T) {
	repo, _, open := repositoryNotes(t)
	commit := repo.Commit("main", "first", nil)
	west, east := open("west"), open("east")
	for i, cluster := range []forge.Destination{east, west, east} {
		s := status(commit, forge.Success, strings.Repeat("x", i+1))
		s.Time = s.Time.Add(time.Duration(i) * time.Second)
		if err := cluster.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(repo.Git("notes", "--ref", forge.NotesRef, "show", commit)) {
		note, err := forge.ParseNote(commit, strings.TrimSpace(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		got = append(got, note.Cluster+" "+note.Description)
	}
	if diff := cmp.Diff([]string{"east x", "west xx", "east xxx"}, got); diff != "" {
		t.Errorf("what git itself shows (-want +got):\n%s", diff)
	}
}

func TestWhatAGitServerAnswersIsUnderstood(t *testing.T) {
	cases := map[string]struct {
		reason string
		code   int
		want   error
	}{
		"BadPassword": {"They may be right for another repository.", 401, forge.ErrForbidden},
		"Missing":     {"The repository may be gone or hidden.", 404, forge.ErrNotFound},
		"Fault":       {"The server's fault passes.", 503, forge.ErrTemporary},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			repo, server, open := repositoryNotes(t)
			s := status(repo.Commit("main", "first", nil), forge.Success, "")
			server.Fail(tc.code)
			checkFault(t, tc.reason, open("west").Set(t.Context(), s), tc.want)
		})
	}
}

func TestARecordIsNotedAsItIsAndOnce(t *testing.T) {
	store := &noteStore{commits: map[string][]string{knownCommit: nil}}
	reporter := openNotes(t, store, "west")
	record := status(knownCommit, forge.Success, "delivered")
	record.Context, record.Line = "keptn/prod/checkout/1", `{"time":"2026-11-22T10:00:00.000Z","app":"checkout","result":"success"}`
	for range 2 {
		if err := reporter.Set(t.Context(), reporter.Fit(record)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{record.Line}, store.commits[knownCommit]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, found, err := reporter.Latest(t.Context(), knownCommit, record.Context); found || err != nil {
		t.Errorf("it is read as a status: %t, %v", found, err)
	}
	if record.Same(status(knownCommit, forge.Success, "delivered")) {
		t.Error("a record is the same as a status")
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		line   string
	}{
		"TwoLines": {"Notes are merged line by line.", "a\nb"},
		"Control":  {"Nor is a terminal to obey it.", "a\x1b[2Jb"},
		"Blank":    {"A blank line would be dropped.", " "},
		"Bytes":    {"It is text.", "a\xff"},
		"Long":     {"A note is read by people.", strings.Repeat("a", 65<<10)},
		"Status":   {"It would be read back as somebody's verdict.", forge.Note{Status: status(knownCommit, forge.Failure, "")}.Line()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			store := &noteStore{commits: map[string][]string{knownCommit: nil}}
			record := status(knownCommit, forge.Success, "delivered")
			record.Line = tc.line
			if err := openNotes(t, store, "west").Set(t.Context(), record); !errors.Is(err, forge.ErrRejected) || store.appends > 0 {
				t.Errorf("%s\ngot %v, %d written", tc.reason, err, store.appends)
			}
		})
	}
}

func TestAForgeShowsNoRecords(t *testing.T) {
	g := mustNew(t, forge.Gitea, forge.Target{Repository: "https://127.0.0.1:1/acme/shop", Token: "t"})
	record := status(knownCommit, forge.Success, "delivered")
	record.Line = `{"app":"checkout"}`
	if err := g.Set(t.Context(), record); !errors.Is(err, forge.ErrRejected) {
		t.Errorf("got %v", err)
	}
}
