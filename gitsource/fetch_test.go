package gitsource

import (
	"errors"
	"io/fs"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

func newStore(t testing.TB, opts ...Option) *Store {
	t.Helper()
	return storeIn(t, t.TempDir(), opts...)
}

func storeIn(t testing.TB, dir string, opts ...Option) *Store {
	t.Helper()
	s, err := NewStore(dir, append([]Option{AllowLocalRepositories()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, s *Store, url string) *Repository {
	t.Helper()
	r, err := s.Repository(Remote{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fetch(t testing.TB, r *Repository, ref Ref) Revision {
	t.Helper()
	rev, err := r.Fetch(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func readFile(t testing.TB, r *Repository, commit, name string) string {
	t.Helper()
	b, err := fs.ReadFile(r.Tree(t.Context(), commit), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func requests(t testing.TB, s *gittest.Server, want int, what string) {
	t.Helper()
	if got := s.Traffic().Requests; got != want {
		t.Errorf("%s took %d requests, want %d", what, got, want)
	}
	s.ResetTraffic()
}

func TestFetchCostsOneRequestWhileTheRefHasNotMoved(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	first := repo.Commit("main", "one", map[string]string{"a/lifecycle.yaml": "v1", "b/big": strings.Repeat("x", 1<<16)})
	r := open(t, newStore(t), repo.URL)

	if got := fetch(t, r, Ref{}); got != (Revision{Name: "main", Commit: first}) {
		t.Errorf("Fetch(): %v, want main at %s", got, first)
	}
	requests(t, srv, 4, "asking what the remote is, where the ref is, for its history and its trees")
	fetch(t, r, Ref{Branch: "main"})
	requests(t, srv, 1, "an idle fetch")
	if got := readFile(t, r, first, "a/lifecycle.yaml"); got != "v1" {
		t.Errorf("lifecycle.yaml is %q", got)
	}
	requests(t, srv, 1, "reading one file")
	readFile(t, r, first, "a/lifecycle.yaml")
	requests(t, srv, 0, "reading it again")

	second := repo.Commit("main", "two", map[string]string{"a/lifecycle.yaml": "v2"})
	if got := fetch(t, r, Ref{}); got.Commit != second {
		t.Errorf("Fetch() after a push: %v, want %s", got, second)
	}
	requests(t, srv, 2, "an incremental fetch")
	if got := readFile(t, r, second, "a/lifecycle.yaml") + readFile(t, r, first, "a/lifecycle.yaml"); got != "v2v1" {
		t.Errorf("both versions read %q", got)
	}
}

func TestRefs(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a": "1"})
	c2 := repo.Commit("main", "two", map[string]string{"a": "2"})
	c3 := repo.Commit("dev", "three", map[string]string{"a": "3"})
	repo.Tag("v1.0.0", c1, "")
	repo.Tag("1.2.0", c2, "annotated")
	repo.Tag("v2.0.0-rc.1", c3, "")
	repo.Tag("latest", c3, "annotated, too")
	repo.Git("update-ref", "refs/pull/7/head", c3)
	repo.Git("update-ref", "refs/tags/tree", repo.Git("rev-parse", c1+"^{tree}"))

	cases := map[string]struct {
		reason string
		ref    Ref
		want   Revision
		err    error
	}{
		"Default":      {"Without a ref it is the branch of HEAD.", Ref{}, Revision{Name: "main", Commit: c2}, nil},
		"Branch":       {"A branch is named by its short name.", Ref{Branch: "dev"}, Revision{Name: "dev", Commit: c3}, nil},
		"Tag":          {"A lightweight tag is its commit.", Ref{Tag: "v1.0.0"}, Revision{Name: "v1.0.0", Commit: c1}, nil},
		"AnnotatedTag": {"An annotated tag is peeled.", Ref{Tag: "latest"}, Revision{Name: "latest", Commit: c3, Tag: repo.Git("rev-parse", "latest")}, nil},
		"SemVer":       {"The highest version in the range, with or without v.", Ref{SemVer: ">=1.0.0"}, Revision{Name: "1.2.0", Commit: c2, Tag: repo.Git("rev-parse", "1.2.0")}, nil},
		"Prerelease":   {"A prerelease counts if the range names one.", Ref{SemVer: ">=1.0.0-0"}, Revision{Name: "v2.0.0-rc.1", Commit: c3}, nil},
		"Name":         {"Any ref by its full name.", Ref{Name: "refs/pull/7/head"}, Revision{Name: "refs/pull/7/head", Commit: c3}, nil},
		"Commit":       {"A commit need be no tip.", Ref{Commit: c1, Branch: "main"}, Revision{Name: "main", Commit: c1}, nil},
		"Precedence":   {"Commit before name before semver before tag before branch.", Ref{Branch: "main", Tag: "v1.0.0", SemVer: "*", Name: "refs/pull/7/head"}, Revision{Name: "refs/pull/7/head", Commit: c3}, nil},
		"NoBranch":     {"A branch that does not exist is an error of its kind.", Ref{Branch: "gone"}, Revision{}, ErrRefNotFound},
		"NoVersion":    {"So is a range without tags.", Ref{SemVer: ">9"}, Revision{}, ErrRefNotFound},
		"NoCommit":     {"So is a commit the remote does not know.", Ref{Commit: strings.Repeat("ab", 20)}, Revision{}, ErrCommitNotFound},
		"TagOfATree":   {"A tag need not be about a commit.", Ref{Tag: "tree"}, Revision{}, ErrRefNotFound},
	}
	places := map[string]string{"http": repo.URL, "local": repo.Dir, "file": "file://" + repo.Dir}
	for place, url := range places {
		for name, tc := range cases {
			t.Run(place+"/"+name, func(t *testing.T) {
				got, err := open(t, newStore(t), url).Fetch(t.Context(), tc.ref)
				if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
					t.Fatalf("%s\nerror: %v, want %v", tc.reason, err, tc.err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s\n%s", tc.reason, diff)
				}
			})
		}
	}
}

func TestErrorsTellWhatToDo(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	empty := srv.Create(t, "empty")
	s := newStore(t)

	cases := map[string]struct {
		reason string
		status int
		url    string
		want   error
	}{
		"Forbidden":   {"Credentials are asked for again only when they change.", http.StatusForbidden, repo.URL, ErrUnauthorized},
		"Missing":     {"There is no such repository.", 0, srv.URL + "/nope.git", ErrNotFound},
		"Empty":       {"A repository without commits is no failure of the remote.", 0, empty.URL, ErrEmptyRepository},
		"Unavailable": {"A server in trouble is tried again.", http.StatusServiceUnavailable, repo.URL, ErrUnreachable},
		"TooMany":     {"So is one that asks to slow down.", http.StatusTooManyRequests, repo.URL, ErrUnreachable},
		"NoServer":    {"And one that is not there.", 0, "http://127.0.0.1:1/x.git", ErrUnreachable},
		"EmptyLocal":  {"The same holds on this machine.", 0, empty.Dir, ErrEmptyRepository},
		"NoLocal":     {"A folder need be no repository.", 0, t.TempDir(), ErrNotFound},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv.Fail(tc.status)
			defer srv.Fail(0)
			_, err := open(t, s, tc.url).Fetch(t.Context(), Ref{})
			if !errors.Is(err, tc.want) {
				t.Errorf("%s\nerror: %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), strings.TrimPrefix(tc.url, "file://")) {
				t.Errorf("the error does not say where: %v", err)
			}
		})
	}
}

func TestSecretsAreDemandedOfEveryHandleAndNeverShown(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	srv.RequirePassword("bot", "s3cr3t")
	auth, err := AuthFromSecret(repo.URL, map[string][]byte{"username": []byte("bot"), "password": []byte("s3cr3t")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(t).Repository(Remote{URL: repo.URL, Auth: auth}); err == nil {
		t.Error("credentials were accepted for plain http")
	}
	s := newStore(t, AllowPlainHTTPCredentials())
	r, err := s.Repository(Remote{URL: repo.URL, Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, r, Ref{})
	readFile(t, r, head, "a")

	stranger := open(t, s, repo.URL)
	if _, err := stranger.Commit(t.Context(), head); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("a handle without credentials read what another fetched: %v", err)
	}
	url := strings.Replace(repo.URL, "//", "//bot:wr0ng@", 1)
	_, err = open(t, s, url).Fetch(t.Context(), Ref{})
	if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("the wrong password: %v", err)
	}
}

func TestRewrittenHistoryIsFollowed(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a": "1", "dir/b": "1"})
	c2 := repo.Commit("main", "two", map[string]string{"a": "2", "dir/b": "2"})
	r := open(t, newStore(t), repo.URL)
	fetch(t, r, Ref{})
	repo.ForcePush("main", c1)
	repo.Prune()
	c3 := repo.Commit("main", "three", map[string]string{"c": "3"})

	if got := fetch(t, r, Ref{}); got.Commit != c3 {
		t.Errorf("Fetch() after a forced push: %v, want %s", got, c3)
	}
	if got := readFile(t, r, c3, "dir/b"); got != "1" {
		t.Errorf("dir/b is %q", got)
	}
	if _, err := r.Commit(t.Context(), c2); err != nil {
		t.Errorf("the commit that was fetched before it went is still known: %v", err)
	}
	if _, err := open(t, newStore(t), repo.URL).Commit(t.Context(), c2); !errors.Is(err, ErrCommitNotFound) {
		t.Errorf("a commit that is gone: %v", err)
	}
	repo.DeleteBranch("main")
	if _, err := r.Fetch(t.Context(), Ref{Branch: "main"}); !errors.Is(err, ErrEmptyRepository) {
		t.Errorf("the last branch deleted: %v", err)
	}
}

func TestLesserServersServeAsWell(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		lessen func(*gittest.Server)
		want   Mode
		// requests are those of a fetch and a read in another process.
		requests int
	}{
		"VersionZero": {"A server of the former protocol sends all refs, and parts of the repository none the less.",
			(*gittest.Server).SpeakVersionZero, Partial, 3},
		"NoTreeFilter":          {"GitLab sends all trees with the commits.", (*gittest.Server).RefuseTreeFilter, Blobless, 3},
		"NoFilter":              {"Without partial clones everything is fetched.", (*gittest.Server).DisableFilter, Full, 2},
		"NoUnadvertisedObjects": {"Files that cannot be asked for are fetched with all others.", (*gittest.Server).RefuseUnadvertisedWants, Full, 2},
		"Neither":               {"Both at once.", func(s *gittest.Server) { s.DisableFilter(); s.RefuseUnadvertisedWants() }, Full, 2},
		"NothingAtAll": {"The least that a server can do.", func(s *gittest.Server) {
			s.DisableFilter()
			s.RefuseUnadvertisedWants()
			s.SpeakVersionZero()
		}, Full, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv := gittest.New(t)
			tc.lessen(srv)
			repo := srv.Create(t, "app")
			c1 := repo.Commit("main", "one", map[string]string{"a": "1", "b": "1"})
			c2 := repo.Commit("main", "two", map[string]string{"a": "2"})
			dir := t.TempDir()
			r := open(t, storeIn(t, dir), repo.URL)
			if got := r.Mode(); got != "" {
				t.Errorf("%s\nthe mode is %q before anything is known", tc.reason, got)
			}
			if got := readFile(t, r, c1, "a"); got != "1" {
				t.Errorf("%s\na of an older commit, before any fetch: %q", tc.reason, got)
			}
			fetch(t, r, Ref{})
			if got := readFile(t, r, c2, "a") + readFile(t, r, c2, "b") + readFile(t, r, c1, "a"); got != "211" {
				t.Errorf("%s\nfiles read %q", tc.reason, got)
			}
			c3 := repo.Commit("main", "three", map[string]string{"a": "3"})
			r = open(t, storeIn(t, dir), repo.URL) // another process remembers what the server cannot do
			srv.ResetTraffic()
			fetch(t, r, Ref{})
			if got := readFile(t, r, c3, "a"); got != "3" {
				t.Errorf("%s\na is %q", tc.reason, got)
			}
			requests(t, srv, tc.requests, "fetching and reading")
			if got := r.Mode(); got != tc.want {
				t.Errorf("%s\nthe mode is %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestOneFetchServesAllWhoAskAtTheSameTime(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	s := newStore(t)
	const callers = 20
	arrived, proceed := make(chan struct{}, callers), make(chan struct{})
	srv.Intercept(func(*http.Request) { <-proceed })
	results := make(chan error, callers)
	for range callers {
		go func() {
			r, err := s.Repository(Remote{URL: repo.URL})
			arrived <- struct{}{}
			if err == nil {
				var rev Revision
				if rev, err = r.Fetch(t.Context(), Ref{}); rev.Commit != head && err == nil {
					err = errors.New("another commit")
				}
			}
			results <- err
		}()
	}
	for range callers {
		<-arrived
	}
	close(proceed)
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := srv.Traffic().Requests; n > callers {
		t.Errorf("%d callers made %d requests", callers, n)
	}
}

func TestWhoAsksAfterTheRemoteWasAskedHearsOfWhatWasPushedSince(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	s := newStore(t)
	requests, fetches, proceed := 0, make(chan struct{}), make(chan struct{})
	srv.Intercept(func(*http.Request) {
		if requests++; requests == 3 { // after what the remote can do, and its refs
			close(fetches)
			<-proceed
		}
	})
	first, second := make(chan Revision, 1), make(chan Revision, 1)
	look := func(seen chan<- Revision) {
		rev, err := open(t, s, repo.URL).Fetch(t.Context(), Ref{})
		if err != nil {
			t.Error(err)
		}
		seen <- rev
	}
	go look(first)
	<-fetches
	newer := repo.Commit("main", "two", map[string]string{"a": "2"})
	flights := open(t, s, repo.URL).mirror.flights
	waiting := func() (n int) {
		flights.mu.Lock()
		defer flights.mu.Unlock()
		for _, fl := range flights.now {
			n += fl.waiters
		}
		return n
	}
	before := waiting()
	go look(second)
	for waiting() == before {
		runtime.Gosched()
	}
	close(proceed)
	if rev := <-second; rev.Commit != newer {
		t.Errorf("it hears of %s, and %s was pushed before it asked", rev.Commit, newer)
	}
	<-first
}

func TestARemoteThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	hang := make(chan struct{})
	srv.Intercept(func(*http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	r := open(t, newStore(t, Timeout(20*time.Millisecond)), repo.URL)
	if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a remote that hangs: %v", err)
	}
}
