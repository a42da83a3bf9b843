package forge_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// fakeBitbucketServer holds to the API of Bitbucket Data Center 10 below the context path
// /git as far as builds go: answers to writes have no content, errors come in a list, and
// a build is asked for by its key.
type fakeBitbucketServer struct {
	fakeForge
	fakePulls
	builds map[string]bitbucketBuild
}

type bitbucketBuild struct {
	Key         string `json:"key"`
	Parent      string `json:"parent"`
	State       string `json:"state"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	URL         string `json:"url"`
	Created     int64  `json:"createdDate"`
	Updated     int64  `json:"updatedDate"`
}

func newBitbucketServer(t *testing.T) *fakeBitbucketServer {
	b := &fakeBitbucketServer{builds: map[string]bitbucketBuild{}}
	b.unauthorized = func(w http.ResponseWriter, _ *http.Request) {
		bitbucketServerRefuses(w, http.StatusUnauthorized, "Authentication failed. Please check your credentials and try again.", "com.atlassian.bitbucket.auth.IncorrectPasswordAuthenticationException")
	}
	mux := http.NewServeMux()
	commit := "/git/rest/api/latest/projects/{project}/repos/shop/commits/{sha}"
	mux.HandleFunc("POST "+commit+"/builds", b.of(b.create))
	mux.HandleFunc("GET "+commit+"/builds", b.of(func(w http.ResponseWriter, r *http.Request) {
		build, found := b.builds[r.FormValue("key")]
		if !found {
			bitbucketServerRefuses(w, http.StatusNotFound, "A build with the key does not exist.", "com.atlassian.bitbucket.build.NoSuchBuildStatusException")
			return
		}
		answer(w, http.StatusOK, build)
	}))
	mux.HandleFunc("GET "+commit, b.of(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"id": knownCommit})
	}))
	b.servePulls(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		bitbucketServerRefuses(w, http.StatusNotFound, "Repository does not exist.", "com.atlassian.bitbucket.repository.NoSuchRepositoryException")
	})
	b.serve(t, withBearer, mux)
	return b
}

// of has only the repositories ACME/shop and ~ada/shop, with one commit.
func (*fakeBitbucketServer) of(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !slices.Contains([]string{"ACME", "~ada"}, r.PathValue("project")):
			bitbucketServerRefuses(w, http.StatusNotFound, "Project does not exist.", "com.atlassian.bitbucket.project.NoSuchProjectException")
		case r.PathValue("sha") != "" && r.PathValue("sha") != knownCommit:
			bitbucketServerRefuses(w, http.StatusNotFound, "Commit does not exist.", "com.atlassian.bitbucket.commit.NoSuchCommitException")
		default:
			handle(w, r)
		}
	}
}

func bitbucketServerRefuses(w http.ResponseWriter, code int, message, exception string) {
	answer(w, code, map[string]any{"errors": []map[string]any{{"context": nil, "message": message, "exceptionName": exception}}})
}

func (b *fakeBitbucketServer) open(t *testing.T, repository string, token forge.Token) forge.Reporter {
	return mustNew(t, forge.BitbucketServer, forge.Target{Repository: b.URL + "/git/scm/" + repository, Token: token})
}

func openFakeBitbucketServer(t *testing.T) backend {
	b := newBitbucketServer(t)
	return backend{reporter: b.open(t, "ACME/shop.git", secret), commit: knownCommit, fail: b.fail}
}

func (b *fakeBitbucketServer) create(w http.ResponseWriter, r *http.Request) {
	var in struct{ Key, Parent, State, Name, Description, URL string }
	if !decoded(w, r, &in) {
		return
	}
	to, err := url.Parse(in.URL)
	switch {
	case in.Key == "", longerThan(in.Key, 255), longerThan(in.Name, 255), longerThan(in.Description, 255), longerThan(in.Parent, 1024):
		bitbucketServerRefuses(w, http.StatusBadRequest, "size must be between 1 and 255", "javax.validation.ConstraintViolationException")
		return
	case err != nil || !to.IsAbs() || longerThan(in.URL, 450):
		bitbucketServerRefuses(w, http.StatusBadRequest, "url: must be a valid URL", "javax.validation.ConstraintViolationException")
		return
	case !slices.Contains([]string{"CANCELLED", "FAILED", "INPROGRESS", "SUCCESSFUL", "UNKNOWN"}, in.State):
		bitbucketServerRefuses(w, http.StatusBadRequest, "state", "java.lang.IllegalArgumentException")
		return
	}
	at := noon.Add(time.Duration(len(b.builds)) * time.Second).UnixMilli()
	b.builds[in.Key] = bitbucketBuild{in.Key, in.Parent, in.State, in.Name, in.Description, in.URL, at, at}
	w.WriteHeader(http.StatusNoContent)
}

func TestBitbucketServerIsToldEachStateInItsOwnWords(t *testing.T) {
	const name = "keptn/prod/checkout/deployment"
	for state, want := range bitbucketStates {
		t.Run(string(state), func(t *testing.T) {
			b := newBitbucketServer(t)
			mustSet(t, b.open(t, "ACME/shop.git", secret), status(knownCommit, state, "close"))
			got := b.builds[name]
			got.Created, got.Updated = 0, 0
			if diff := cmp.Diff(bitbucketBuild{Key: name, Parent: name, Name: name, State: want[0], Description: want[1], URL: "https://keptn.example.com/checkout?a=1&b=2"}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestABitbucketServerStatusWithoutAUsableTargetLeadsToTheCommit(t *testing.T) {
	for repository, page := range map[string]string{
		"ACME/shop.git": "/git/projects/ACME/repos/shop/commits/", "~ada/shop.git": "/git/users/ada/repos/shop/commits/",
	} {
		for _, target := range []string{"", "/delivery", "https://example.com/" + strings.Repeat("a", 450)} {
			b := newBitbucketServer(t)
			r := b.open(t, repository, secret)
			s := status(knownCommit, forge.Success, "")
			s.TargetURL = target
			mustSet(t, r, s)
			if got := b.builds[s.Context].URL; got != b.URL+page+knownCommit {
				t.Errorf("%s of %s became %s", target, repository, got)
			}
			s.TargetURL = ""
			wantLatest(t, r, s)
		}
	}
}

func TestBitbucketServersOtherStatesAreNoSuccess(t *testing.T) {
	for _, said := range []string{"CANCELLED", "UNKNOWN"} {
		b := newBitbucketServer(t)
		r := b.open(t, "ACME/shop.git", secret)
		s := status(knownCommit, forge.Success, "")
		mustSet(t, r, s)
		held := b.builds[s.Context]
		held.State = said
		b.builds[s.Context] = held
		s.State = forge.Error
		wantLatest(t, r, s)
	}
}

func TestABitbucketServerRepositoryIsFoundByAnyFormOfItsURL(t *testing.T) {
	cases := map[string]struct {
		reason, repository, api string
		host, name              string
	}{
		"HTTP":        {"As git clones it.", "https://git.example.com/scm/acme/shop.git", "", "git.example.com", "acme/shop"},
		"ContextPath": {"A server may live below a path.", "https://example.com/git/scm/ACME/shop.git", "", "example.com", "ACME/shop"},
		"Personal":    {"People have repositories of their own.", "https://git.example.com/scm/~ada/shop.git", "", "git.example.com", "~ada/shop"},
		"SSH":         {"SSH has a port of its own and no context path.", "ssh://git@git.example.com:7999/acme/shop.git", "", "git.example.com", "acme/shop"},
		"SSHPersonal": {"As above.", "ssh://git@git.example.com:7999/~ada/shop.git", "", "git.example.com", "~ada/shop"},
		"API":         {"SSH does not know the context path.", "ssh://git@ssh.example.com:7999/acme/shop.git", "https://example.com/git/rest/api/latest", "example.com", "acme/shop"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := forge.New(forge.BitbucketServer, forge.Target{Repository: tc.repository, API: tc.api, Token: secret})
			if err != nil || d.Host != tc.host || d.Repository != tc.name {
				t.Errorf("%s\ngot host %q, repository %q, %v; want %q, %q", tc.reason, d.Host, d.Repository, err, tc.host, tc.name)
			}
		})
	}
}

func TestABitbucketServerTargetThatCannotWorkIsRefused(t *testing.T) {
	for _, repository := range []string{"https://git.example.com/projects/ACME/repos/shop/browse", "https://git.example.com/scm/shop", "ssh://git@git.example.com:7999/shop", "/scm/acme/shop"} {
		_, err := forge.New(forge.BitbucketServer, forge.Target{Repository: repository, Token: secret})
		if err == nil || !strings.Contains(err.Error(), "/scm/project/name.git") {
			t.Errorf("%s: got %v", repository, err)
		}
	}
	if _, err := forge.New(forge.BitbucketServer, forge.Target{Repository: "https://git.example.com/scm/acme/shop"}); !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("no token: got %v", err)
	}
}

func TestBitbucketServerSaysWhyItRefuses(t *testing.T) {
	b := newBitbucketServer(t)
	err := b.open(t, "OTHER/shop.git", secret).Set(t.Context(), status(knownCommit, forge.Success, ""))
	if !errors.Is(err, forge.ErrNotFound) || !strings.Contains(err.Error(), "Project does not exist") {
		t.Errorf("got %v", err)
	}
}

func TestBitbucketServerTellsAWrongTokenFromOneThatMayNot(t *testing.T) {
	b := newBitbucketServer(t)
	for exception, want := range map[string]bool{
		"com.atlassian.bitbucket.AuthorisationException":                        true,
		"com.atlassian.bitbucket.auth.IncorrectPasswordAuthenticationException": false,
	} {
		b.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			bitbucketServerRefuses(w, http.StatusUnauthorized, "You are not permitted to access this resource", exception)
		})
		err := b.open(t, "ACME/shop.git", secret).Set(t.Context(), status(knownCommit, forge.Success, ""))
		if !errors.Is(err, forge.ErrUnauthorized) || errors.Is(err, forge.ErrForbidden) != want {
			t.Errorf("%s: %v", exception, err)
		}
	}
}

func TestBitbucketServerRefusesAWrongToken(t *testing.T) {
	b := newBitbucketServer(t)
	wantRefused(t, func(token forge.Token) forge.Reporter { return b.open(t, "ACME/shop.git", token) })
}
