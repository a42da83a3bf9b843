package controllers_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// hookKey is what hooks of a world's namespace are signed with, hookToken what they show.
const hookKey, hookToken = "a key", "a token"

// hooks lets hooks of the namespace in.
func (w *world) hooks(ctx context.Context) {
	GinkgoHelper()
	Expect(kube.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "keptn-webhooks"},
		StringData: map[string]string{"hmac-key": hookKey, "token": hookToken},
	})).To(Succeed())
}

// pushed sends what Gitea sends of a push to the world's repository, and returns the
// status code and the answer.
func (w *world) pushed(ctx context.Context, to *served, ref, commit, key string) (code int, answer string) {
	GinkgoHelper()
	body := fmt.Sprintf(`{"ref":%q,"before":%q,"after":%q,"repository":{"id":1,"clone_url":%q}}`, ref, commit, commit, w.repo.URL)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return to.asks(ctx, http.MethodPost, "/hooks/git/"+w.namespace, body,
		"X-Gitea-Event", "push", "X-Gitea-Delivery", ref+"@"+commit, "X-Gitea-Signature", fmt.Sprintf("%x", mac.Sum(nil)))
}

// three creates sources of one repository that watch main, next and tags.
func (w *world) three(ctx context.Context) (main, next, tags *gitopsv1alpha1.GitSource) {
	GinkgoHelper()
	of := func(environment string, ref gitopsv1alpha1.GitRef) *gitopsv1alpha1.GitSource {
		return w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Name, s.Spec.Environment, s.Spec.Ref = environment, environment, &ref
		})
	}
	return of("main", gitopsv1alpha1.GitRef{Branch: "main"}), of("next", gitopsv1alpha1.GitRef{Branch: "next"}), of("tags", gitopsv1alpha1.GitRef{SemVer: ">=1.0.0"})
}

// handled is the last request for a look that a source has handled.
func handled(ctx context.Context, s *gitopsv1alpha1.GitSource) string {
	GinkgoHelper()
	Expect(kube.Get(ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
	return s.Status.GetLastHandledReconcileRequest()
}

var _ = Describe("A hook of a forge", func() {
	// read has a commit at main, next and v1.0.0, which all three sources have read.
	read := func(ctx context.Context) (w *world, first string, main, next, tags *gitopsv1alpha1.GitSource) {
		w = newWorld(ctx)
		w.hooks(ctx)
		first = w.repo.Commit("main", "1", files(deployment, plain))
		w.repo.Git("branch", "next", "main")
		w.repo.Git("tag", "v1.0.0", "main")
		main, next, tags = w.three(ctx)
		for _, s := range []*gitopsv1alpha1.GitSource{main, next, tags} {
			Eventually(state(ctx, s, meta.ReadyCondition)).Should(HavePrefix("True "))
		}
		return w, first, main, next, tags
	}
	revision := func(ctx context.Context, s *gitopsv1alpha1.GitSource) func() string {
		return func() string {
			Expect(kube.Get(ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
			return s.Status.ObservedRevision
		}
	}

	It("wakes the sources that a push concerns, and no other", func(ctx context.Context) {
		served := runServed(ctx)
		w, first, main, next, tags := read(ctx)
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		code, answer := w.pushed(ctx, served, "refs/heads/main", second, "another key")
		Expect(code).To(Equal(http.StatusUnauthorized), answer)
		code, answer = w.pushed(ctx, served, "refs/heads/main", second, hookKey)
		Expect(code).To(Equal(http.StatusAccepted), answer)
		Expect(answer).To(ContainSubstring(fmt.Sprintf(`"woken":["%s/main"]`, w.namespace)))
		Eventually(revision(ctx, main)).Should(Equal("main@sha1:" + second))
		Expect(handled(ctx, main)).NotTo(BeEmpty())

		code, answer = w.pushed(ctx, served, "refs/heads/main", second, hookKey)
		Expect(code).To(Equal(http.StatusOK), answer)
		Expect(answer).To(ContainSubstring("delivered before"))
		for _, s := range []*gitopsv1alpha1.GitSource{next, tags} {
			Expect(handled(ctx, s)).To(BeEmpty(), "%s was not concerned", s.Name)
			Expect(revision(ctx, s)()).To(HaveSuffix(first))
		}

		w.repo.Git("tag", "v1.1.0", second)
		code, answer = w.pushed(ctx, served, "refs/tags/v1.1.0", second[:39]+"0", hookKey) // as of an annotated tag
		Expect(code).To(Equal(http.StatusAccepted), answer)
		Eventually(revision(ctx, tags)).Should(Equal("v1.1.0@sha1:" + second))
		Expect(revision(ctx, next)()).To(HaveSuffix(first))
	})

	It("reaches the leader through any replica", func(ctx context.Context) {
		electing := func(o *ctrl.Options) {
			o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, "hooks", "default"
			o.LeaderElectionReleaseOnCancel = true
		}
		runServed(ctx, electing)
		w, _, main, _, _ := read(ctx)
		standby := runServed(ctx, electing)
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		Eventually(func() int {
			code, _ := w.pushed(ctx, standby, "refs/heads/main", second, hookKey)
			return code
		}).Should(Equal(http.StatusAccepted))
		Eventually(revision(ctx, main)).Should(Equal("main@sha1:" + second))
	})

	It("wakes a source that borrows its repository", func(ctx context.Context) {
		install(fluxDefinition)
		served := runServed(ctx)
		w := newWorld(ctx)
		w.hooks(ctx)
		first := w.repo.Commit("main", "1", files(deployment, plain))
		lent := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}}
		lent.Spec = sourcev1.GitRepositorySpec{URL: w.repo.URL, Interval: metav1.Duration{Duration: time.Hour}, Reference: &sourcev1.GitRepositoryRef{Branch: "main"}}
		Expect(kube.Create(ctx, lent)).To(Succeed())
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL, s.Spec.SourceRef = "", &gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.GitRepositoryKind, Name: lent.Name}
		})
		Eventually(revision(ctx, source)).Should(Equal("main@sha1:" + first))
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		code, answer := w.pushed(ctx, served, "refs/heads/next", second, hookKey)
		Expect(code).To(Equal(http.StatusOK), answer)
		code, answer = w.pushed(ctx, served, "refs/heads/main", second, hookKey)
		Expect(code).To(Equal(http.StatusAccepted), answer)
		Eventually(revision(ctx, source)).Should(Equal("main@sha1:" + second))
	})

	It("comes from a real Gitea, and the commit says so there", func(ctx context.Context) {
		gitea := newRealGitea()
		served := runServed(ctx)
		w := newWorld(ctx)
		w.hooks(ctx)
		for name, data := range map[string]map[string]string{
			"git": {"username": gitea.user, "password": gitea.token}, "forge": {"token": gitea.token},
		} {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data}
			Expect(kube.Create(ctx, secret)).To(Succeed())
		}
		repository := gitea.repository(ctx, w.namespace)
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL, s.Spec.Provider = repository, gitopsv1alpha1.GiteaProvider
			s.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
			s.Spec.Statuses = &gitopsv1alpha1.Statuses{SecretRef: &meta.LocalObjectReference{Name: "forge"}}
		})
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(HavePrefix("True "))
		gitea.call(ctx, http.MethodPost, "/repos/"+gitea.user+"/"+w.namespace+"/hooks", map[string]any{
			"type": "gitea", "active": true, "events": []string{"push"},
			"config": map[string]string{"url": gitea.reaches(served.url) + "/hooks/git/" + w.namespace, "content_type": "json", "secret": hookKey},
		}, nil)
		commit := gitea.commit(ctx, w.namespace, "apps/checkout/lifecycle.yaml", plain)
		Eventually(func() []string { return gitea.said(ctx, w.namespace, commit) }).Should(ContainElement(HavePrefix("keptn/production/validate ")))
		Expect(revision(ctx, source)()).To(Equal("main@sha1:" + commit))
	})
})

// A realGitea is the testbed's, which reaches this process at an address of its own.
type realGitea struct{ url, user, token, host string }

// newRealGitea skips the test where there is none.
func newRealGitea() realGitea {
	GinkgoHelper()
	g := realGitea{
		url: os.Getenv("TESTBED_GITEA_URL"), user: os.Getenv("TESTBED_GITEA_USER"), token: os.Getenv("TESTBED_GITEA_TOKEN"),
		host: os.Getenv("TESTBED_HOST_IP"),
	}
	if g.url == "" || g.user == "" || g.token == "" || g.host == "" {
		Skip("TESTBED_GITEA_URL, _USER and _TOKEN, and TESTBED_HOST_IP, name no server")
	}
	return g
}

// call uses the API as the testbed's user.
func (g realGitea) call(ctx context.Context, method, path string, in, out any) {
	GinkgoHelper()
	body, err := json.Marshal(in)
	Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, method, g.url+"/api/v1"+path, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "token "+g.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.StatusCode).To(BeNumerically("<", 300), "%s %s: %s", method, path, answer)
	if out != nil {
		Expect(json.Unmarshal(answer, out)).To(Succeed())
	}
}

// repository makes a private repository, and returns its URL.
func (g realGitea) repository(ctx context.Context, name string) string {
	GinkgoHelper()
	g.call(ctx, http.MethodPost, "/user/repos", map[string]any{"name": name, "private": true, "auto_init": true, "default_branch": "main"}, nil)
	return g.url + "/" + g.user + "/" + name + ".git"
}

// commit adds a file to main.
func (g realGitea) commit(ctx context.Context, repository, path, content string) (sha string) {
	GinkgoHelper()
	var made struct {
		Commit struct {
			SHA string `json:"sha"`
		} `json:"commit"`
	}
	g.call(ctx, http.MethodPost, "/repos/"+g.user+"/"+repository+"/contents/"+path,
		map[string]any{"branch": "main", "message": "Add " + path, "content": []byte(content)}, &made)
	return made.Commit.SHA
}

// said are the statuses of a commit, each as <context> <state>.
func (g realGitea) said(ctx context.Context, repository, commit string) []string {
	GinkgoHelper()
	var statuses []struct{ Context, Status string }
	g.call(ctx, http.MethodGet, "/repos/"+g.user+"/"+repository+"/statuses/"+commit, nil, &statuses)
	var said []string
	for _, s := range statuses {
		said = append(said, s.Context+" "+s.Status)
	}
	return said
}

// reaches is an address at which Gitea, in a network of its own, reaches a server here.
func (g realGitea) reaches(server string) string {
	GinkgoHelper()
	to, err := url.Parse(server)
	Expect(err).NotTo(HaveOccurred())
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(g.host, "0"))
	Expect(err).NotTo(HaveOccurred())
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: httputil.NewSingleHostReverseProxy(to)}}
	s.Start()
	DeferCleanup(s.Close)
	return s.URL
}
