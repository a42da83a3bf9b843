package forge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

const knownCommit = "1111111111111111111111111111111111111111"

// fakeGitea holds to Gitea 1.26's API as far as statuses and pull requests go, with what is not
// written in its documentation: an unknown commit is a 500 without a message on
// writing and a 404 on reading, a renamed repository a 301 also for a POST, no
// page has more than pageLimit statuses whatever is asked for, and the last
// page is followed by empty ones.
type fakeGitea struct {
	*httptest.Server
	pageLimit int

	mu       sync.Mutex
	statuses []giteaStatus
	pulls    []*giteaPull
	requests []string
	broken   *fault
}

type giteaStatus struct {
	ID          int       `json:"id"`
	State       string    `json:"status"`
	Context     string    `json:"context"`
	Description string    `json:"description"`
	TargetURL   string    `json:"target_url"`
	Created     time.Time `json:"created_at"`
}

func newGitea(t *testing.T) *fakeGitea {
	g := &fakeGitea{pageLimit: 50}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/repos/acme/shop/statuses/{sha}", g.create)
	mux.HandleFunc("GET /api/v1/repos/acme/shop/commits/{ref}/status", g.combined)
	g.servePulls(mux)
	mux.HandleFunc("/api/v1/repos/acme/store/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(r.URL.String(), "/store/", "/shop/", 1), http.StatusMovedPermanently)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "not found") })
	g.Server = httptest.NewServer(g.guard(mux))
	t.Cleanup(g.Close)
	return g
}

// open returns the reporter of acme/shop.
func (g *fakeGitea) open(t *testing.T, token forge.Token) forge.Reporter {
	return mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: token})
}

func mustNew(t *testing.T, provider string, target forge.Target) forge.Destination {
	t.Helper()
	d, err := forge.New(provider, target)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fail makes every following request meet a fault.
func (g *fakeGitea) fail(f fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = &f
}

// guard counts requests, lets them meet the fault, and asks for the token.
func (g *fakeGitea) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.requests = append(g.requests, r.Method+" "+r.URL.EscapedPath())
		broken := g.broken
		g.mu.Unlock()
		switch {
		case broken != nil && broken.cut:
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"id":`))
			panic(http.ErrAbortHandler)
		case broken != nil && broken.hang:
			<-r.Context().Done()
		case broken != nil:
			for k, v := range broken.header {
				w.Header()[k] = v
			}
			refuse(w, broken.code, "no, "+r.Header.Get("Authorization")+"\n"+strings.Repeat("because ", 500))
		case r.Header.Get("Authorization") != "token "+secret:
			refuse(w, http.StatusUnauthorized, "invalid username, password or token")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *fakeGitea) create(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("sha") != knownCommit {
		refuse(w, http.StatusInternalServerError, "")
		return
	}
	var option struct {
		State       string `json:"state"`
		Context     string `json:"context"`
		Description string `json:"description"`
		TargetURL   string `json:"target_url"`
	}
	if err := json.NewDecoder(r.Body).Decode(&option); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := giteaStatus{
		ID:          len(g.statuses) + 1,
		State:       option.State,
		Context:     strings.TrimSpace(option.Context),
		Description: strings.TrimSpace(option.Description),
		TargetURL:   strings.TrimSpace(option.TargetURL),
		Created:     time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
	}
	g.statuses = append(g.statuses, s)
	answer(w, http.StatusCreated, s)
}

func (g *fakeGitea) combined(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("ref") != knownCommit {
		refuse(w, http.StatusNotFound, "object does not exist [id: "+r.PathValue("ref")+"]")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := map[string]bool{}
	var newest []giteaStatus
	for i := len(g.statuses) - 1; i >= 0; i-- {
		if s := g.statuses[i]; !seen[s.Context] {
			seen[s.Context] = true
			newest = append(newest, s)
		}
	}
	page, _ := strconv.Atoi(r.FormValue("page"))
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	limit = min(limit, g.pageLimit)
	from := min((page-1)*limit, len(newest))
	of := newest[from:min(from+limit, len(newest))]
	answer(w, http.StatusOK, map[string]any{"sha": r.PathValue("ref"), "total_count": len(of), "statuses": of})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]string{"message": message, "url": "https://gitea.example.com/api/swagger"})
}

func TestGiteaIsToldOfAWarningWithoutBlockingTheMerge(t *testing.T) {
	g := newGitea(t)
	if err := g.open(t, secret).Set(t.Context(), status(knownCommit, forge.Warning, "close to the limit")); err != nil {
		t.Fatal(err)
	}
	if got := g.statuses[0]; got.State != "success" || got.Description != "Warning: close to the limit" {
		t.Errorf("Gitea counts its own state warning as failed; it got %q %q", got.State, got.Description)
	}
}

func TestGiteaIsToldTheOtherStatesByTheirNames(t *testing.T) {
	g := newGitea(t)
	reporter := g.open(t, secret)
	for _, state := range []forge.State{forge.Pending, forge.Success, forge.Failure, forge.Error} {
		if err := reporter.Set(t.Context(), status(knownCommit, state, "")); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, s := range g.statuses {
		got = append(got, s.State)
	}
	if diff := cmp.Diff([]string{"pending", "success", "failure", "error"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGiteaStatusesAreFoundOnAnyPage(t *testing.T) {
	g := newGitea(t)
	g.pageLimit = 7 // a server may allow fewer than asked for
	reporter := g.open(t, secret)
	for i := range 60 {
		s := status(knownCommit, forge.Success, strconv.Itoa(i))
		s.Context = fmt.Sprintf("keptn/prod/app-%d/deployment", i)
		if err := reporter.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 33, 59} {
		s, found, err := reporter.Latest(t.Context(), knownCommit, fmt.Sprintf("keptn/prod/app-%d/deployment", i))
		if err != nil || !found || s.Description != strconv.Itoa(i) {
			t.Errorf("app %d: got %+v, found %t, %v", i, s, found, err)
		}
	}
	if _, found, err := reporter.Latest(t.Context(), knownCommit, "keptn/prod/none"); err != nil || found {
		t.Errorf("found %t, %v", found, err)
	}
}

func TestARenamedRepositoryStillGetsItsStatuses(t *testing.T) {
	g := newGitea(t)
	moved := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/store", Token: secret})
	if err := moved.Set(t.Context(), status(knownCommit, forge.Success, "")); err != nil {
		t.Fatal(err)
	}
	if len(g.statuses) != 1 {
		t.Errorf("the forge holds %d statuses, want 1; it was asked: %v", len(g.statuses), g.requests)
	}
}

func TestTheTokenIsNotSentToAnotherHost(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	g := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer g.Close()
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop", Token: secret})
	err := d.Set(t.Context(), status(knownCommit, forge.Success, ""))
	if !errors.Is(err, forge.ErrRejected) || !strings.Contains(err.Error(), other.URL) || asked {
		t.Errorf("other host asked: %t; got %v, want a refusal that names %s", asked, err, other.URL)
	}
}

func TestTheTokenIsNotSentInTheClearAfterHTTPS(t *testing.T) {
	var g *httptest.Server
	g = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", strings.Replace(g.URL, "https", "http", 1))
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	defer g.Close()
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop", Token: secret, Client: g.Client()})
	err := d.Set(t.Context(), status(knownCommit, forge.Success, ""))
	if !errors.Is(err, forge.ErrRejected) || !strings.Contains(err.Error(), "redirected from https://") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestAForgeThatRedirectsForeverIsRejected(t *testing.T) {
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}))
	defer g.Close()
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop", Token: secret})
	if err := d.Set(t.Context(), status(knownCommit, forge.Success, "")); !errors.Is(err, forge.ErrRejected) {
		t.Errorf("got %v, want ErrRejected", err)
	}
}

func TestAnAnswerThatIsNoAPIIsNotTakenForSuccess(t *testing.T) {
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>Please sign in</html>"))
	}))
	defer g.Close()
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop", Token: secret})
	if err := d.Set(t.Context(), status(knownCommit, forge.Success, "")); !errors.Is(err, forge.ErrRejected) {
		t.Errorf("got %v, want ErrRejected", err)
	}
}

func TestGiteaWithoutStatusesMayAnswerNothing(t *testing.T) {
	g := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer g.Close()
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop", Token: secret})
	if _, found, err := d.Latest(t.Context(), knownCommit, "keptn/prod/validate"); err != nil || found {
		t.Errorf("older servers answer with an empty body: found %t, %v", found, err)
	}
}

func TestAPauseThatTheForgeAsksForIsUnderstood(t *testing.T) {
	cases := map[string]struct {
		reason string
		header http.Header
		want   time.Duration
	}{
		"Seconds": {"The usual form.", http.Header{"Retry-After": {"120"}}, 2 * time.Minute},
		"Date": {"It counts from the answer's date, so that clocks need not agree.", http.Header{
			"Retry-After": {"Wed, 21 Oct 2015 07:28:30 GMT"}, "Date": {"Wed, 21 Oct 2015 07:28:00 GMT"}}, 30 * time.Second},
		"Past":    {"A moment that is over is no pause.", http.Header{"Retry-After": {"Wed, 21 Oct 2015 07:28:30 GMT"}}, 0},
		"Absent":  {"GitHub asks for at least a minute then.", nil, time.Minute},
		"Garbage": {"It meant some pause.", http.Header{"Retry-After": {"soon"}}, time.Minute},
		"Endless": {"No limit is longer than an hour.", http.Header{"Retry-After": {"99999999999"}}, time.Hour},
		"Below":   {"Nothing is sent into the past.", http.Header{"Retry-After": {"-5"}}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitea(t)
			g.fail(fault{code: http.StatusTooManyRequests, header: tc.header})
			err := g.open(t, secret).Set(t.Context(), status(knownCommit, forge.Success, ""))
			var limited *forge.RateLimitedError
			if !errors.As(err, &limited) || limited.RetryAfter != tc.want {
				t.Errorf("%s\ngot %v, want to wait for %s", tc.reason, err, tc.want)
			}
		})
	}
}
