package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/webhook"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/outbound"
)

const (
	sha   = "0123456789abcdef0123456789abcdef01234567"
	other = "fedcba9876543210fedcba9876543210fedcba98"
)

// source is a GitSource of a repository at a ref.
func source(namespace, name, url string, ref *gitopsv1alpha1.GitRef) *gitopsv1alpha1.GitSource {
	s := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name)}}
	s.Spec.URL, s.Spec.Ref = url, ref
	return s
}

// ref is a reference; the change says to what.
func ref(change func(*gitopsv1alpha1.GitRef)) *gitopsv1alpha1.GitRef {
	r := &gitopsv1alpha1.GitRef{}
	change(r)
	return r
}

// A world is a cluster with GitSources, and a hook to it.
type world struct {
	client.WithWatch
	now     time.Time
	handler http.Handler

	mu sync.Mutex
	// woken are the sources that were looked at since it was last asked, refuse those
	// that cannot be.
	woken  []string
	refuse string
}

// newWorld has a hook whose key is key, and whose token is t0ken.
func newWorld(t *testing.T, sources ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(sources...)
	if err := webhook.AddIndexes(t.Context(), indexer{builder}); err != nil {
		t.Fatal(err)
	}
	w.WithWatch = builder.Build()
	seen, err := webhook.NewDeliveries(func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	repositories := repository.New(w, w, nil, "", outbound.Addresses{})
	h := &webhook.Handler{
		Reader: w, Origin: repositories.Origin, Wake: w.wake, Seen: seen, Log: logr.Discard(),
	}
	w.handler = w.serving(t, h)
	return w
}

func (w *world) serving(t *testing.T, h *webhook.Handler) http.Handler {
	t.Helper()
	return guard.Handler(h.Routes(func(*http.Request) ([]guard.Credential, error) {
		return []guard.Credential{{Token: "t0ken", HMACKey: []byte("key")}}, nil
	}), func() time.Time { return w.now }, logr.Discard())
}

func (w *world) wake(_ context.Context, s *gitopsv1alpha1.GitSource) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Name == w.refuse {
		return errors.New("secret detail")
	}
	w.woken = append(w.woken, s.Namespace+"/"+s.Name)
	return nil
}

// An indexer has a fake client index what the manager's cache would.
type indexer struct{ *fake.ClientBuilder }

func (i indexer) IndexField(_ context.Context, obj client.Object, field string, by client.IndexerFunc) error {
	i.WithIndex(obj, field, by)
	return nil
}

// send sends a body as Gitea does, unless headers say otherwise.
func (w *world) send(path, body string, headers ...string) *httptest.ResponseRecorder {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(body))
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Gitea-Event", "push")
	r.Header.Set("X-Gitea-Signature", fmt.Sprintf("%x", mac.Sum(nil)))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder
}

// sorted is a list in order; none is none.
func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// push is the body of a push to acme/shop.
func push(ref string) string {
	return `{"ref":"` + ref + `","after":"` + other + `","repository":{"id":1,"clone_url":"https://git.example.com/acme/shop.git","ssh_url":"ssh://git@ssh.example.com:2222/acme/shop.git","html_url":"https://git.example.com/acme/shop"}}`
}

func TestAPushWakesTheSourcesThatItConcerns(t *testing.T) {
	const http, ssh = "https://git.example.com/acme/shop", "ssh://git@git.example.com:22/acme/shop.git"
	suspended := source("shop", "suspended", http, nil)
	suspended.Spec.Suspend = true
	observed := source("shop", "observed", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Commit = sha }))
	observed.Status.ObservedRevision = "sha1:" + sha
	borrowed := source("shop", "borrowed", "", nil)
	borrowed.Spec.SourceRef = &gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.GitRepositoryKind, Name: "gone"}
	borrowed.Status.URL = http
	w := newWorld(t,
		source("shop", "head", http, nil),
		source("shop", "main", ssh, ref(func(r *gitopsv1alpha1.GitRef) { r.Branch = "main" })),
		source("shop", "next", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Branch = "next" })),
		source("shop", "tag", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Tag = "v1" })),
		source("shop", "semver", http, ref(func(r *gitopsv1alpha1.GitRef) { r.SemVer = ">=1"; r.Branch = "main" })),
		source("shop", "name", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Name = "refs/heads/main" })),
		source("shop", "pull", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Name = "refs/pull/7/head" })),
		source("shop", "missing", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Commit = sha })),
		source("shop", "by-ssh-host", "git@ssh.example.com:acme/shop.git", nil),
		source("shop", "elsewhere", "https://git.example.com/acme/shops", nil),
		source("shop", "local", "file:///srv/acme/shop.git", nil),
		source("other", "main", http, ref(func(r *gitopsv1alpha1.GitRef) { r.Branch = "main" })),
		suspended, observed, borrowed,
	)
	always := []string{"shop/borrowed", "shop/missing"}
	cases := map[string]struct {
		reason, path, body string
		want               []string
	}{
		"Branch":    {"The branch, the name of it, and what may be HEAD.", "/hooks/git/shop", push("refs/heads/main"), []string{"shop/by-ssh-host", "shop/head", "shop/main", "shop/name"}},
		"Everyones": {"Keptn's own hook is for all namespaces.", "/hooks/git", push("refs/heads/main"), []string{"other/main", "shop/by-ssh-host", "shop/head", "shop/main", "shop/name"}},
		"Namespace": {"One team's hook wakes nothing of another's.", "/hooks/git/other", push("refs/heads/main"), []string{"other/main"}},
		"Other":     {"HEAD may be any branch.", "/hooks/git/shop", push("refs/heads/feature"), []string{"shop/by-ssh-host", "shop/head"}},
		"Tag":       {"The tag, and any range of tags.", "/hooks/git/shop", push("refs/tags/v1"), []string{"shop/semver", "shop/tag"}},
		"OtherTag":  {"A range may have any tag.", "/hooks/git/shop", push("refs/tags/main"), []string{"shop/semver"}},
		"Notes":     {"Keptn's own notes are of nobody.", "/hooks/git/shop", push("refs/notes/keptn"), nil},
		"Nobody":    {"There is no such namespace.", "/hooks/git/nobody", push("refs/heads/main"), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w.woken = nil
			got := w.send(tc.path, tc.body)
			want := tc.want
			if strings.HasPrefix(tc.path, "/hooks/git/shop") || tc.path == "/hooks/git" {
				want = append(want, always...)
			}
			var outcome webhook.Outcome
			if err := json.Unmarshal(got.Body.Bytes(), &outcome); err != nil {
				t.Fatalf("%v: %s", err, got.Body)
			}
			if diff := cmp.Diff(sorted(want), outcome.Woken); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(sorted(want), sorted(w.woken)); diff != "" {
				t.Errorf("it says otherwise than it does (-want +got):\n%s", diff)
			}
			if code := map[bool]int{true: 202, false: 200}[len(want) > 0]; got.Code != code {
				t.Errorf("it is answered %d %s", got.Code, got.Body)
			}
		})
	}
}

func TestAHookIsAnsweredAsForgesExpect(t *testing.T) {
	const path = "/hooks/git/shop"
	main := push("refs/heads/main")
	cases := map[string]struct {
		reason, path, body string
		headers            []string
		code               int
		text               string
		woken              int
	}{
		"Push": {"A source is woken.", path, main, nil, 202, `{"event":"push","repository":"git.example.com/acme/shop, ssh.example.com/acme/shop","woken":["shop/prod"]}`, 1},
		"GitLab": {"Its token is shown in plain.", path, `{"object_kind":"push","ref":"refs/heads/main","project":{"git_http_url":"https://git.example.com/acme/shop.git"}}`,
			[]string{"X-Gitea-Event", "", "X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "t0ken"}, 202, `"woken":["shop/prod"]`, 1},
		"Azure": {"It is asked for a password.", path, `{"eventType":"git.push","resource":{"refUpdates":[],"repository":{"remoteUrl":"https://git.example.com/acme/shop"}}}`,
			[]string{"X-Gitea-Event", "", "Authorization", "Basic OnQwa2Vu"}, 202, `"event":"git.push"`, 1},
		"Elsewhere":   {"No source has the repository; a 4xx would end the hook.", path, strings.ReplaceAll(main, "acme", "other"), nil, 200, `"ignored":"no GitSource has this repository"`, 0},
		"OtherRef":    {"No source watches it.", path, push("refs/heads/next"), nil, 200, `"ignored":"no GitSource of this repository watches what has changed"`, 0},
		"OtherEvent":  {"Who chose all events did no wrong.", path, `{}`, []string{"X-Gitea-Event", "issues"}, 200, `{"event":"issues","ignored":"only pushes and pull requests count"}`, 0},
		"Ping":        {"A new hook is tried.", path, `{}`, []string{"X-Gitea-Event", "", "X-GitHub-Event", "ping", "Authorization", "Bearer t0ken"}, 200, `{"event":"ping","ignored":"the hook works"}`, 0},
		"Broken":      {"The reason is said to who may send.", path, `{`, nil, 400, "malformed: push of gitea: the body is no JSON: unexpected end of JSON input\n", 0},
		"Incomplete":  {"So is it here.", path, `{"repository":{"clone_url":"https://git.example.com/acme/shop"}}`, nil, 400, `malformed: push of gitea: ref: "" is not the full name of a ref, as refs/heads/main` + "\n", 0},
		"Unsigned":    {"Anyone could keep us fetching.", path, main, []string{"X-Gitea-Signature", ""}, 401, "unauthorized: give the forge's hook the hmac-key", 0},
		"OtherKey":    {"So could who guesses.", path, main, []string{"X-Gitea-Signature", strings.Repeat("0", 64)}, 401, "unauthorized: ", 0},
		"SignedTwice": {"The forge's own header counts.", path, main, []string{"X-Gitea-Signature", strings.Repeat("0", 64), "Authorization", "Bearer t0ken"}, 401, "unauthorized: ", 0},
		"Large":       {"A body is bounded.", path, strings.Repeat(" ", 3<<20+1), nil, 413, "the body has more than 3145728 bytes\n", 0},
		"Form":        {"GitHub can send a form, of which Gitea signs another part.", path, main, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "Content-Type has to be application/json\n", 0},
		"NoRoute":     {"A namespace has no more parts.", path + "/prod", main, nil, 404, "", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, source("shop", "prod", "https://git.example.com/acme/shop", ref(func(r *gitopsv1alpha1.GitRef) { r.Branch = "main" })))
			got := w.send(tc.path, tc.body, tc.headers...)
			if got.Code != tc.code || !strings.Contains(got.Body.String(), tc.text) || len(w.woken) != tc.woken {
				t.Errorf("%s\ngot %d %s, woken %v", tc.reason, got.Code, got.Body, w.woken)
			}
		})
	}
}

func TestWhereSourcesCannotBeListedTheForgeIsToTryAgain(t *testing.T) {
	w := newWorld(t)
	broken := interceptor.NewClient(w.WithWatch, interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("the cache is broken")
		},
	})
	seen, err := webhook.NewDeliveries(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.handler = w.serving(t, &webhook.Handler{Reader: broken, Seen: seen, Log: logr.Discard()})
	if got := w.send("/hooks/git", push("refs/heads/main")); got.Code != 503 || strings.Contains(got.Body.String(), "broken") {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
}

func TestAPullRequestWakesWhoLooksAtThoseOfItsBaseAndWhoWatchesItsHead(t *testing.T) {
	const body = `{"action":"opened","number":7,"pull_request":{"head":{"ref":"limit","sha":"` + sha + `"},"base":{"ref":"main"}},
"repository":{"id":1,"clone_url":"https://git.example.com/acme/shop.git"}}`
	looking := func(name, url string, ref *gitopsv1alpha1.GitRef) *gitopsv1alpha1.GitSource {
		s := source("shop", name, url, ref)
		s.Spec.PullRequests = &gitopsv1alpha1.PullRequests{}
		return s
	}
	branch := func(name string) *gitopsv1alpha1.GitRef {
		return ref(func(r *gitopsv1alpha1.GitRef) { r.Branch = name })
	}
	suspended := looking("suspended", "https://git.example.com/acme/shop", nil)
	suspended.Spec.Suspend = true
	w := newWorld(t,
		looking("default", "https://git.example.com/acme/shop", nil),
		looking("main", "https://git.example.com/acme/shop", branch("main")),
		looking("next", "https://git.example.com/acme/shop", branch("next")),
		looking("tag", "https://git.example.com/acme/shop", ref(func(r *gitopsv1alpha1.GitRef) { r.Tag = "main" })),
		looking("commit", "https://git.example.com/acme/shop", ref(func(r *gitopsv1alpha1.GitRef) { r.Commit = sha })),
		looking("elsewhere", "https://git.example.com/acme/other", nil),
		suspended,
		source("shop", "not-looking", "https://git.example.com/acme/shop", nil),
		source("shop", "pull", "https://git.example.com/acme/shop", ref(func(r *gitopsv1alpha1.GitRef) { r.Name = "refs/pull/7/head" })),
		source("shop", "other-pull", "https://git.example.com/acme/shop", ref(func(r *gitopsv1alpha1.GitRef) { r.Name = "refs/pull/8/head" })),
	)
	got := w.send("/hooks/git/shop", body, "X-Gitea-Event", "pull_request")
	if got.Code != 202 || !strings.Contains(got.Body.String(), `"woken":["shop/default","shop/main","shop/pull"]`) {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	if diff := cmp.Diff([]string{"shop/default", "shop/main", "shop/pull"}, sorted(w.woken)); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	got = w.send("/hooks/git/shop", strings.NewReplacer(`"number":7`, `"number":9`, `"ref":"main"`, `"ref":"old"`).Replace(body), "X-Gitea-Event", "pull_request", "X-Gitea-Delivery", "2")
	if !strings.Contains(got.Body.String(), `"woken":["shop/default"]`) { // which may watch any branch
		t.Errorf("got %d %s", got.Code, got.Body)
	}
}

func TestASourceThatBorrowsItsRefIsWokenForThatRef(t *testing.T) {
	borrowed := source("shop", "borrowed", "", nil)
	borrowed.Spec.SourceRef = &gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.GitRepositoryKind, Name: "shop"}
	borrowed.Status.URL = "https://git.example.com/acme/shop"
	w := newWorld(t, borrowed)
	seen, err := webhook.NewDeliveries(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	lent := func(context.Context, *gitopsv1alpha1.GitSource) (repository.Origin, error) {
		return repository.Origin{Refs: []gitsource.Ref{{Branch: "v1"}, {Tag: "v1"}}}, nil
	}
	w.handler = w.serving(t, &webhook.Handler{Reader: w, Origin: lent, Wake: w.wake, Seen: seen, Log: logr.Discard()})
	for name, want := range map[string]int{"refs/heads/v1": 202, "refs/tags/v1": 202, "refs/heads/main": 200} {
		if got := w.send("/hooks/git", push(name)); got.Code != want {
			t.Errorf("a push to %s is answered %d %s", name, got.Code, got.Body)
		}
	}
}

func TestAForgeThatSendsTooMuchIsToSendItAgain(t *testing.T) {
	w := newWorld(t)
	for range 500 {
		if got := w.send("/hooks/git", push("refs/heads/main")); got.Code != 200 {
			t.Fatalf("one of a burst is answered %d", got.Code)
		}
	}
	if got := w.send("/hooks/git", push("refs/heads/main")); got.Code != 503 || got.Header().Get("Retry-After") != "1" {
		t.Errorf("one too many is answered %d, Retry-After %q", got.Code, got.Header().Get("Retry-After"))
	}
}
