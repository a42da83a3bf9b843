package forge_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// questions are all that is asked of a forge.
var questions = map[string]func(*testing.T, forge.Destination) error{
	"Set": func(t *testing.T, d forge.Destination) error {
		return d.Set(t.Context(), status(knownCommit, forge.Success, ""))
	},
	"Latest": func(t *testing.T, d forge.Destination) error {
		_, _, err := d.Latest(t.Context(), knownCommit, "a")
		return err
	},
	"Open": func(t *testing.T, d forge.Destination) error {
		_, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "promote", Base: "main", Title: "a"})
		return err
	},
	"Heads": func(t *testing.T, d forge.Destination) error {
		_, err := d.Reviews.Heads(t.Context(), "main")
		return err
	},
	"Comment": func(t *testing.T, d forge.Destination) error {
		_, err := d.Reviews.Comment(t.Context(), 7, forge.Comment{Key: "k", Text: "one"})
		return err
	},
}

func TestNothingIsAskedDuringAPauseThatAForgeHasAskedFor(t *testing.T) {
	limits := map[string]struct {
		reason string
		fault  fault
		others bool // may ask on
		itself bool // may, too
	}{
		"Limit":     {"Forges count by token.", fault{code: 429, header: http.Header{"Retry-After": {"60"}}}, true, false},
		"Secondary": {"GitHub's is of the token, too.", fault{code: 403, header: http.Header{"Retry-After": {"60"}}}, true, false},
		"Overload":  {"The host has too much to do for anybody.", fault{code: 503, header: http.Header{"Retry-After": {"60"}}}, false, false},
		"Fault":     {"Nobody has asked for a pause.", fault{code: 502}, true, true},
		"Refused":   {"Nor here.", fault{code: 403}, true, true},
	}
	for name, tc := range limits {
		for first, limit := range questions {
			t.Run(name+"/"+first, func(t *testing.T) {
				now, broken, requests := noon, true, 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests++
					if broken {
						tc.fault.meet(w, r)
						return
					}
					refuse(w, http.StatusNotFound, "no such thing")
				}))
				defer server.Close()
				pauses := forge.NewPauses(func() time.Time { return now })
				open := func(token forge.Token) forge.Destination {
					return mustNew(t, forge.GitHub, forge.Target{Repository: server.URL + "/acme/shop", Token: token, Pauses: pauses})
				}
				if limit(t, open(secret)) == nil {
					t.Fatal("it went well")
				}
				broken = false
				wants := func(when string, token forge.Token, may bool) {
					for what, ask := range questions {
						requests = 0
						err := ask(t, open(token))
						var limited *forge.RateLimitedError
						if requests > 0 != may || !may && (!errors.As(err, &limited) || limited.RetryAfter != noon.Add(time.Minute).Sub(now)) {
							t.Errorf("%s\n%s, %s: %d requests: %v", tc.reason, when, what, requests, err)
						}
					}
				}
				now = noon.Add(20 * time.Second)
				wants("others meanwhile", "other", tc.others)
				wants("meanwhile", secret, tc.itself)
				now = noon.Add(time.Minute)
				wants("afterwards", secret, true)
			})
		}
	}
}

func TestAnAppAsksForNoTokenDuringAPause(t *testing.T) {
	g := newGitHub(t)
	var asked []string
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		w.Header().Set("Retry-After", "60")
		refuse(w, http.StatusForbidden, "You have exceeded a secondary rate limit.")
	})
	target := g.asApp(t)
	target.Pauses = forge.NewPauses(time.Now)
	for range 3 {
		err := mustNew(t, forge.GitHub, target).Set(t.Context(), status(knownCommit, forge.Success, ""))
		var limited *forge.RateLimitedError
		if !errors.As(err, &limited) || limited.RetryAfter > time.Minute {
			t.Errorf("got %v", err)
		}
	}
	if diff := cmp.Diff([]string{"POST /api/v3/app/installations/789/access_tokens"}, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAccountIsToldByItsCredentialsAndNeverShown(t *testing.T) {
	target := forge.Target{Repository: "https://git.example.com/acme/shop", Token: secret}
	account := func(provider string, change func(*forge.Target)) string {
		changed := target
		change(&changed)
		return mustNew(t, provider, changed).Account
	}
	first := account(forge.Gitea, func(*forge.Target) {})
	if other := account(forge.Gitea, func(t *forge.Target) { t.Repository = "https://git.example.com/acme/store" }); other != first {
		t.Error("the same token is another account at another repository")
	}
	for what, other := range map[string]string{
		"Token":    account(forge.Gitea, func(t *forge.Target) { t.Token = "0ther" }),
		"Provider": account(forge.GitLab, func(*forge.Target) {}),
		"API":      account(forge.Gitea, func(t *forge.Target) { t.API = "https://git.example.com/forge" }),
		"Username": account(forge.Gitea, func(t *forge.Target) { t.Username = "ada" }),
	} {
		if other == first {
			t.Errorf("%s: another one is taken for the same", what)
		}
	}
	if len(first) != 64 {
		t.Errorf("%q is no hash", first)
	}
}
