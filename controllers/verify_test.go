package controllers_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/hiddeco/sshsig"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// signer is somebody with an SSH key.
type signer struct{ ssh.Signer }

func newSigner() signer {
	GinkgoHelper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	s, err := ssh.NewSignerFromSigner(private)
	Expect(err).NotTo(HaveOccurred())
	return signer{s}
}

// sign signs as Git does.
func (s signer) sign(payload string) string {
	GinkgoHelper()
	sig, err := sshsig.Sign(strings.NewReader(payload), s, sshsig.HashSHA512, "git")
	Expect(err).NotTo(HaveOccurred())
	return string(sshsig.Armor(sig))
}

// public is the key as authorized_keys has it, with a comment.
func (s signer) public(comment string) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " " + comment + "\n"
}

// keys has the Secret known-keys of the world hold these keys.
func (w *world) keys(ctx context.Context, keys ...string) {
	GinkgoHelper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "known-keys"}}
	secret.Data = map[string][]byte{"team.pub": []byte(strings.Join(keys, ""))}
	Expect(client.IgnoreNotFound(kube.Delete(ctx, secret.DeepCopy()))).To(Succeed())
	Expect(kube.Create(ctx, secret)).To(Succeed())
}

var _ = Describe("A source whose commits have to be signed", Ordered, ContinueOnFailure, func() {
	var (
		w        *world
		ann, bob signer
	)

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
		ann, bob = newSigner(), newSigner()
		w.keys(ctx, ann.public("ann"))
	})

	verified := func(mode gitopsv1alpha1.VerificationMode) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Verify = &gitopsv1alpha1.Verification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: "known-keys"}}
		}
	}
	// push commits what is signed by somebody, or by nobody.
	push := func(by *signer, message string, files map[string]string) string {
		GinkgoHelper()
		commit := w.repo.Commit("main", message, files)
		if by != nil {
			commit = w.repo.Sign("main", by.sign)
		}
		return commit
	}
	conditions := func(ctx context.Context, s *gitopsv1alpha1.GitSource, text string) {
		GinkgoHelper()
		Eventually(state(ctx, s, gitopsv1alpha1.SourceVerifiedCondition)).Should(HavePrefix(text))
		if strings.HasPrefix(text, "False ") {
			Eventually(state(ctx, s, meta.ReadyCondition)).Should(HavePrefix(text))
			Eventually(state(ctx, s, meta.StalledCondition)).Should(HavePrefix("True " + strings.TrimPrefix(text, "False ")))
			return
		}
		Eventually(state(ctx, s, meta.ReadyCondition)).Should(HavePrefix("True "))
	}
	policy := func(ctx context.Context) string {
		p := &gitopsv1alpha1.SLOPolicy{}
		p.Namespace, p.Name = w.namespace, "shop-checkout-slo"
		if err := kube.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		return p.Spec.Rules[0].Expression
	}

	It("is followed as any other where they are", func(ctx context.Context) {
		commit := push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"))
		w.says(commit, "validate", "success: valid: checkout")
		conditions(ctx, source, "True Succeeded: commit "+commit[:7]+" is signed by ann SHA256:")
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/post-deployment", "success: ")
		Expect(w.delivery(ctx, commit).Spec.Problem).To(BeEmpty())
	})

	It("honours nothing of a commit that is not signed, or by somebody else, and says so on it", func(ctx context.Context) {
		signed := push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified(""))
		w.says(signed, "validate", "success: ")
		strict := strings.Replace(lifecycle, "< 0.01", "< 0.5", 1)
		unsigned := push(nil, "2", files(version("2"), strict))
		w.look(ctx, source)
		w.says(unsigned, "validate", "failure: not signed by a known key: it has no signature")
		conditions(ctx, source, "False InvalidCommitSignature: nothing of main@sha1:"+unsigned+" is honoured: not signed by a known key: it has no signature")
		Eventually(w.events(ctx, "shop")).Should(ContainElement(HavePrefix("Warning InvalidCommitSignature: ")))
		Expect(policy(ctx)).To(Equal("variables.ratio < 0.01"))
		w.says(unsigned, "checkout/deployment", "error: not signed by a known key: it has no signature")

		others := push(&bob, "3", files(version("3"), strict))
		w.look(ctx, source)
		w.says(others, "validate", "failure: not signed by a known key: it is signed by another one: ssh-ed25519 SHA256:")
		Expect(policy(ctx)).To(Equal("variables.ratio < 0.01"))

		again := push(&ann, "4", files(version("4"), strict))
		w.look(ctx, source)
		w.says(again, "validate", "success: ")
		conditions(ctx, source, "True Succeeded: commit "+again[:7])
		Eventually(func() string { return policy(ctx) }).Should(Equal("variables.ratio < 0.5"))
	})

	It("still follows the newest commit that is signed while the tip is not", func(ctx context.Context) {
		signed := push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"))
		w.says(signed, "validate", "success: ")
		unsigned := push(nil, "2", files(version("2"), plain))
		w.look(ctx, source)
		w.says(unsigned, "validate", "failure: ")
		w.deploy(ctx, deployment)
		w.says(signed, "checkout/post-deployment", "success: ")
		w.says(unsigned, "checkout/deployment", "error: not signed by a known key: it has no signature")
	})

	It("has a commit wait for its rollout as soon as the key is known that signed it, and no longer when it is taken away", func(ctx context.Context) {
		push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"))
		conditions(ctx, source, "True ")
		theirs := push(&bob, "2", files(version("2"), lifecycle))
		w.look(ctx, source)
		w.says(theirs, "checkout/deployment", "error: not signed by a known key: ")
		w.keys(ctx, ann.public("ann"), bob.public("bob"))
		w.look(ctx, source)
		w.says(theirs, "checkout/deployment", "pending: waiting for the rollout")
		w.keys(ctx, ann.public("ann"))
		w.look(ctx, source)
		w.says(theirs, "checkout/deployment", "error: not signed by a known key: ")
	})

	It("does not honour what runs where it is not signed, and does once it is known to be", func(ctx context.Context) {
		push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"), func(s *gitopsv1alpha1.GitSource) { s.Spec.Interval = metav1.Duration{Duration: time.Second} })
		conditions(ctx, source, "True ")
		middle := push(&bob, "2", files(version("2"), plain))
		tip := push(&ann, "3", files(version("3"), lifecycle))
		w.says(tip, "validate", "success: ")
		w.deploy(ctx, version("2"))
		const unknown = "not signed by a known key: it is signed by another one: ssh-ed25519 SHA256:"
		w.says(middle, "checkout/pre-deployment", "error: cannot be judged: "+unknown)
		refused := w.delivery(ctx, middle)
		Expect(refused.Spec.Problem).To(HavePrefix(unknown))
		Expect(refused.Spec.RolloutTimeout).To(BeNil())
		Expect(refused.Released()).To(BeFalse(), "its pods may start")
		Eventually(func() lifecyclev1.KeptnState { return w.delivery(ctx, middle).Status.Status }).Should(Equal(lifecyclev1.StateUnknown))

		w.keys(ctx, ann.public("ann"), bob.public("bob"))
		w.says(middle, "checkout/deployment", "success: ")
		again := w.delivery(ctx, middle)
		Expect(again.Spec.Revision).To(BeEquivalentTo(2))
		Expect(again.Spec.Problem).To(BeEmpty())
		Expect(again.Released()).To(BeTrue(), "its pods wait")
		Expect(again.Spec.RolloutTimeout).NotTo(BeNil())
		w.look(ctx, source)
		Consistently(func() int { return len(w.deliveries(ctx)) }, "2s").Should(Equal(2))
	})

	It("takes up what was refused when a look is asked for, however long the interval is", func(ctx context.Context) {
		push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"))
		conditions(ctx, source, "True ")
		middle := push(&bob, "2", files(version("2"), plain))
		tip := push(&ann, "3", files(version("3"), lifecycle))
		w.look(ctx, source)
		w.says(tip, "validate", "success: ")
		w.deploy(ctx, version("2"))
		w.says(middle, "checkout/pre-deployment", "error: cannot be judged: not signed by a known key: ")
		Eventually(func() lifecyclev1.KeptnState { return w.delivery(ctx, middle).Status.Status }).Should(Equal(lifecyclev1.StateUnknown))
		lc := w.lifecycle("checkout")
		Eventually(state(ctx, lc, gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("True "))
		w.keys(ctx, ann.public("ann"), bob.public("bob"))
		w.look(ctx, source)
		w.says(middle, "checkout/deployment", "success: ")
		Expect(w.delivery(ctx, middle).Spec.Revision).To(BeEquivalentTo(2))
	})

	It("does not take what else an unsigned commit renders to for its own", func(ctx context.Context) {
		signed := push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"))
		w.says(signed, "checkout/deployment", "pending: ")
		other := strings.Replace(version("2"), "name: checkout", "name: other", 1)
		unsigned := push(nil, "2", map[string]string{
			"apps/checkout/deployment.yaml": version("2"), "apps/checkout/other.yaml": other,
			"apps/checkout/kustomization.yaml": "resources: [deployment.yaml, other.yaml]\n", "apps/checkout/lifecycle.yaml": plain,
		})
		w.look(ctx, source)
		w.says(unsigned, "validate", "failure: ")
		w.apply(ctx, other)
		w.deploy(ctx, version("2"))
		w.says(unsigned, "checkout/pre-deployment", "error: cannot be judged: not signed by a known key: it has no signature")
		Expect(w.delivery(ctx, unsigned).Spec.Workloads).To(HaveExactElements(HaveField("Name", "checkout")))
	})

	It("takes notice of another key with the next look", func(ctx context.Context) {
		commit := push(&ann, "1", files(deployment, lifecycle))
		source := w.source(ctx, verified("HEAD"))
		w.says(commit, "validate", "success: ")
		w.keys(ctx, bob.public("bob"))
		w.look(ctx, source)
		w.says(commit, "validate", "failure: not signed by a known key: it is signed by another one: ssh-ed25519 SHA256:")
		conditions(ctx, source, "False InvalidCommitSignature: ")
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/pre-deployment", "error: cannot be judged: not signed by a known key: ")

		w.keys(ctx, bob.public("bob"), ann.public("ann"))
		w.look(ctx, source)
		conditions(ctx, source, "True Succeeded: ")
		Eventually(func() string { return w.said(commit)["validate"] }).Should(HavePrefix("success: "))
		w.says(commit, "checkout/post-deployment", "success: ")
	})

	It("says which key cannot be read, and that there are none", func(ctx context.Context) {
		commit := push(&ann, "1", files(deployment, lifecycle))
		w.keys(ctx, ann.public("ann"), "-----BEGIN OPENSSH PRIVATE KEY-----\n")
		source := w.source(ctx, verified("HEAD"))
		w.says(commit, "validate", `failure: signatures cannot be verified: Secret "known-keys": key "team.pub": it holds a private key`)
		conditions(ctx, source, "False VerificationError: ")
		Expect(kube.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "known-keys"}})).To(Succeed())
		w.look(ctx, source)
		w.says(commit, "validate", `failure: signatures cannot be verified: no Secret "known-keys" in namespace "`+w.namespace+`": create it`)
		w.keys(ctx, ann.public("ann"))
		w.look(ctx, source)
		conditions(ctx, source, "True Succeeded: ")
	})

	It("honours what a signed tag leads to", func(ctx context.Context) {
		first := push(nil, "1", files(deployment, lifecycle))
		second := push(nil, "2", map[string]string{"README.md": "# Shop"})
		w.repo.SignedTag("v1.0.0", second, ann.sign)
		source := w.source(ctx, verified("Tag"), func(s *gitopsv1alpha1.GitSource) { s.Spec.Ref = &gitopsv1alpha1.GitRef{SemVer: ">=1.0.0"} })
		w.says(second, "validate", "success: ")
		conditions(ctx, source, "True Succeeded: tag v1.0.0 is signed by ann SHA256:")
		w.deploy(ctx, deployment)
		w.says(first, "checkout/post-deployment", "success: ")

		third := push(nil, "3", files(version("3"), plain))
		w.repo.Tag("v1.1.0", third, "annotated")
		w.look(ctx, source)
		w.says(third, "validate", "failure: tag v1.1.0 is not signed by a known key: it has no signature")
		conditions(ctx, source, "False InvalidTagSignature: ")
		w.repo.SignedTag("v1.1.0", third, ann.sign)
		w.look(ctx, source)
		conditions(ctx, source, "True Succeeded: tag v1.1.0 is signed by ann SHA256:")
		Expect(source.Status.ObservedTag).To(Equal(w.repo.Git("rev-parse", "v1.1.0")))

		w.repo.Tag("v1.2.0", third, "")
		w.look(ctx, source)
		conditions(ctx, source, "False InvalidTagSignature: nothing of v1.2.0@sha1:"+third+" is honoured: tag v1.2.0 is not signed by a known key: it has no signature: it is no annotated tag")
	})

	It("asks for both where both are asked for", func(ctx context.Context) {
		first := push(nil, "1", files(deployment, lifecycle))
		w.repo.SignedTag("v1", first, ann.sign)
		source := w.source(ctx, verified("TagAndHEAD"), func(s *gitopsv1alpha1.GitSource) { s.Spec.Ref = &gitopsv1alpha1.GitRef{Tag: "v1"} })
		conditions(ctx, source, "False InvalidCommitSignature: ")
		second := push(&ann, "2", files(version("2"), lifecycle))
		w.repo.SignedTag("v1", second, ann.sign)
		w.look(ctx, source)
		conditions(ctx, source, "True Succeeded: tag v1 is signed by ann ")
		Expect(state(ctx, source, gitopsv1alpha1.SourceVerifiedCondition)()).To(ContainSubstring("commit " + second[:7] + " is signed by ann "))
	})

	It("borrows that from a GitRepository of Flux", func(ctx context.Context) {
		install(fluxDefinition)
		commit := push(nil, "1", files(deployment, lifecycle))
		g := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}}
		g.Spec = sourcev1.GitRepositorySpec{
			URL: w.repo.URL, Interval: metav1.Duration{Duration: time.Hour}, Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
			Verification: &sourcev1.GitRepositoryVerification{Mode: "head", SecretRef: meta.LocalObjectReference{Name: "known-keys"}},
		}
		Expect(kube.Create(ctx, g)).To(Succeed())
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL, s.Spec.SourceRef = "", &gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.GitRepositoryKind, Name: "shop"}
		})
		w.says(commit, "validate", "failure: not signed by a known key: it has no signature")
		conditions(ctx, source, "False InvalidCommitSignature: ")
	})

	DescribeTable("needs a tag where one is to be signed", func(ctx context.Context, ref *gitopsv1alpha1.GitRef, allowed bool) {
		s := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}}
		s.Spec = gitopsv1alpha1.GitSourceSpec{URL: w.repo.URL, Environment: "production", Suspend: true, Ref: ref}
		verified("Tag")(s)
		err := kube.Create(ctx, s)
		if allowed {
			Expect(err).NotTo(HaveOccurred())
			return
		}
		Expect(err).To(MatchError(ContainSubstring("verify.mode Tag and TagAndHEAD need a tag to be watched")))
	},
		Entry("by name", &gitopsv1alpha1.GitRef{Tag: "v1"}, true),
		Entry("by a range", &gitopsv1alpha1.GitRef{SemVer: "*"}, true),
		Entry("by its full name", &gitopsv1alpha1.GitRef{Name: "refs/tags/v1"}, true),
		Entry("and none is there", nil, false),
		Entry("and a branch is not", &gitopsv1alpha1.GitRef{Branch: "main"}, false),
		Entry("and a branch's full name goes before it", &gitopsv1alpha1.GitRef{Tag: "v1", Name: "refs/heads/main"}, false),
		Entry("and a commit goes before it", &gitopsv1alpha1.GitRef{Tag: "v1", Commit: strings.Repeat("a", 40)}, false),
	)
})
