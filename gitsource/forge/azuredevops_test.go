package forge_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// fakeAzureDevOps holds to version 7.1 of the API of Azure DevOps as far as statuses go:
// every one is kept, lists are paged by top and skip, a version is asked for, and a wrong
// token is led to a page to sign in, unless that is not wanted.
type fakeAzureDevOps struct {
	fakeForge
	fakePulls
	statuses []azureStatus
}

type azureStatus struct {
	ID          int          `json:"id"`
	State       string       `json:"state"`
	Description string       `json:"description"`
	TargetURL   *string      `json:"targetUrl"`
	Context     azureContext `json:"context"`
	Created     time.Time    `json:"creationDate"`
}

type azureContext struct {
	Genre *string `json:"genre"`
	Name  string  `json:"name"`
}

func (c azureContext) String() string {
	if c.Genre == nil {
		return c.Name
	}
	return *c.Genre + "/" + c.Name
}

// signIn is what a browser would be shown.
func signIn(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusNonAuthoritativeInfo)
	_, _ = w.Write([]byte("<html><title>Azure DevOps Services | Sign In</title></html>"))
}

func newAzureDevOps(t *testing.T, authorized func(*http.Request) bool) *fakeAzureDevOps {
	a := &fakeAzureDevOps{}
	a.unauthorized = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-TFS-FedAuthRedirect") == "Suppress" {
			azureRefuses(w, http.StatusUnauthorized, "TF400813: The user '' is not authorized to access this resource.", "UnauthorizedRequestException")
			return
		}
		http.Redirect(w, r, "https://app.vssps.visualstudio.com/_signin", http.StatusFound)
	}
	mux := http.NewServeMux()
	statuses := "/tfs/Big Co/My Shop/_apis/git/repositories/web shop/commits/{sha}/statuses"
	mux.HandleFunc("POST "+escapedPattern(statuses), a.of(a.create))
	mux.HandleFunc("GET "+escapedPattern(statuses), a.of(a.list))
	a.servePulls(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		azureRefuses(w, http.StatusNotFound, "TF401019: The Git repository does not exist or you do not have permissions for the operation you are attempting.", "GitRepositoryNotFoundException")
	})
	a.serve(t, authorized, mux)
	return a
}

// escapedPattern is a pattern of a mux with blanks in it.
func escapedPattern(pattern string) string { return strings.ReplaceAll(pattern, " ", "%20") }

// of wants version 7.1, and has one commit.
func (*fakeAzureDevOps) of(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("api-version") != "7.1":
			azureRefuses(w, http.StatusBadRequest, "No api-version was supplied for the request.", "VssVersionNotSpecifiedException")
		case r.PathValue("sha") != "" && r.PathValue("sha") != knownCommit:
			azureRefuses(w, http.StatusNotFound, "TF401175: The version descriptor could not be resolved to a version.", "GitUnresolvableToCommitException")
		default:
			handle(w, r)
		}
	}
}

func azureRefuses(w http.ResponseWriter, code int, message, key string) {
	answer(w, code, map[string]any{"$id": "1", "innerException": nil, "message": message, "typeKey": key, "errorCode": 0, "eventId": 3000})
}

func (a *fakeAzureDevOps) target(token forge.Token) forge.Target {
	return forge.Target{Repository: a.URL + "/tfs/Big%20Co/My%20Shop/_git/web%20shop", Token: token}
}

func (a *fakeAzureDevOps) open(t *testing.T, token forge.Token) forge.Reporter {
	return mustNew(t, forge.AzureDevOps, a.target(token))
}

func openFakeAzureDevOps(t *testing.T) backend {
	a := newAzureDevOps(t, withBasic(""))
	return backend{reporter: a.open(t, secret), commit: knownCommit, fail: a.fail}
}

func (a *fakeAzureDevOps) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		State, Description string
		TargetURL          *string
		Context            azureContext
	}
	if !decoded(w, r, &in) {
		return
	}
	switch {
	case in.Context.Name == "", in.Context.Genre != nil && *in.Context.Genre == "":
		azureRefuses(w, http.StatusBadRequest, "Invalid argument value. Parameter name: context", "InvalidArgumentValueException")
		return
	case !slices.Contains([]string{"notSet", "pending", "succeeded", "failed", "error", "notApplicable"}, in.State):
		azureRefuses(w, http.StatusBadRequest, "Invalid argument value. Parameter name: state", "InvalidArgumentValueException")
		return
	case in.TargetURL != nil:
		if to, err := url.Parse(*in.TargetURL); err != nil || !to.IsAbs() {
			azureRefuses(w, http.StatusBadRequest, "Invalid argument value. Parameter name: targetUrl", "InvalidArgumentValueException")
			return
		}
	}
	n := len(a.statuses) + 1
	a.statuses = append(a.statuses, azureStatus{n, in.State, in.Description, in.TargetURL, in.Context, noon.Add(time.Duration(n) * time.Second)})
	answer(w, http.StatusCreated, a.statuses[n-1])
}

func (a *fakeAzureDevOps) list(w http.ResponseWriter, r *http.Request) {
	found := []azureStatus{}
	seen := map[string]bool{}
	for _, s := range slices.Backward(a.statuses) {
		if latest := r.FormValue("latestOnly") == "true"; latest && seen[s.Context.String()] {
			continue
		}
		seen[s.Context.String()] = true
		found = append(found, s)
	}
	skip, _ := strconv.Atoi(r.FormValue("skip"))
	top, err := strconv.Atoi(r.FormValue("top"))
	if err != nil {
		top = 1000
	}
	found = found[min(skip, len(found)):]
	found = found[:min(top, len(found))]
	answer(w, http.StatusOK, map[string]any{"count": len(found), "value": found})
}

func TestAzureDevOpsIsToldEachStateInItsOwnWords(t *testing.T) {
	cases := map[forge.State][2]string{
		forge.Pending: {"pending", "close"},
		forge.Success: {"succeeded", "close"},
		forge.Warning: {"succeeded", "Warning: close"},
		forge.Failure: {"failed", "close"},
		forge.Error:   {"error", "close"},
	}
	for state, want := range cases {
		t.Run(string(state), func(t *testing.T) {
			a := newAzureDevOps(t, withBasic(""))
			mustSet(t, a.open(t, secret), status(knownCommit, state, "close"))
			s := a.statuses[0]
			got := []string{*s.Context.Genre, s.Context.Name, s.State, s.Description}
			if diff := cmp.Diff([]string{"keptn", "prod/checkout/deployment", want[0], want[1]}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnyContextIsReadBackFromAzureDevOps(t *testing.T) {
	a := newAzureDevOps(t, withBasic(""))
	r := a.open(t, secret)
	for _, context := range []string{"a", "a/b", "a/b/c", "/a", "a/", "a//b", "a/ b"} {
		s := status(knownCommit, forge.Success, context)
		s.Context = context
		mustSet(t, r, s)
	}
	for _, context := range []string{"a", "a/b", "a/b/c", "/a", "a/", "a//b", "a/ b"} {
		s := status(knownCommit, forge.Success, context)
		s.Context = context
		wantLatest(t, r, s)
	}
}

func TestTheStatusWithTheHighestIDIsAzureDevOpsLatest(t *testing.T) {
	a := newAzureDevOps(t, withBasic(""))
	r := a.open(t, secret)
	mustSet(t, r, status(knownCommit, forge.Failure, "one"), status(knownCommit, forge.Success, "two"))
	a.statuses[0].Created, a.statuses[1].Created = noon, noon // within one second
	slices.Reverse(a.statuses)
	inner := a.Config.Handler
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		query := q.URL.Query()
		query.Del("latestOnly") // an older server does not know it
		q.URL.RawQuery = query.Encode()
		inner.ServeHTTP(w, q)
	})
	wantLatest(t, r, status(knownCommit, forge.Success, "two"))
}

func TestAzureDevOpsStatusesAreFoundOnAnyPage(t *testing.T) {
	a := newAzureDevOps(t, withBasic(""))
	genre := "keptn"
	for i := range 2500 {
		a.statuses = append(a.statuses, azureStatus{ID: i + 1, State: "succeeded", Description: strconv.Itoa(i), Context: azureContext{&genre, fmt.Sprintf("app-%d", i)}})
	}
	r := a.open(t, secret)
	for _, i := range []int{0, 1200, 2499} {
		got, found, err := r.Latest(t.Context(), knownCommit, fmt.Sprintf("keptn/app-%d", i))
		if err != nil || !found || got.Description != strconv.Itoa(i) {
			t.Errorf("app %d: got %+v, found %t, %v", i, got, found, err)
		}
	}
}

func TestAzureDevOpsTakesATokenOfEntra(t *testing.T) {
	const jwt = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJhIn0.c2lnbmF0dXJl"
	a := newAzureDevOps(t, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+jwt })
	mustSet(t, a.open(t, jwt), status(knownCommit, forge.Success, ""))
}

func TestAPageToSignInIsARefusedToken(t *testing.T) {
	a := newAzureDevOps(t, withBasic(""))
	wantRefused(t, func(token forge.Token) forge.Reporter { return a.open(t, token) })
	a.unauthorized = signIn
	wantRefused(t, func(token forge.Token) forge.Reporter { return a.open(t, token) })
}

func TestAnAzureDevOpsRepositoryIsFoundByAnyFormOfItsURL(t *testing.T) {
	cases := map[string]struct {
		reason, repository, api string
		host, name              string
	}{
		"Services":      {"As git clones it.", "https://acme@dev.azure.com/acme/shop/_git/web", "", "dev.azure.com", "acme/shop/web"},
		"OwnProject":    {"A project's own repository may leave it out.", "https://dev.azure.com/acme/_git/shop", "", "dev.azure.com", "acme/shop/shop"},
		"Blanks":        {"Names may have blanks.", "https://dev.azure.com/acme/My%20Shop/_git/web%20shop", "", "dev.azure.com", "acme/My Shop/web shop"},
		"SSH":           {"SSH has a form of its own.", "git@ssh.dev.azure.com:v3/acme/My%20Shop/web", "", "dev.azure.com", "acme/My Shop/web"},
		"FormerHost":    {"The organization was the host.", "https://acme.visualstudio.com/shop/_git/web", "", "acme.visualstudio.com", "shop/web"},
		"FormerDefault": {"With a collection that all had.", "https://acme.visualstudio.com/DefaultCollection/shop/_git/web", "", "acme.visualstudio.com", "DefaultCollection/shop/web"},
		"FormerOwn":     {"As above, without the project.", "https://acme.visualstudio.com/_git/shop", "", "acme.visualstudio.com", "shop/shop"},
		"FormerSSH":     {"And its SSH.", "acme@vs-ssh.visualstudio.com:v3/acme/shop/web", "", "dev.azure.com", "acme/shop/web"},
		"Server":        {"A server has collections, often below a path.", "https://devops.example.com/tfs/Main/shop/_git/web", "", "devops.example.com", "tfs/Main/shop/web"},
		"ServerOwn":     {"As above, without the project.", "https://devops.example.com/Main/_git/shop", "", "devops.example.com", "Main/shop/shop"},
		"ServerSSH":     {"SSH has a port of its own.", "ssh://devops.example.com:22/Main/shop/_git/web", "", "devops.example.com", "Main/shop/web"},
		"API":           {"The collection's address goes before.", "ssh://ssh.example.com:22/Main/shop/_git/web", "https://devops.example.com/tfs/Main/", "devops.example.com", "tfs/Main/shop/web"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := forge.New(forge.AzureDevOps, forge.Target{Repository: tc.repository, API: tc.api, Token: secret})
			if err != nil || d.Host != tc.host || d.Repository != tc.name {
				t.Errorf("%s\ngot host %q, repository %q, %v; want %q, %q", tc.reason, d.Host, d.Repository, err, tc.host, tc.name)
			}
		})
	}
}

func TestAnAzureDevOpsTargetThatCannotWorkIsRefused(t *testing.T) {
	for _, repository := range []string{"https://dev.azure.com/acme/shop", "https://dev.azure.com/_git/shop", "/srv/acme/shop/_git/web", "git@ssh.dev.azure.com:acme/shop"} {
		if d, err := forge.New(forge.AzureDevOps, forge.Target{Repository: repository, Token: secret}); err == nil {
			t.Errorf("%s: got %q, want an error", repository, d.Repository)
		}
	}
	if _, err := forge.New(forge.AzureDevOps, forge.Target{Repository: "https://dev.azure.com/acme/shop/_git/web"}); !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("no token: got %v", err)
	}
}
