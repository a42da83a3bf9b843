package gitsource

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/outbound"
)

func TestAServerThatLiesAboutItsRefsIsAnErrorAndNoLoop(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	lie := strings.Repeat("ab", 20)
	requests := 0
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		rec := httptest.NewRecorder()
		srv.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		_, _ = w.Write(bytes.ReplaceAll(rec.Body.Bytes(), []byte(head), []byte(lie)))
	}))
	t.Cleanup(liar.Close)
	_, err := open(t, newStore(t), liar.URL+"/app.git").Fetch(t.Context(), Ref{})
	if !errors.Is(err, ErrRefNotFound) || requests > 5 {
		t.Errorf("after %d requests: %v", requests, err)
	}
}

func TestWhatIsNoGitServerIsAnError(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"HTML":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>please log in</html>") },
		"Nothing": func(http.ResponseWriter, *http.Request) {},
		"Garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte{0xff, 0}, 1000)) },
		"Cut": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000")
		},
		"Login": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/login" {
				http.Redirect(w, r, "/login", http.StatusFound)
			}
		},
		"BadPack": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				_, _ = io.WriteString(w, "0008NAK\nPACK\x00\x00\x00\x02\xff\xff\xff\xff garbage")
				return
			}
			sha := strings.Repeat("ab", 20)
			_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000"+
				"0049"+sha+" HEAD\x00symref=HEAD:refs/heads/x"+"\n"+"003a"+sha+" refs/heads/x\n"+"0000")
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(answer)
			defer srv.Close()
			if rev, err := open(t, newStore(t), srv.URL+"/a.git").Fetch(t.Context(), Ref{}); err == nil {
				t.Errorf("read as %v", rev)
			}
		})
	}
}

func TestCredentialsDoNotFollowARedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	var mu sync.Mutex
	var seen []string
	srv.Intercept(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Authorization"))
	})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, srv.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
	}))
	t.Cleanup(front.Close)
	for name, data := range map[string]map[string][]byte{
		"Basic":  {"username": []byte("u"), "password": []byte("p")},
		"Bearer": {"bearerToken": []byte("t")},
	} {
		auth, err := AuthFromSecret(front.URL+"/app.git", data)
		if err != nil {
			t.Fatal(err)
		}
		r, err := newStore(t, AllowPlainHTTPCredentials()).Repository(Remote{URL: front.URL + "/app.git", Auth: auth})
		if err != nil {
			t.Fatal(err)
		}
		if rev := fetch(t, r, Ref{}); rev.Commit != head || readFile(t, r, head, "a") != "1" {
			t.Errorf("%s: the redirect was not followed: %v", name, rev)
		}
	}
	for _, authorization := range seen {
		if authorization != "" {
			t.Errorf("the other host was shown %q", authorization)
		}
	}
}

func TestARemoteAtAnAddressThatIsNotAllowedIsNotAsked(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	srv.Create(t, "app").Commit("main", "one", map[string]string{"a": "1"})
	overSSH := newSSHServer(t)
	guarded := newStore(t, Addresses(outbound.Addresses{}))
	byHTTP, err := guarded.Repository(Remote{URL: srv.URL + "/app.git"})
	if err != nil {
		t.Fatal(err)
	}
	bySSH, err := overSSH.open(t, guarded, "/app.git", asItIs)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Repository{"HTTP": byHTTP, "SSH": bySSH} {
		_, err := r.Fetch(t.Context(), Ref{})
		if !errors.Is(err, ErrForbidden) || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: error %v, want ErrForbidden, which trying again does not help", name, err)
		}
	}
	if n := srv.Traffic().Requests; n > 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestThisMachinesOwnRepositoriesAreReadOnlyIfThatIsAllowed(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	careful, err := NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, repo.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{
		"Path": repo.Dir, "Relative": relative, "File": "file://" + repo.Dir, "Host": "file://localhost" + repo.Dir, "Upper": "FILE://" + repo.Dir,
	} {
		if _, err := careful.Repository(Remote{URL: url}); !errors.Is(err, ErrLocal) || !strings.Contains(err.Error(), "--allow-local-repositories") {
			t.Errorf("%s: error %v, want ErrLocal with the name of the flag", name, err)
		}
	}
	if rev := fetch(t, open(t, newStore(t), "file://"+repo.Dir), Ref{}); rev.Commit != head {
		t.Errorf("where it is allowed: %v", rev)
	}
}

func TestACertificateOfOnesOwnIsTrustedByItsCAOnly(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	srv.RequirePassword("u", "p")
	tls := httptest.NewTLSServer(srv)
	t.Cleanup(tls.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	url := tls.URL + "/app.git"
	for _, key := range []string{"ca.crt", "caFile", "none"} {
		auth, err := AuthFromSecret(url, map[string][]byte{key: ca, "username": []byte("u"), "password": []byte("p")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := newStore(t).Repository(Remote{URL: url, Auth: auth})
		if err != nil {
			t.Fatal(err)
		}
		rev, err := r.Fetch(t.Context(), Ref{})
		if key == "none" && !errors.Is(err, ErrUnreachable) || key != "none" && rev.Commit != head {
			t.Errorf("%s: %v, %v", key, rev, err)
		}
	}
}

func TestRepositoriesThatRestComeBackWithTheNextUse(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	now := gittest.Epoch
	var mu sync.Mutex
	s := newStore(t, Clock(func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}))
	first := open(t, s, repo.URL)
	fetch(t, first, Ref{})
	others := make([]*Repository, maxAwake+1)
	for i := range others {
		others[i] = open(t, s, srv.Fork(t, fmt.Sprint("fork", i), repo.Dir).URL)
		fetch(t, others[i], Ref{})
	}
	if slices.Contains(s.awake, first.mirror) {
		t.Error("the one that was used the longest time ago is not at rest")
	}
	for _, r := range append(others, first) {
		if got := readFile(t, r, head, "a"); got != "1" {
			t.Errorf("a is %q", got)
		}
	}
	if len(s.awake) != maxAwake || s.awake[maxAwake-1] != first.mirror {
		t.Errorf("%d repositories have files open after they were read, want the last %d", len(s.awake), maxAwake)
	}
	fetch(t, others[0], Ref{})
	if slices.Contains(s.awake, others[0].mirror) {
		t.Error("a look at a remote where nothing happened wakes a repository")
	}
}

// bomb is a commit whose few trees stand for a great many files: width folders in each
// folder, and all of them the same.
func bomb(t *testing.T, repo *gittest.Repo, depth, width int) string {
	t.Helper()
	entry := "100644 blob " + repo.Git("rev-parse", repo.Commit("seed", "seed", map[string]string{"f": "x"})+":f") + "\tf"
	for range depth {
		var lines strings.Builder
		for i := range width {
			name, _, _ := strings.Cut(entry, "\t")
			fmt.Fprintf(&lines, "%s\td%02d\n", name, i)
		}
		entry = "040000 tree " + repo.GitInput(lines.String(), "mktree") + "\t"
	}
	tree := strings.Fields(entry)[2]
	return repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "bomb", tree)
}

func TestTreesThatNameThemselvesOverAndOverAreBounded(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	wide := bomb(t, repo, 9, 30) // 30 to the power of 9 files
	repo.ForcePush("wide", wide)
	deep := bomb(t, repo, 10, 1)
	repo.ForcePush("deep", deep)
	r := open(t, newStore(t), repo.URL)
	if err := r.Prefetch(t.Context(), wide, "."); err != nil {
		t.Errorf("Prefetch: %v", err)
	}
	if _, err := r.ChangedPaths(t.Context(), wide); !errors.Is(err, ErrTooLarge) {
		t.Errorf("ChangedPaths: %v", err)
	}
	if got, err := r.ChangedPaths(t.Context(), deep); err != nil || len(got) != 1 {
		t.Errorf("ChangedPaths of a deep tree: %v, %v", got, err)
	}
}

func TestWhatOneRefLearnsIsNotForgottenForAnother(t *testing.T) {
	t.Parallel()
	m := open(t, newStore(t), "https://example.com/a").mirror
	if _, err := m.objects(); err != nil {
		t.Fatal(err)
	}
	at := func(i int) plumbing.Hash { return plumbing.NewHash(fmt.Sprintf("%040x", i)) }
	if err := m.remember("main", at(1)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxTips {
		if err := errors.Join(m.remember("refs/notes/keptn", at(100+i)), m.remember("", at(500+i%5))); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(m.tips(), at(1)) || len(m.tips()) > maxTips {
		t.Errorf("tips: %v", m.tips())
	}
	for i := range 3 * maxTips { // pull requests, with main polled in between
		if err := errors.Join(m.remember(fmt.Sprint("pr", i), at(1000+i)), m.remember("main", at(1))); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(m.tips(), at(1)) || len(m.tips()) > maxTips {
		t.Errorf("tips: %v", m.tips())
	}
}

// serve runs a handler until the test ends.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
