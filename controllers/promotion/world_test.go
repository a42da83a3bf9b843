package promotion_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/promotion"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/outbound"
)

const (
	token    = "f0rge-t0ken"
	password = "g1t-passw0rd"

	deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: checkout}\nspec:\n  template:\n    spec:\n      containers:\n      - {name: app, image: checkout}\n"
	staging    = "resources: [../../base]\nimages:\n- name: checkout\n  newName: ghcr.io/acme/checkout\n  newTag: v2\n"
	production = "resources: [../../base]\nimages: # what is live\n- name: checkout\n  newName: ghcr.io/acme/checkout\n  newTag: v1 # by keptn\n"

	file   = "apps/production/checkout/kustomization.yaml"
	branch = "keptn/promote/staging/checkout"
)

// gitea holds to Gitea's API as far as pull requests go, of any repository.
type gitea struct {
	*httptest.Server

	mu    sync.Mutex
	pulls []map[string]any
	fault http.HandlerFunc
	asked int
}

func newGitea(t *testing.T) *gitea {
	g := &gitea{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/repos/{owner}/{repo}/pulls", func(w http.ResponseWriter, r *http.Request) {
		all := []map[string]any{}
		if r.FormValue("page") == "1" {
			all = append(all, g.pulls...)
		}
		_ = json.NewEncoder(w).Encode(all)
	})
	mux.HandleFunc("POST /api/v1/repos/{owner}/{repo}/pulls", func(w http.ResponseWriter, r *http.Request) {
		pull := map[string]any{}
		_ = json.NewDecoder(r.Body).Decode(&pull)
		pull["repository"] = r.PathValue("owner") + "/" + r.PathValue("repo")
		for _, end := range []string{"head", "base"} {
			pull[end] = map[string]any{"ref": pull[end], "repo_id": 1}
		}
		pull["number"] = len(g.pulls) + 1
		pull["html_url"] = fmt.Sprintf("https://git.example.com/pulls/%d", len(g.pulls)+1)
		g.pulls = append(g.pulls, pull)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(pull)
	})
	mux.HandleFunc("PATCH /api/v1/repos/{owner}/{repo}/pulls/{number}", func(w http.ResponseWriter, r *http.Request) {
		pull := g.pulls[0]
		_ = json.NewDecoder(r.Body).Decode(&pull)
		_ = json.NewEncoder(w).Encode(pull)
	})
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.asked++
		switch {
		case g.fault != nil:
			g.fault(w, r)
		case r.Header.Get("Authorization") != "token "+token:
			http.Error(w, `{"message":"who is `+r.Header.Get("Authorization")+`?"}`, http.StatusUnauthorized)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// world is a repository with two stages, on a Gitea, and a delivery to the first.
type world struct {
	git    *gittest.Server
	repo   *gittest.Repo
	gitea  *gitea
	source *gitopsv1alpha1.GitSource
	lc     *gitopsv1alpha1.Lifecycle
	kav    *lifecyclev1.KeptnAppVersion
	// others are further objects of the cluster.
	others []client.Object
	// untraced: no traces are exported.
	untraced bool
}

func newWorld(t *testing.T) *world {
	w := &world{git: gittest.New(t), gitea: newGitea(t)}
	w.git.RequirePassword("git", password)
	w.repo = w.git.Create(t, "acme/shop")
	commit := w.repo.Commit("main", "Deliver v2", map[string]string{
		"apps/base/deployment.yaml":                deployment,
		"apps/base/kustomization.yaml":             "resources: [deployment.yaml]\n",
		"apps/staging/checkout/kustomization.yaml": strings.ReplaceAll(staging, "../../base", "../../base"),
		"apps/staging/checkout/config.env":         "A=2\n",
		"apps/staging/checkout/lifecycle.yaml":     "# read by nobody here\n",
		file:                                       production,
	})
	w.source = &gitopsv1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "staging"},
		Spec: gitopsv1alpha1.GitSourceSpec{
			URL: w.repo.URL, Environment: "staging", Provider: gitopsv1alpha1.GiteaProvider,
			SecretRef: &meta.LocalObjectReference{Name: "git"},
			Statuses:  &gitopsv1alpha1.Statuses{APIURL: w.gitea.URL, SecretRef: &meta.LocalObjectReference{Name: "forge"}},
		},
		Status: gitopsv1alpha1.GitSourceStatus{ObservedRevision: "main@sha1:" + commit},
	}
	w.lc = &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "staging-checkout", UID: "lifecycle",
		Labels: map[string]string{gitopsv1alpha1.SourceLabel: "staging"},
		Annotations: map[string]string{
			gitopsv1alpha1.PathAnnotation: "apps/staging/checkout",
			gitopsv1alpha1.FileAnnotation: "apps/staging/checkout/lifecycle.yaml",
		},
	}}
	began := metav1.NewTime(time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC))
	w.kav = &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1", UID: "5c1a53c2-0d3e-4a3b-a9a0-0123456789ab"},
		Spec: lifecyclev1.KeptnAppVersionSpec{
			AppName: "checkout", Version: commit[:7], Environment: "staging",
			Lifecycle: &lifecyclev1.LifecycleRef{Namespace: "shop", Name: "staging-checkout"},
			Commit:    &lifecyclev1.Commit{SHA: commit, Repository: w.repo.URL},
			PullRequest: &gitopsv1alpha1.PullRequest{
				Images: []gitopsv1alpha1.PromotedImage{{Name: "ghcr.io/acme/checkout", File: file}},
			},
		},
	}
	w.kav.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(w.lc, gitopsv1alpha1.GroupVersion.WithKind(gitopsv1alpha1.LifecycleKind))}
	w.kav.Status.Phases = []lifecyclev1.PhaseRecord{{Name: lifecyclev1.PhasePromotion, State: lifecyclev1.StateProgressing, StartTime: &began}}
	w.kav.Status.PostDeploymentEvaluationTaskStatus = []lifecyclev1.ItemStatus{{DefinitionName: "checkout-slo", Status: lifecyclev1.StateSucceeded}}
	w.secret("git", map[string]string{"username": "git", "password": password})
	w.secret("forge", map[string]string{"token": token})
	return w
}

func (w *world) secret(name string, data map[string]string) {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	w.others = append(w.others, s)
}

// promoter promotes in a cluster with the world's objects.
func (w *world) promoter(t *testing.T) *promotion.Promoter {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme, sourcev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	store, err := gitsource.NewStore(t.TempDir(), gitsource.AllowPlainHTTPCredentials(), gitsource.AllowLocalRepositories())
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append([]client.Object{w.source, w.lc}, w.others...)...).Build()
	return &promotion.Promoter{Client: c, Repositories: repository.New(c, c, store, "east", outbound.Anywhere()), Traced: !w.untraced}
}

func (w *world) promote(t *testing.T) promotion.Result {
	t.Helper()
	result, err := w.promoter(t).Promote(t.Context(), w.kav)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// next is another repository on the same server, for the next stage alone.
func (w *world) next(t *testing.T) *gittest.Repo {
	repo := w.git.Create(t, "acme/live")
	repo.Commit("main", "Live", map[string]string{file: production, "README": "live"})
	w.kav.Spec.PullRequest.Repository = repo.URL
	return repo
}

// secretToken gives a Secret a token that is wrong.
func (w *world) secretToken(name string) {
	for _, o := range w.others {
		if s, is := o.(*corev1.Secret); is && s.Name == name {
			s.Data["token"] = []byte(token + "-of-yesterday")
		}
	}
}

// refusePushes has a hook decline every push.
func (w *world) refusePushes(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.repo.Dir, "hooks", "pre-receive"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
