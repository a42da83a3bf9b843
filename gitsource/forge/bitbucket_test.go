package forge_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/forge"
)

// fakeBitbucket holds to the API of Bitbucket Cloud as far as statuses go: a status is
// overwritten by its key, of at most 40 characters, and has an address with a domain.
type fakeBitbucket struct {
	fakeForge
	fakePulls
	statuses map[string]bitbucketStatus
}

type bitbucketStatus struct {
	Key         string `json:"key"`
	State       string `json:"state"`
	Name        string `json:"name"`
	Description string `json:"description"`
	URL         string `json:"url"`
	Updated     string `json:"updated_on"`
}

func newBitbucket(t *testing.T, authorized func(*http.Request) bool) *fakeBitbucket {
	b := &fakeBitbucket{statuses: map[string]bitbucketStatus{}}
	b.unauthorized = func(w http.ResponseWriter, _ *http.Request) {
		bitbucketRefuses(w, http.StatusUnauthorized, "Token is invalid, expired, or not supported for this endpoint.")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2.0/repositories/acme/shop/commit/{sha}/statuses/build", b.create)
	mux.HandleFunc("GET /2.0/repositories/acme/shop/commit/{sha}/statuses/build/{key}", func(w http.ResponseWriter, r *http.Request) {
		s, found := b.statuses[r.PathValue("key")]
		if !found || r.PathValue("sha") != knownCommit {
			bitbucketRefuses(w, http.StatusNotFound, "Resource not found")
			return
		}
		answer(w, http.StatusOK, s)
	})
	mux.HandleFunc("GET /2.0/repositories/acme/shop/commit/{sha}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("sha") != knownCommit {
			bitbucketRefuses(w, http.StatusNotFound, "Commit not found")
			return
		}
		answer(w, http.StatusOK, map[string]string{"type": "commit", "hash": knownCommit})
	})
	b.servePulls(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		bitbucketRefuses(w, http.StatusNotFound, "Repository "+r.URL.Path+" not found")
	})
	b.serve(t, authorized, mux)
	return b
}

func bitbucketRefuses(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]any{"type": "error", "error": map[string]string{"message": message}})
}

func (b *fakeBitbucket) open(t *testing.T, token forge.Token) forge.Reporter {
	return mustNew(t, forge.Bitbucket, forge.Target{Repository: "https://bitbucket.org/acme/shop.git", API: b.URL, Token: token})
}

func openFakeBitbucket(t *testing.T) backend {
	b := newBitbucket(t, withBearer)
	return backend{reporter: b.open(t, secret), commit: knownCommit, fail: b.fail}
}

func (b *fakeBitbucket) create(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("sha") != knownCommit {
		bitbucketRefuses(w, http.StatusNotFound, "Commit not found")
		return
	}
	var in bitbucketStatus
	if !decoded(w, r, &in) {
		return
	}
	to, err := url.Parse(in.URL)
	switch {
	case in.Key == "" || longerThan(in.Key, 40):
		bitbucketRefuses(w, http.StatusBadRequest, "key: Ensure this value has at most 40 characters.")
		return
	case longerThan(in.Name, 255), longerThan(in.Description, 255), longerThan(in.URL, 450):
		bitbucketRefuses(w, http.StatusBadRequest, "Ensure this value has fewer characters.")
		return
	case err != nil || to.Scheme != "https" && to.Scheme != "http" || !strings.Contains(to.Hostname(), "."):
		bitbucketRefuses(w, http.StatusBadRequest, "url: Enter a valid URL.")
		return
	case !slices.Contains([]string{"INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"}, in.State):
		bitbucketRefuses(w, http.StatusBadRequest, "state: Select a valid choice.")
		return
	}
	in.Updated = noon.Add(time.Duration(len(b.statuses)) * time.Second).Format("2006-01-02T15:04:05.000000-07:00")
	b.statuses[in.Key] = in
	answer(w, http.StatusCreated, in)
}

// only is the one status that there is.
func (b *fakeBitbucket) only(t *testing.T) bitbucketStatus {
	t.Helper()
	if len(b.statuses) != 1 {
		t.Fatalf("%d statuses, want 1: %v", len(b.statuses), b.statuses)
	}
	for _, s := range b.statuses {
		return s
	}
	return bitbucketStatus{}
}

// bitbucketStates is what both of Atlassian's forges are told, by state and description.
var bitbucketStates = map[forge.State][2]string{
	forge.Pending: {"INPROGRESS", "close"},
	forge.Success: {"SUCCESSFUL", "close"},
	forge.Warning: {"SUCCESSFUL", "Warning: close"},
	forge.Failure: {"FAILED", "close"},
	forge.Error:   {"FAILED", "Inconclusive: close"},
}

func TestBitbucketIsToldEachStateInItsOwnWords(t *testing.T) {
	for state, want := range bitbucketStates {
		t.Run(string(state), func(t *testing.T) {
			b := newBitbucket(t, withBearer)
			mustSet(t, b.open(t, secret), status(knownCommit, state, "close"))
			if s := b.only(t); s.State != want[0] || s.Description != want[1] || s.Name != "keptn/prod/checkout/deployment" {
				t.Errorf("got %+v, want %q", s, want)
			}
		})
	}
}

func TestABitbucketKeyIsReadableAndOfOneContextOnly(t *testing.T) {
	b := newBitbucket(t, withBearer)
	r := b.open(t, secret)
	contexts := []string{
		"keptn/prod/checkout/post-deployment", "keptn/prod/checkout/pre-deployment", "keptn/prod/checkout-pre/deployment",
		"keptn/prod/checkout/pre.deployment", "a", "größe", "größ€",
	}
	for _, context := range contexts {
		s := status(knownCommit, forge.Success, context)
		s.Context = context
		mustSet(t, r, s)
	}
	for _, context := range contexts {
		s := status(knownCommit, forge.Success, context)
		s.Context = context
		wantLatest(t, r, s)
	}
	readable := 0
	for key := range b.statuses {
		if strings.HasPrefix(key, "keptn-prod-checkout-") {
			readable++
		}
	}
	if len(b.statuses) != len(contexts) || readable != 4 {
		t.Errorf("%d keys, %d of them readable: %v", len(b.statuses), readable, b.statuses)
	}
}

func TestABitbucketStatusWithoutAUsableTargetLeadsToTheCommit(t *testing.T) {
	for _, target := range []string{"", "http://keptn:8080/delivery", "http://localhost/delivery", "ftp://example.com/", "https://example.com/" + strings.Repeat("a", 450)} {
		b := newBitbucket(t, withBearer)
		r := b.open(t, secret)
		s := status(knownCommit, forge.Success, "")
		s.TargetURL = target
		mustSet(t, r, s)
		if got := b.only(t).URL; got != "https://bitbucket.org/acme/shop/commits/"+knownCommit {
			t.Errorf("%s became %s", target, got)
		}
		s.TargetURL = ""
		wantLatest(t, r, s)
	}
}

func TestBitbucketsStoppedBuildIsNoSuccess(t *testing.T) {
	b := newBitbucket(t, withBearer)
	r := b.open(t, secret)
	s := status(knownCommit, forge.Success, "")
	mustSet(t, r, s)
	for key, held := range b.statuses {
		held.State = "STOPPED"
		b.statuses[key] = held
	}
	s.State = forge.Error
	wantLatest(t, r, s)
}

func TestBitbucketTakesAnAPITokenWithItsAccount(t *testing.T) {
	b := newBitbucket(t, withBasic("ada@acme.example"))
	target := forge.Target{Repository: "git@bitbucket.org:acme/shop.git", API: b.URL + "/2.0/", Token: secret, Username: "ada@acme.example"}
	d := mustNew(t, forge.Bitbucket, target)
	mustSet(t, d, status(knownCommit, forge.Success, ""))
	b.fail(fault{code: http.StatusForbidden})
	checkFault(t, "The account's token in either form is no one's business.", d.Set(t.Context(), status(knownCommit, forge.Success, "")), forge.ErrUnauthorized)
}

func TestAPasswordIsNotShownAsItIsSentEither(t *testing.T) {
	b := newBitbucket(t, withBasic("ada"))
	b.fail(fault{code: http.StatusBadRequest})
	d := mustNew(t, forge.Bitbucket, forge.Target{Repository: "https://bitbucket.org/acme/shop", API: b.URL, Token: secret, Username: "ada"})
	err := d.Set(t.Context(), status(knownCommit, forge.Success, ""))
	if err == nil || strings.Contains(err.Error(), "YWRhOnMzY3JldC10MGtlbg") || strings.Count(err.Error(), "(redacted)") < 2 {
		t.Errorf("got %v", err)
	}
}

func TestABitbucketRepositoryIsFoundByAnyFormOfItsURL(t *testing.T) {
	for _, repository := range []string{
		"https://bitbucket.org/acme/shop", "https://ada@bitbucket.org/acme/shop.git", "git@bitbucket.org:acme/shop.git",
		"ssh://git@altssh.bitbucket.org:443/acme/shop.git",
	} {
		d, err := forge.New(forge.Bitbucket, forge.Target{Repository: repository, Token: secret})
		if err != nil || d.Host != "api.bitbucket.org" || d.Repository != "acme/shop" {
			t.Errorf("%s: got host %q, repository %q, %v", repository, d.Host, d.Repository, err)
		}
	}
	if _, err := forge.New(forge.Bitbucket, forge.Target{Repository: "https://bitbucket.org/shop", Token: secret}); err == nil {
		t.Error("a repository has a workspace: want an error")
	}
	if _, err := forge.New(forge.Bitbucket, forge.Target{Repository: "https://bitbucket.org/acme/shop"}); !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("no token: got %v", err)
	}
}

func TestBitbucketRefusesAWrongToken(t *testing.T) {
	b := newBitbucket(t, withBearer)
	wantRefused(t, func(token forge.Token) forge.Reporter { return b.open(t, token) })
}
