package gitsource

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

// longHistory makes n commits on main: a first one of several folders, then such that
// change apps/a/x, apps/b/y and lib/z in turn, and every 50th sets apps/a/x to the same.
func longHistory(repo *gittest.Repo, n int) []string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "commit refs/heads/main\nmark :%d\ncommitter C <c@x> %d +0000\ndata 1\nx\n", i+1, 1_700_000_000+60*i)
		switch path := []string{"apps/a/x", "apps/b/y", "lib/z"}[i%3]; {
		case i == 0:
			for _, p := range []string{"apps/a/x", "apps/a/deep/er/f", "apps/b/y", "lib/z", "svc/one/f", "svc/two/f"} {
				fmt.Fprintf(&s, "M 100644 inline %s\ndata 1\n0\n", p)
			}
		case i%50 == 2:
			fmt.Fprintf(&s, "from :%d\nM 100644 inline apps/a/x\ndata 4\nback\n", i)
		default:
			text := fmt.Sprint(i)
			fmt.Fprintf(&s, "from :%d\nM 100644 inline %s\ndata %d\n%s\n", i, path, len(text), text)
		}
		s.WriteString("\n")
	}
	repo.Import(s.String())
	return strings.Fields(repo.Git("rev-list", "--reverse", "main"))
}

func TestWalksFetchTheTreesOfManyCommitsAtOnce(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	const n = 900
	shas := longHistory(repo, n)
	slices.Reverse(shas) // newest first
	lines := func(args ...string) []string { return strings.Fields(repo.Git(args...)) }
	cases := map[string]struct {
		reason string
		walk   func(t *testing.T, r *Repository) []string
		want   []string
		most   int
	}{
		"LogOfAFile": {"A path is compared level by level.", func(t *testing.T, r *Repository) []string {
			return logOf(t, r, LogOptions{From: shas[0], Paths: []string{"apps/a/x"}})
		}, lines("log", "--format=%H", "main", "--", "apps/a/x"), 12},
		"LogOfTwoFolders": {"So are several.", func(t *testing.T, r *Repository) []string {
			return logOf(t, r, LogOptions{From: shas[0], Paths: []string{"apps/b", "lib/"}})
		}, lines("log", "--format=%H", "main", "--", "apps/b", "lib"), 12},
		"LogOfADifference": {"Or less than the whole history.", func(t *testing.T, r *Repository) []string {
			return logOf(t, r, LogOptions{From: shas[0], Until: shas[600], Paths: []string{"apps/a/deep", "lib"}})
		}, lines("log", "--format=%H", shas[600]+"..main", "--", "apps/a/deep", "lib"), 8},
		"Changes": {"Who asks commit by commit comes to the ancestors next.", func(t *testing.T, r *Repository) []string {
			var found []string
			for _, sha := range shas {
				if changed, err := r.Changes(t.Context(), sha, "apps/b/y"); err != nil {
					t.Fatal(err)
				} else if changed {
					found = append(found, sha)
				}
			}
			return found
		}, lines("log", "--format=%H", "main", "--", "apps/b/y"), 24},
		"ChangedPaths": {"Only what differs is fetched of the trees.", func(t *testing.T, r *Repository) []string {
			var found []string
			for _, sha := range shas {
				paths, err := r.ChangedPaths(t.Context(), sha)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, paths...)
			}
			return found
		}, lines("log", "--format=", "--name-only", "--no-renames", "main"), 32},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := open(t, newStore(t), repo.URL)
			fetch(t, r, Ref{})
			srv.ResetTraffic()
			if diff := cmp.Diff(tc.want, tc.walk(t, r)); diff != "" {
				t.Errorf("%s\n%.1000s", tc.reason, diff)
			}
			if got := srv.Traffic().Requests; got > tc.most || got == 0 {
				t.Errorf("%s\n%d requests, want 1 to %d", tc.reason, got, tc.most)
			}
			t.Log(srv.Traffic())
			srv.ResetTraffic()
			tc.walk(t, r)
			requests(t, srv, 0, "the same walk once more")
		})
	}
}

func TestAFolderIsFetchedWithWhatIsBelowItAndNothingElse(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	shas := longHistory(repo, 400) // more than whose trees come at first sight
	old := shas[3]
	r := open(t, newStore(t), repo.URL)
	fetch(t, r, Ref{})
	srv.ResetTraffic()
	if got := readFile(t, r, old, "apps/a/deep/er/f"); got != "0" {
		t.Errorf("read %q", got)
	}
	requests(t, srv, 6, "the folders on the way to a file, and the file,")

	count := 0
	err := fs.WalkDir(r.Tree(t.Context(), old), ".", func(string, fs.DirEntry, error) error { count++; return nil })
	if want := 16; err != nil || count != want {
		t.Errorf("%d entries, %v; want %d", count, err, want)
	}
	requests(t, srv, 2, "the folders that are missing beside those")

	fresh := open(t, newStore(t), repo.URL)
	fetch(t, fresh, Ref{})
	srv.ResetTraffic()
	if err := fresh.Prefetch(t.Context(), old, "apps/a", "lib", "nowhere/at/all"); err != nil {
		t.Fatal(err)
	}
	requests(t, srv, 4, "the folders on the way to two others, those below, and their files")
	if got := readFile(t, fresh, old, "apps/a/deep/er/f"); got != "0" {
		t.Errorf("read %q", got)
	}
	requests(t, srv, 0, "reading what was prefetched")
}

func TestATreeThatTheServerTakesForKnownIsFetchedWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	for name, lessen := range map[string]func(*gittest.Server){
		"VersionTwo": func(*gittest.Server) {}, "VersionZero": (*gittest.Server).SpeakVersionZero,
	} {
		t.Run(name, func(t *testing.T) {
			srv := gittest.New(t)
			lessen(srv)
			repo := srv.Create(t, "app")
			shas := longHistory(repo, 400)
			r := open(t, newStore(t), repo.URL)
			fetch(t, r, Ref{})
			// The next commit has the tree of an old one, as after a revert. A server with
			// bitmaps leaves it out, for it believes it to be here.
			repo.Git("repack", "-adbq")
			tree := repo.Git("rev-parse", shas[30]+"^{tree}")
			back := repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-p", "main", "-m", "back", tree)
			repo.ForcePush("main", back)
			if got := fetch(t, r, Ref{}); got.Commit != back {
				t.Fatalf("main is at %v", got)
			}
			if got, want := readFile(t, r, back, "apps/a/x"), repo.Git("show", back+":apps/a/x"); got != want {
				t.Errorf("read %q, want %q", got, want)
			}
			if got := r.Mode(); got != Partial {
				t.Errorf("the mode is %q", got)
			}
		})
	}
}

func TestAnIdlePollCostsTheSameHoweverManyRefsThereAre(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	repo.Tag("v1.0.0", head, "annotated")
	cost := func() (all []int64) {
		s := newStore(t)
		for _, ref := range []Ref{{}, {Branch: "main"}, {Tag: "v1.0.0"}, {Name: "refs/notes/x"}, {Commit: head}} {
			r := open(t, s, repo.URL)
			_, _ = r.Fetch(t.Context(), ref) // there are no notes
			srv.ResetTraffic()
			_, _ = r.Fetch(t.Context(), ref)
			n := srv.Traffic()
			if n.Requests != 1 || n.Sent > 500 {
				t.Errorf("%+v: an idle poll took %+v", ref, n)
			}
			all = append(all, n.Sent)
		}
		return all
	}
	few := cost()
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf("refs/heads/renovate/%d", i), fmt.Sprintf("refs/pull/%d/head", i))
	}
	repo.PointAt(head, many...)
	if diff := cmp.Diff(few, cost()); diff != "" {
		t.Errorf("bytes with %d refs more: %s", len(many), diff)
	}
}

func TestACommitThatIsGoneIsNotAskedForAtEachLook(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	now := gittest.Epoch
	r := open(t, newStore(t, Clock(func() time.Time { return now })), repo.URL)
	fetch(t, r, Ref{})
	later := srv.Create(t, "later") // what is to be pushed
	later.Git("fetch", "-q", repo.Dir, "main:main")
	commit := later.Commit("main", "two", map[string]string{"a": "2"})
	look := func(want int, what string) {
		t.Helper()
		srv.ResetTraffic()
		for range 3 {
			if _, err := r.Commit(t.Context(), commit); !errors.Is(err, ErrCommitNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := srv.Traffic().Requests; got != want {
			t.Errorf("%s took %d requests, want %d", what, got, want)
		}
	}
	first := 2 // the commit, and whether a branch may lead to it
	look(first, "the first look and two more")
	now = now.Add(goneFor - time.Second)
	look(0, "a look within the minute")
	now = now.Add(time.Second)
	look(first, "a look after it")
	repo.Git("fetch", "-q", later.Dir, "main:main")
	repo.Commit("main", "three", map[string]string{"a": "3"})
	fetch(t, r, Ref{})
	if got := readFile(t, r, commit, "a"); got != "2" {
		t.Errorf("a is %q after a fetch", got)
	}
}

func TestARemoteThatIsNotWhatItWasIsAskedAnew(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		reason string
		change func(*gittest.Server)
	}{
		"VersionZero": {"It was moved to an older server.", (*gittest.Server).SpeakVersionZero},
		"NoFilter":    {"It no longer sends parts.", (*gittest.Server).DisableFilter},
		"TipsOnly":    {"It no longer sends what no ref is at.", (*gittest.Server).RefuseUnadvertisedWants},
		"NoTrees":     {"It no longer sends commits without trees.", (*gittest.Server).RefuseTreeFilter},
		"Everything": {"All of that.", func(s *gittest.Server) {
			s.SpeakVersionZero()
			s.DisableFilter()
			s.RefuseUnadvertisedWants()
		}},
	}
	for name, tc := range changes {
		t.Run(name, func(t *testing.T) {
			srv := gittest.New(t)
			repo := srv.Create(t, "app")
			shas := longHistory(repo, 400)
			r := open(t, newStore(t), repo.URL)
			fetch(t, r, Ref{})
			tc.change(srv)
			if got := readFile(t, r, shas[20], "apps/a/x"); got != "back" && got != "18" {
				t.Errorf("%s\nan old file: %q", tc.reason, got)
			}
			head := repo.Commit("main", "more", map[string]string{"lib/z": "new"})
			if got := fetch(t, r, Ref{}); got.Commit != head {
				t.Errorf("%s\nmain is at %v", tc.reason, got)
			}
			if got := readFile(t, r, head, "lib/z"); got != "new" {
				t.Errorf("%s\na new file: %q", tc.reason, got)
			}
			if got := logOf(t, r, LogOptions{From: head, Paths: []string{"lib/z"}}); len(got) < 100 {
				t.Errorf("%s\n%d commits", tc.reason, len(got))
			}
		})
	}
}

func TestARedirectIsFollowedOnceAndSeenWhenItChanges(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "new")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	moved := srv.Create(t, "newer")
	moved.Git("fetch", "-q", repo.Dir, "main:main")
	to := "/new.git"
	front := &http.ServeMux{}
	asked := 0
	front.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		asked++
		if rest, ok := strings.CutPrefix(r.URL.RequestURI(), "/old.git"); ok {
			http.Redirect(w, r, to+rest, http.StatusMovedPermanently)
			return
		}
		if to == "/newer.git" && strings.HasPrefix(r.URL.Path, "/new.git") {
			http.NotFound(w, r)
			return
		}
		srv.ServeHTTP(w, r)
	})
	url := serve(t, front)
	r := open(t, newStore(t), url+"/old.git")
	fetch(t, r, Ref{})
	asked = 0
	fetch(t, r, Ref{})
	if asked != 1 {
		t.Errorf("an idle poll after a redirect took %d requests", asked)
	}
	to = "/newer.git"
	if got := fetch(t, r, Ref{}); got.Commit != head {
		t.Errorf("after it moved once more: %v", got)
	}
}
