package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// gitea holds to Gitea's API (https://docs.gitea.com/api) as far as commit
// statuses go: it answers 201 to a new status, and 404 on reading and 500 on
// writing where it does not have the commit.
type gitea struct {
	token string

	mu       sync.Mutex
	statuses []giteaStatus
	giteaReviews
	fault http.HandlerFunc
	knows func(commit string) bool
}

// giteaStatus is what was posted.
type giteaStatus struct {
	Commit      string    `json:"-"`
	State       string    `json:"status"`
	Sent        string    `json:"state,omitempty"`
	Context     string    `json:"context"`
	Description string    `json:"description"`
	Created     time.Time `json:"created_at"`
}

// newGitea serves the API of the world's repository, which is acme/shop there.
func newGitea(w *world) (g *gitea, url string) {
	GinkgoHelper()
	g = &gitea{token: "t0ken", knows: func(commit string) bool {
		return strings.Contains(w.repo.Git("rev-list", "--all"), commit)
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/repos/acme/shop/statuses/{sha}", g.create)
	mux.HandleFunc("GET /api/v1/repos/acme/shop/commits/{ref}/status", g.combined)
	g.servePulls(mux)
	return g, serve(g.guard(mux))
}

// answer has every request answered so; nil heals it.
func (g *gitea) answer(with http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = with
}

func (g *gitea) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		fault, token := g.fault, g.token
		g.mu.Unlock()
		switch {
		case fault != nil:
			fault(w, r)
		case r.Header.Get("Authorization") != "token "+token:
			http.Error(w, `{"message":"invalid username, password or token"}`, http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *gitea) create(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := giteaStatus{Commit: r.PathValue("sha"), Created: time.Now().UTC().Truncate(time.Second)}
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil || !g.knows(s.Commit) {
		http.Error(w, `{"message":""}`, http.StatusInternalServerError)
		return
	}
	s.State, s.Sent = s.Sent, ""
	g.statuses = append(g.statuses, s)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(s)
}

func (g *gitea) combined(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.knows(r.PathValue("ref")) {
		http.Error(w, `{"message":"object does not exist"}`, http.StatusNotFound)
		return
	}
	newest := []giteaStatus{}
	seen := map[string]bool{}
	for i := len(g.statuses) - 1; i >= 0 && r.FormValue("page") == "1"; i-- {
		if s := g.statuses[i]; s.Commit == r.PathValue("ref") && !seen[s.Context] {
			seen[s.Context] = true
			newest = append(newest, s)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"statuses": newest})
}

// posted returns what was posted to a commit, in order, each written as
// <context> <state>: <description>, without keptn/production/.
func (g *gitea) posted(commit string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	lines := []string{}
	for _, s := range g.statuses {
		if s.Commit == commit {
			lines = append(lines, fmt.Sprintf("%s %s: %s", strings.TrimPrefix(s.Context, "keptn/production/"), s.State, s.Description))
		}
	}
	return lines
}

// onGitea has the world's repository on a Gitea, and the source report to it.
func (w *world) onGitea(ctx context.Context) (*gitea, func(*gitopsv1alpha1.GitSource)) {
	GinkgoHelper()
	w.repo = w.git.Create(GinkgoTB(), "acme/shop")
	g, url := newGitea(w)
	Expect(kube.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "forge"},
		StringData: map[string]string{"token": g.token},
	})).To(Succeed())
	return g, func(s *gitopsv1alpha1.GitSource) {
		s.Spec.Provider = gitopsv1alpha1.GiteaProvider
		s.Spec.Statuses = &gitopsv1alpha1.Statuses{APIURL: url, SecretRef: &meta.LocalObjectReference{Name: "forge"}}
	}
}

// status answers with an HTTP status as Gitea does.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, `{"message":"told to fail with `+strconv.Itoa(code)+`"}`, code)
	}
}

// reset drops the connection.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

var _ = Describe("A forge that does not take statuses", Ordered, ContinueOnFailure, func() {
	BeforeAll(func() { runController(GinkgoT().TempDir()) })

	DescribeTable("delays no rollout, and learns everything once it answers, each thing once", func(ctx context.Context, fault http.HandlerFunc, says string) {
		w := newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
		g, onGitea := w.onGitea(ctx)
		g.answer(fault)
		commit := w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		source := w.source(ctx, onGitea)
		Eventually(state(ctx, source, gitopsv1alpha1.ReportedCondition)).Should(And(HavePrefix("False ForgeFailed: "), ContainSubstring(says)))
		Eventually(w.events(ctx, "shop")).Should(ContainElement(And(HavePrefix("Warning ForgeFailed: "), ContainSubstring(says))))
		Expect(state(ctx, source, meta.ReadyCondition)()).To(HavePrefix("True "))

		w.deploy(ctx, deployment)
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(HavePrefix("True Succeeded: " + commit[:7]))
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.ReportedCondition)).Should(And(HavePrefix("False ForgeFailed: "), ContainSubstring(says)))

		g.answer(nil)
		Eventually(func() []string { return g.posted(commit) }).Should(ConsistOf(
			"validate success: valid: checkout",
			"checkout/deployment success: 1 pod runs "+commit[:7],
			HavePrefix("checkout/post-deployment success: error-ratio 0.1% < 1%"),
		))
		Eventually(state(ctx, source, gitopsv1alpha1.ReportedCondition)).Should(Equal("True Reported: commits show all that is known"))
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.ReportedCondition)).Should(Equal("True Reported: commits show all that is known"))
		Expect(g.posted(commit)).To(HaveLen(3))
	},
		Entry("401", status(http.StatusUnauthorized), "not allowed: check that the token is valid and may write commit statuses"),
		Entry("404", status(http.StatusNotFound), "repository or commit not found: check the URL"),
		Entry("409", status(http.StatusConflict), "refused (HTTP 409 Conflict"),
		Entry("422", status(http.StatusUnprocessableEntity), "refused (HTTP 422 Unprocessable Entity"),
		Entry("429", status(http.StatusTooManyRequests, "Retry-After", "1"), "rate limited for 1s"),
		Entry("502", status(http.StatusBadGateway), "the forge failed or could not be reached (HTTP 502 Bad Gateway"),
		Entry("a connection that is cut", http.HandlerFunc(reset), "the forge failed or could not be reached"),
	)

	It("is asked for its token where there is none, and learns everything once it is there", func(ctx context.Context) {
		w := newWorld(ctx)
		g, onGitea := w.onGitea(ctx)
		commit := w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		source := w.source(ctx, onGitea, func(s *gitopsv1alpha1.GitSource) { s.Spec.Statuses.SecretRef.Name = "later" })
		Eventually(state(ctx, source, gitopsv1alpha1.ReportedCondition)).Should(And(HavePrefix("False NoCredentials: "), ContainSubstring(`no Secret "later"`)))
		Eventually(w.events(ctx, "shop")).Should(ContainElement(HavePrefix("Warning NoCredentials: ")))
		Expect(kube.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later"},
			StringData: map[string]string{"token": g.token},
		})).To(Succeed())
		w.look(ctx, source)
		Eventually(func() []string { return g.posted(commit) }).Should(ContainElement("validate success: valid: checkout"))
	})
})

// said returns the newest status of each context of a commit.
func (g *gitea) said(commit string) map[string]string {
	said := map[string]string{}
	for _, line := range g.posted(commit) {
		context, text, _ := strings.Cut(line, " ")
		said[context] = text
	}
	return said
}
