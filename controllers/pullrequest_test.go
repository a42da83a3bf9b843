package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// giteaReviews are the pull requests of a Gitea, and their comments.
type giteaReviews struct {
	pulls    []giteaPull
	comments []*giteaComment
}

type giteaPull struct {
	Number int64      `json:"number"`
	Head   giteaPoint `json:"head"`
	Base   giteaPoint `json:"base"`
}

type giteaPoint struct {
	Ref        string `json:"ref"`
	SHA        string `json:"sha"`
	Repository int64  `json:"repo_id"`
}

type giteaComment struct {
	ID   int64          `json:"id"`
	Body string         `json:"body"`
	User map[string]any `json:"user"`
	pull string
}

// servePulls has the API tell of pull requests and take comments, all of one account.
func (g *gitea) servePulls(mux *http.ServeMux) {
	const repo = "/api/v1/repos/acme/shop"
	route := func(pattern string, handle func(r *http.Request) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			g.mu.Lock()
			defer g.mu.Unlock()
			_ = json.NewEncoder(w).Encode(handle(r))
		})
	}
	said := func(r *http.Request) string {
		var in struct{ Body string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		return in.Body
	}
	route("GET /api/v1/user", func(*http.Request) any { return map[string]any{"id": 7} })
	route("GET "+repo+"/pulls", func(r *http.Request) any {
		if r.FormValue("page") != "1" {
			return []giteaPull{}
		}
		return g.pulls
	})
	route("GET "+repo+"/issues/{number}/comments", func(r *http.Request) any {
		found := []*giteaComment{}
		for _, c := range g.comments {
			if c.pull == r.PathValue("number") {
				found = append(found, c)
			}
		}
		return found
	})
	route("POST "+repo+"/issues/{number}/comments", func(r *http.Request) any {
		c := &giteaComment{ID: int64(len(g.comments) + 1), Body: said(r), User: map[string]any{"id": 7}, pull: r.PathValue("number")}
		g.comments = append(g.comments, c)
		return c
	})
	route("PATCH "+repo+"/issues/comments/{id}", func(r *http.Request) any {
		id, _ := strconv.Atoi(r.PathValue("id"))
		g.comments[id-1].Body = said(r)
		return g.comments[id-1]
	})
}

// propose has a pull request into main be at a commit. It is the first that is listed.
func (g *gitea) propose(w *world, number int64, commit string, fork bool) {
	GinkgoHelper()
	w.repo.Git("update-ref", fmt.Sprintf("refs/pull/%d/head", number), commit)
	g.mu.Lock()
	defer g.mu.Unlock()
	from := int64(1)
	if fork {
		from = 2
	}
	listed := []giteaPull{{Number: number, Head: giteaPoint{"proposal", commit, from}, Base: giteaPoint{Ref: "main", Repository: 1}}}
	for _, p := range g.pulls {
		if p.Number != number {
			listed = append(listed, p)
		}
	}
	g.pulls = listed
}

// commented are the comments, as <pull request>: <text>.
func (g *gitea) commented() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, c := range g.comments {
		all = append(all, c.pull+": "+c.Body)
	}
	return all
}

var _ = Describe("A pull request", Ordered, ContinueOnFailure, func() {
	var (
		w       *world
		g       *gitea
		onGitea func(*gitopsv1alpha1.GitSource)
		main    string
		stop    func()
		dir     string
	)

	BeforeAll(func() {
		dir = GinkgoT().TempDir()
		stop = runController(dir)
	})
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "31")
		g, onGitea = w.onGitea(ctx)
		main = w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
	})

	asking := func(p gitopsv1alpha1.PullRequests) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) { s.Spec.PullRequests = &p }
	}
	// commit commits files on top of main, to a branch of its own.
	commit := func(name string, files map[string]string) string {
		GinkgoHelper()
		w.repo.Git("update-ref", "refs/heads/"+name, main)
		return w.repo.Commit(name, name, files)
	}
	told := func(ctx context.Context, s *gitopsv1alpha1.GitSource) func() []string {
		return func() []string {
			var all []string
			if err := kube.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
				return nil
			}
			for _, p := range s.Status.PullRequests {
				all = append(all, fmt.Sprintf("%d %s %s", p.Number, p.Head, p.State))
			}
			return all
		}
	}
	broken := files(deployment, strings.Replace(lifecycle, "variables.ratio <", "variables.rate <", 1))

	It("is told on its head whether what it holds is valid, and nothing of it is applied", func(ctx context.Context) {
		bad := commit("bad", broken)
		g.propose(w, 1, bad, false)
		source := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{Comment: true}))
		Eventually(func() []string { return g.posted(bad) }).Should(ConsistOf(And(HavePrefix("validate failure: apps/checkout/lifecycle.yaml:"), ContainSubstring("rate"))))
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + bad + " failure"}))
		Expect(g.commented()).To(ConsistOf(And(HavePrefix("1: **Keptn, `production`:** `"+bad[:7]+"` is not valid"), ContainSubstring("| `apps/checkout/lifecycle.yaml:"), ContainSubstring("rate"))))
		Eventually(state(ctx, source, gitopsv1alpha1.PullRequestsCondition)).Should(Equal("True Told: 1 open into main"))

		good := w.repo.Commit("bad", "mend", files(version("2"), lifecycle))
		g.propose(w, 1, good, false)
		w.look(ctx, source)
		Eventually(func() []string { return g.posted(good) }).Should(ConsistOf("validate success: valid: checkout"))
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + good + " success"}))
		Expect(g.commented()).To(ConsistOf(HavePrefix("1: **Keptn, `production`:** `" + good[:7] + "` is valid")))

		Expect(g.posted(bad)).To(HaveLen(1))
		Expect(source.Status.ObservedRevision).To(Equal("main@sha1:" + main))
		Expect(w.deliveries(ctx)).To(BeEmpty())
		Expect(w.metrics.isAsked()).To(BeFalse(), "nothing was to be evaluated")
		policy := &gitopsv1alpha1.SLOPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-checkout-slo"}}
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		Expect(policy.Spec.Rules[0].Expression).To(Equal("variables.ratio < 0.01"))
	})

	It("is told on request what its policies would say now, but never one from a fork", func(ctx context.Context) {
		theirs := commit("theirs", files(deployment, strings.Replace(lifecycle, "query: errors", "query: secrets", 1)))
		w.repo.DeleteBranch("theirs")
		g.propose(w, 2, theirs, true)
		source := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{Evaluate: true, Comment: true}))
		Eventually(told(ctx, source)).Should(Equal([]string{"2 " + theirs + " success"}))
		Expect(g.posted(theirs)).To(ConsistOf("validate success: valid: checkout"))
		Expect(g.commented()).To(ConsistOf(ContainSubstring("Its policies are not evaluated: `it comes from a fork`.")))
		Expect(w.metrics.isAsked()).To(BeFalse(), "a fork's pull request is never evaluated")

		ours := commit("ours", files(deployment, strings.Replace(lifecycle, "< 0.01", "< 0.02", 1)))
		g.propose(w, 3, ours, false)
		docs := commit("docs", map[string]string{"README.md": "docs"})
		g.propose(w, 4, docs, false)
		w.look(ctx, source)
		Eventually(told(ctx, source)).Should(Equal([]string{"4 " + docs + " success", "3 " + ours + " success", "2 " + theirs + " success"}))
		Expect(g.posted(ours)).To(ConsistOf("validate success: valid: checkout", "checkout/dry-run failure: checkout-slo: error-ratio 3.1% ≥ 2%"))
		Expect(g.posted(docs)).To(ConsistOf("validate success: valid: checkout"))
		Expect(g.commented()).To(ConsistOf(
			HavePrefix("2: "),
			And(HavePrefix("3: "), ContainSubstring("| `checkout` | `checkout-slo` | fail | `error-ratio`: fail | `error-ratio 3.1% ≥ 2%`")),
			And(HavePrefix("4: "), ContainSubstring("It changes no app that has a policy.")),
		))
		var evaluations lifecyclev1.KeptnEvaluationList
		Expect(kube.List(ctx, &evaluations, inNamespace(w))).To(Succeed())
		Expect(evaluations.Items).To(BeEmpty())
	})

	It("is told by the older of two sources, and by the other once that tells no more", func(ctx context.Context) {
		first := commit("first", files(version("2"), lifecycle))
		g.propose(w, 1, first, false)
		older := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{}))
		Eventually(told(ctx, older)).Should(Equal([]string{"1 " + first + " success"}))
		afterwards()
		younger := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{Comment: true}), func(s *gitopsv1alpha1.GitSource) { s.Name = "later" })
		Eventually(state(ctx, younger, gitopsv1alpha1.PullRequestsCondition)).Should(HavePrefix("False ContextTaken: keptn/production/validate is not shown"))
		Expect(g.commented()).To(ConsistOf(HavePrefix("1: **Keptn, `production`:** `" + first[:7] + "` is valid")))

		second := w.repo.Commit("first", "break", broken)
		g.propose(w, 1, second, false)
		w.look(ctx, younger)
		Eventually(g.commented).Should(ConsistOf(HavePrefix("1: **Keptn, `production`:** `" + second[:7] + "` is not valid")))
		Eventually(told(ctx, younger)).Should(Equal([]string{"1 " + second + " "}))
		Expect(g.posted(second)).To(BeEmpty())
		patchSource(ctx, older, `{"spec":{"pullRequests":null}}`)
		Eventually(func() []string { return g.posted(second) }).Should(ConsistOf(HavePrefix("validate failure: ")))
		Eventually(state(ctx, younger, gitopsv1alpha1.PullRequestsCondition)).Should(Equal("True Told: 1 open into main"))
	})

	It("is not read where it has to be signed, and is not", func(ctx context.Context) {
		ann := newSigner()
		w.keys(ctx, ann.public("ann"))
		main = w.repo.Sign("main", ann.sign)
		unsigned := commit("unsigned", files(version("2"), lifecycle))
		g.propose(w, 1, unsigned, false)
		source := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{Evaluate: true}), func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Verify = &gitopsv1alpha1.Verification{SecretRef: meta.LocalObjectReference{Name: "known-keys"}}
		})
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + unsigned + " failure"}))
		Expect(g.posted(unsigned)).To(ConsistOf(HavePrefix("validate failure: not signed by a known key")))
		Expect(w.metrics.isAsked()).To(BeFalse())
	})

	It("is looked at again once the key that has signed it is known", func(ctx context.Context) {
		ann, bob := newSigner(), newSigner()
		w.keys(ctx, ann.public("ann"))
		main = w.repo.Sign("main", ann.sign)
		commit("bobs", files(version("2"), lifecycle))
		signed := w.repo.Sign("bobs", bob.sign)
		g.propose(w, 1, signed, false)
		source := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{}), func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Verify = &gitopsv1alpha1.Verification{SecretRef: meta.LocalObjectReference{Name: "known-keys"}}
		})
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + signed + " failure"}))
		w.keys(ctx, ann.public("ann"), bob.public("bob"))
		w.look(ctx, source)
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + signed + " success"}))
		Expect(g.posted(signed)).To(HaveExactElements(HavePrefix("validate failure: not signed by a known key"), "validate success: valid: checkout"))
	})

	It("is waited for where the forge does not answer, and told once it does", func(ctx context.Context) {
		g.answer(status(http.StatusBadGateway))
		good := commit("good", files(version("2"), lifecycle))
		g.propose(w, 1, good, false)
		source := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{}))
		Eventually(state(ctx, source, gitopsv1alpha1.PullRequestsCondition)).Should(And(HavePrefix("False ForgeFailed: "), ContainSubstring("502")))
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(HavePrefix("True "))
		g.answer(nil)
		w.look(ctx, source)
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + good + " success"}))
		Eventually(state(ctx, source, gitopsv1alpha1.PullRequestsCondition)).Should(HavePrefix("True "))
	})

	// The last one: its controller ends with it.
	It("is told nothing twice, whoever restarts, and forgotten when it is closed", func(ctx context.Context) {
		good := commit("good", files(version("2"), lifecycle))
		g.propose(w, 1, good, false)
		source := w.source(ctx, onGitea, asking(gitopsv1alpha1.PullRequests{Evaluate: true, Comment: true}))
		Eventually(told(ctx, source)).Should(Equal([]string{"1 " + good + " success"}))
		questions, posted, commented := w.metrics.questions(), g.posted(good), g.commented()
		stop()
		stop = runController(dir)
		second := commit("second", files(version("3"), lifecycle))
		g.propose(w, 2, second, false)
		w.look(ctx, source)
		Eventually(told(ctx, source)).Should(ContainElement("2 " + second + " success"))
		Expect(told(ctx, source)()).To(HaveLen(2))
		Expect(g.posted(good)).To(Equal(posted))
		Expect(g.commented()[:1]).To(Equal(commented))
		Expect(w.metrics.questions()).To(Equal(2 * questions))

		g.mu.Lock()
		g.pulls = g.pulls[:1]
		g.mu.Unlock()
		w.look(ctx, source)
		Eventually(told(ctx, source)).Should(Equal([]string{"2 " + second + " success"}))
	})
})

var _ = Describe("A pull request of a real Gitea", func() {
	It("is told by its hook, also one from a fork", func(ctx context.Context) {
		gitea := newRealGitea()
		served := runServed(ctx)
		w := newWorld(ctx)
		w.hooks(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "31")
		for name, data := range map[string]map[string]string{
			"git": {"username": gitea.user, "password": gitea.token}, "forge": {"token": gitea.token},
		} {
			Expect(kube.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data})).To(Succeed())
		}
		repository, path := gitea.repository(ctx, w.namespace), "/repos/"+gitea.user+"/"+w.namespace
		for name, content := range files(deployment, lifecycle) {
			gitea.commit(ctx, w.namespace, name, content)
		}
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL, s.Spec.Provider = repository, gitopsv1alpha1.GiteaProvider
			s.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
			s.Spec.Statuses = &gitopsv1alpha1.Statuses{SecretRef: &meta.LocalObjectReference{Name: "forge"}}
			s.Spec.PullRequests = &gitopsv1alpha1.PullRequests{Evaluate: true, Comment: true}
		})
		Eventually(state(ctx, source, gitopsv1alpha1.PullRequestsCondition)).Should(Equal("True Told: 0 open into main"))
		gitea.call(ctx, http.MethodPost, path+"/hooks", map[string]any{
			"type": "gitea", "active": true, "events": []string{"pull_request", "pull_request_sync"},
			"config": map[string]string{"url": gitea.reaches(served.url) + "/hooks/git/" + w.namespace, "content_type": "json", "secret": hookKey},
		}, nil)

		// proposed opens a pull request that raises the limit of the app, from a branch.
		proposed := func(of, from, name string) (number int, head string) {
			var made struct {
				Number int
				Head   struct{ SHA string }
			}
			var now struct{ SHA string }
			const file = "/contents/apps/checkout/lifecycle.yaml"
			gitea.call(ctx, http.MethodGet, of+file, nil, &now)
			gitea.call(ctx, http.MethodPut, of+file, map[string]any{
				"branch": "main", "new_branch": name, "message": name, "sha": now.SHA, "content": []byte(strings.Replace(lifecycle, "< 0.01", "< 0.02", 1)),
			}, nil)
			gitea.call(ctx, http.MethodPost, path+"/pulls", map[string]string{"head": from + name, "base": "main", "title": name}, &made)
			return made.Number, made.Head.SHA
		}
		comments := func(number int) func() []string {
			return func() []string {
				var held []struct{ Body string }
				gitea.call(ctx, http.MethodGet, fmt.Sprintf("%s/issues/%d/comments", path, number), nil, &held)
				var all []string
				for _, c := range held {
					all = append(all, c.Body)
				}
				return all
			}
		}
		number, head := proposed(path, "", "ours")
		Eventually(comments(number)).Should(ConsistOf(And(ContainSubstring("`"+head[:7]+"` is valid"), ContainSubstring("`error-ratio 3.1% ≥ 2%`"))))
		Expect(gitea.said(ctx, w.namespace, head)).To(ConsistOf("keptn/production/validate success", "keptn/production/checkout/dry-run failure"))

		org := w.namespace + "-fork"
		gitea.call(ctx, http.MethodPost, "/orgs", map[string]string{"username": org}, nil)
		gitea.call(ctx, http.MethodPost, path+"/forks", map[string]string{"organization": org}, nil)
		questions := w.metrics.questions()
		theirs, forked := proposed("/repos/"+org+"/"+w.namespace, org+":", "theirs")
		Eventually(comments(theirs)).Should(ConsistOf(And(ContainSubstring("`"+forked[:7]+"` is valid"), ContainSubstring("it comes from a fork"))))
		Expect(gitea.said(ctx, w.namespace, forked)).To(ConsistOf("keptn/production/validate success"))
		Expect(w.metrics.questions()).To(Equal(questions))
	})
})
