package forge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestGitHubIsToldOfAWarningWithoutBlockingTheMerge(t *testing.T) {
	g := newGitHub(t)
	reporter := mustNew(t, forge.GitHub, g.token(secret))
	for _, state := range []forge.State{forge.Pending, forge.Success, forge.Warning, forge.Failure, forge.Error} {
		if err := reporter.Set(t.Context(), status(knownCommit, state, "close")); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, s := range g.statuses {
		got = append(got, s.State+" "+*s.Description)
	}
	want := []string{"pending close", "success close", "success Warning: close", "failure close", "error close"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGitHubIsNotSentWhatItShows(t *testing.T) {
	for name, target := range map[string]func(*fakeGitHub) forge.Target{
		"Statuses": func(g *fakeGitHub) forge.Target { return g.token(secret) },
		"Checks":   func(g *fakeGitHub) forge.Target { return g.asApp(t) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGitHub(t)
			s := status(knownCommit, forge.Warning, strings.Repeat("long ", 100))
			s.TargetURL = ""
			for i, want := range []forge.Outcome{forge.Sent, forge.Adopted, forge.Adopted} {
				item := forge.Item{Destination: mustNew(t, forge.GitHub, target(g)), Status: s}
				if got := deliver(t, item); got.Outcome != want {
					t.Errorf("process %d: %s: %v", i, got.Outcome, got.Err)
				}
			}
			if got := len(g.statuses) + len(g.runs); got != 1 {
				t.Errorf("it was sent %d times", got)
			}
		})
	}
}

// deliver has a queue with an empty memory deliver an item.
func deliver(t *testing.T, item forge.Item) forge.Result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var result forge.Result
	queue := forge.NewQueue(func(r forge.Result) {
		result = r
		cancel()
	})
	queue.Put(item)
	if err := queue.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestACommitThatTakesNoMoreStatusesIsSaidClearly(t *testing.T) {
	g := newGitHub(t)
	reporter := mustNew(t, forge.GitHub, g.token(secret))
	s := status(knownCommit, forge.Success, "same")
	for range 1000 {
		g.statuses = append(g.statuses, ghStatus{SHA: knownCommit, State: "success", Context: s.Context, Description: &s.Description, TargetURL: &s.TargetURL})
	}
	s.State = forge.Failure
	err := reporter.Set(t.Context(), s)
	if !errors.Is(err, forge.ErrRejected) || !strings.Contains(err.Error(), "1,000 statuses") || !strings.Contains(err.Error(), "goes on to show the last one") {
		t.Errorf("got %v", err)
	}
}

func TestGitHubIsAskedAgainAtNoCost(t *testing.T) {
	g := newGitHub(t)
	answers := forge.NewAnswers()
	open := func(token forge.Token) forge.Reporter {
		target := g.token(token)
		target.Answers = answers
		return mustNew(t, forge.GitHub, target)
	}
	s := status(knownCommit, forge.Success, "one")
	if err := open(secret).Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	g.asked()
	latest := func(token forge.Token) forge.Status {
		got, _, err := open(token).Latest(t.Context(), knownCommit, s.Context)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := latest(secret); !got.Same(s) || len(g.asked()) != 1 {
		t.Errorf("the first time it costs a request: got %v", got)
	}
	if got := latest(secret); !got.Same(s) || len(g.asked()) != 0 {
		t.Errorf("as long as nothing changes it costs nothing: got %v", got)
	}
	s.State = forge.Failure
	if err := open(secret).Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := latest(secret); !got.Same(s) {
		t.Errorf("got what was shown before: %v", got)
	}
	g.fail(fault{code: http.StatusNotModified})
	if _, found, err := open("another").Latest(t.Context(), knownCommit, s.Context); err == nil {
		t.Errorf("who has another token is shown what was answered to the first: found %t", found)
	}
}

func TestGitHubsStatusesAreFoundOnAnyPage(t *testing.T) {
	g := newGitHub(t)
	reporter := mustNew(t, forge.GitHub, g.token(secret))
	for i := range 250 {
		text := strconv.Itoa(i)
		g.statuses = append(g.statuses, ghStatus{State: "success", Context: "keptn/prod/app-" + text + "/deployment", Description: &text})
	}
	for _, i := range []int{0, 133, 249} {
		s, found, err := reporter.Latest(t.Context(), knownCommit, fmt.Sprintf("keptn/prod/App-%d/deployment", i))
		if err != nil || !found || s.Description != strconv.Itoa(i) {
			t.Errorf("app %d, whose name GitHub takes in any case: got %+v, found %t, %v", i, s, found, err)
		}
	}
	if _, found, err := reporter.Latest(t.Context(), knownCommit, "keptn/prod/none"); err != nil || found {
		t.Errorf("found %t, %v", found, err)
	}
}

func TestAListThatDoesNotEndIsRejected(t *testing.T) {
	asked := 0
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Link", "<"+r.URL.Path+`>; rel="next"`)
		answer(w, http.StatusOK, map[string]any{"statuses": []any{}})
	}))
	defer g.Close()
	d := mustNew(t, forge.GitHub, forge.Target{Repository: g.URL + "/acme/shop", Token: secret})
	if _, _, err := d.Latest(t.Context(), knownCommit, "a"); !errors.Is(err, forge.ErrRejected) || asked != 100 {
		t.Errorf("asked %d times, got %v", asked, err)
	}
}

func TestTheNextPageIsNotOfAnotherHost(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "<"+other.URL+`/2>; rel="next"`)
		answer(w, http.StatusOK, map[string]any{"statuses": []any{}})
	}))
	defer g.Close()
	d := mustNew(t, forge.GitHub, forge.Target{Repository: g.URL + "/acme/shop", Token: secret})
	if _, _, err := d.Latest(t.Context(), knownCommit, "a"); !errors.Is(err, forge.ErrRejected) || asked {
		t.Errorf("other host asked: %t; got %v", asked, err)
	}
}

func TestGitHubsLimitsAreUnderstood(t *testing.T) {
	date := []string{"Wed, 21 Oct 2015 07:28:00 GMT"}
	at := func(d time.Duration) string {
		return strconv.FormatInt(time.Date(2015, 10, 21, 7, 28, 0, 0, time.UTC).Add(d).Unix(), 10)
	}
	cases := map[string]struct {
		reason string
		fault  fault
		want   time.Duration // below 0: no limit
	}{
		"Primary": {"It ends at a time, by GitHub's clock.", fault{code: 403, said: "API rate limit exceeded for user ID 1.", header: http.Header{
			"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {at(17 * time.Minute)}, "Date": date}}, 17 * time.Minute},
		"Primary429": {"It may have either code.", fault{code: 429, header: http.Header{
			"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {at(17 * time.Minute)}, "Date": date}}, 17 * time.Minute},
		"Secondary": {"It says for how long.", fault{code: 403, said: "You have exceeded a secondary rate limit.", header: http.Header{
			"Retry-After": {"90"}, "X-Ratelimit-Remaining": {"4900"}, "X-Ratelimit-Reset": {at(time.Hour)}, "Date": date}}, 90 * time.Second},
		"SecondaryOnly": {"It may say nothing but its name.", fault{code: 403, said: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}, time.Minute},
		"BothHeaders":   {"What is asked for goes before what is computed.", fault{code: 429, header: http.Header{"Retry-After": {"5"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {at(time.Hour)}, "Date": date}}, 5 * time.Second},
		"Forbidden":     {"A 403 of a token that may not is none.", fault{code: 403, said: "Resource not accessible by personal access token", header: http.Header{"X-Ratelimit-Remaining": {"4900"}, "X-Ratelimit-Reset": {at(time.Hour)}}}, -1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitHub(t)
			g.fail(tc.fault)
			err := mustNew(t, forge.GitHub, g.token(secret)).Set(t.Context(), status(knownCommit, forge.Success, ""))
			var limited *forge.RateLimitedError
			switch {
			case tc.want < 0:
				if errors.As(err, &limited) || !errors.Is(err, forge.ErrUnauthorized) {
					t.Errorf("%s\ngot %v", tc.reason, err)
				}
			case !errors.As(err, &limited) || limited.RetryAfter != tc.want:
				t.Errorf("%s\ngot %v, want to wait for %s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestARepositoryThatWasRenamedOnGitHubStillGetsItsStatuses(t *testing.T) {
	g := newGitHub(t)
	target := g.token(secret)
	target.Repository = g.URL + "/acme/store"
	if err := mustNew(t, forge.GitHub, target).Set(t.Context(), status(knownCommit, forge.Success, "")); err != nil {
		t.Fatal(err)
	}
	if len(g.statuses) != 1 {
		t.Errorf("GitHub holds %d statuses, and was asked %v", len(g.statuses), g.asked())
	}
}

func TestARefusalNamesThePermissionThatIsMissing(t *testing.T) {
	g := newGitHub(t)
	g.fail(fault{code: http.StatusForbidden, said: "Resource not accessible by integration"})
	s := status(knownCommit, forge.Success, "")
	for want, target := range map[string]forge.Target{`"Commit statuses: write"`: g.token(secret), `"Checks: write"`: g.asApp(t)} {
		if err := mustNew(t, forge.GitHub, target).Set(t.Context(), s); !errors.Is(err, forge.ErrUnauthorized) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func TestTheAPIOfGitHubIsFound(t *testing.T) {
	cases := map[string]struct{ reason, repository, api, host string }{
		"GitHub":     {"Its API has a host of its own.", "https://github.com/acme/shop.git", "", "api.github.com"},
		"SSH":        {"However it is cloned.", "git@github.com:acme/shop.git", "", "api.github.com"},
		"SSHOver443": {"Also through a firewall.", "ssh://git@ssh.github.com:443/acme/shop.git", "", "api.github.com"},
		"Enterprise": {"A server of one's own has one.", "https://github.example.com:8443/acme/shop", "", "github.example.com:8443"},
		"API":        {"It may be given.", "git@ssh.example.com:acme/shop", "https://github.example.com/api/v3", "github.example.com"},
		"Pages":      {"By the address of its pages, too.", "git@github.com:acme/shop", "https://github.com", "api.github.com"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := forge.New(forge.GitHub, forge.Target{Repository: tc.repository, API: tc.api, Token: secret})
			if err != nil || d.Host != tc.host || d.Repository != "acme/shop" {
				t.Errorf("%s\ngot host %q, repository %q, %v; want %q", tc.reason, d.Host, d.Repository, err, tc.host)
			}
		})
	}
}

func TestATokenThatWasRevokedIsReplaced(t *testing.T) {
	g := newGitHub(t)
	reporter := mustNew(t, forge.GitHub, g.asApp(t))
	s := status(knownCommit, forge.Success, "")
	if err := reporter.Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	g.app.Revoke()
	if _, _, err := reporter.Latest(t.Context(), knownCommit, s.Context); !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("got %v, want it to be known that the token was refused", err)
	}
	if _, found, err := reporter.Latest(t.Context(), knownCommit, s.Context); err != nil || !found {
		t.Errorf("found %t, %v: want another token", found, err)
	}
	g.fail(fault{code: http.StatusForbidden, said: "You have exceeded a secondary rate limit."})
	for range 2 {
		var limited *forge.RateLimitedError
		if err := reporter.Set(t.Context(), s); !errors.As(err, &limited) {
			t.Errorf("got %v", err)
		}
	}
	if got := len(g.app.Requests()); got != 2 {
		t.Errorf("%d tokens were asked for: a limit does not end one", got)
	}
}

func TestAnAppsTokenGoesToItsOwnServerOnly(t *testing.T) {
	g := newGitHub(t)
	target := g.asApp(t)
	target.Repository = "https://github.example.com/acme/shop"
	if _, err := forge.New(forge.GitHub, target); err == nil || !strings.Contains(err.Error(), "must not go") {
		t.Errorf("got %v", err)
	}
	var sent []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	target = g.asApp(t)
	pages := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/repos/") {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		pages.ServeHTTP(w, r)
	})
	err := mustNew(t, forge.GitHub, target).Set(t.Context(), status(knownCommit, forge.Success, ""))
	if !errors.Is(err, forge.ErrRejected) || len(sent) != 0 {
		t.Errorf("got %v; the other host was sent %q", err, sent)
	}
}

func TestAnAppThatGetsNoTokenSaysWhy(t *testing.T) {
	limited := http.Header{"Retry-After": {"7"}}
	cases := map[string]struct {
		reason string
		code   int
		header http.Header
		want   error
	}{
		"Key":     {"Its key is wrong.", 401, nil, forge.ErrUnauthorized},
		"Barred":  {"It is suspended, wherever it asks.", 403, nil, forge.ErrUnauthorized},
		"Gone":    {"It was uninstalled; the repository is still there.", 404, nil, forge.ErrUnauthorized},
		"Limited": {"The host asks for a pause.", 403, limited, &forge.RateLimitedError{RetryAfter: 7 * time.Second}},
		"Fault":   {"It passes.", 502, nil, forge.ErrTemporary},
		"Sent":    {"It leads elsewhere.", 302, nil, forge.ErrRejected},
		"NoToken": {"Somebody else answers.", 200, nil, forge.ErrRejected},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitHub(t)
			g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range tc.header {
					w.Header()[name] = values
				}
				refuse(w, tc.code, "no")
			})
			err := mustNew(t, forge.GitHub, g.asApp(t)).Set(t.Context(), status(knownCommit, forge.Success, ""))
			checkFault(t, tc.reason, err, tc.want)
			if errors.Is(err, forge.ErrNotFound) || errors.Is(err, forge.ErrForbidden) {
				t.Errorf("%s\nit reads as if it were about the commit: %v", tc.reason, err)
			}
		})
	}
}

func TestNoFormatShowsAnApp(t *testing.T) {
	g := newGitHub(t)
	target := g.asApp(t)
	d := mustNew(t, forge.GitHub, target)
	if err := d.Set(t.Context(), status(knownCommit, forge.Success, "")); err != nil {
		t.Fatal(err)
	}
	target.Client = nil // it is at work
	shown := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		shown += fmt.Sprintf(verb+verb+"\n", target, mustNew(t, forge.GitHub, target))
	}
	if strings.Contains(shown, "ghs_") || strings.Contains(shown, "PrivateKey") || strings.Contains(shown, "Precomputed") {
		t.Errorf("a secret is in:\n%s", shown)
	}
}

func TestWithoutACredentialThatFitsGitHubIsNotOpened(t *testing.T) {
	g := newGitHub(t)
	const repository = "https://github.com/acme/shop"
	app := g.asApp(t)
	cases := map[string]struct {
		reason string
		target forge.Target
		says   string
	}{
		"None":     {"Nobody may post without one.", forge.Target{Repository: repository}, "token"},
		"NoTokens": {"There would be a request for a token with each.", forge.Target{Repository: repository, App: app.App}, "its tokens"},
		"User":     {"The token is given apart.", forge.Target{Repository: repository, API: "https://u:" + secret + "@h", Token: secret}, "leave user and password out"},
		"NoHost":   {"It is no address.", forge.Target{Repository: repository, API: "github.com", Token: secret}, "expected something like"},
		"NoOwner":  {"GitHub has owners.", forge.Target{Repository: "https://github.com/shop", Token: secret}, "owner"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := forge.New(forge.GitHub, tc.target); err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s\ngot %v", tc.reason, err)
			}
		})
	}
}
