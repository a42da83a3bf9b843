package e2e_test

import (
	"bytes"
	"context"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keptn/gitops/e2e/stage"
)

var _ = Describe("The installed controller", func() {
	DescribeTable("may do what it has to, and no more",
		func(ctx context.Context, verb, group, resource string, allowed bool) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:keptn-system:keptn-controller",
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "default", Verb: verb, Group: group, Resource: resource},
			}}
			Expect(cluster.Create(ctx, review)).To(Succeed())
			Expect(review.Status.Allowed).To(Equal(allowed))
		},
		Entry("reads a secret by its name", "get", "", "secrets", true),
		Entry("lists no secrets", "list", "", "secrets", false),
		Entry("watches no secrets", "watch", "", "secrets", false),
		Entry("watches workloads", "watch", "apps", "deployments", true),
		Entry("changes no workload", "patch", "apps", "deployments", false),
		Entry("deletes no workload", "delete", "apps", "statefulsets", false),
		Entry("deletes no pod", "delete", "", "pods", false),
		Entry("runs tasks", "create", "batch", "jobs", true),
		Entry("makes no pod itself", "create", "", "pods", false),
		Entry("records deliveries", "create", "lifecycle.keptn.sh", "keptnappversions", true),
		Entry("makes no source of its own", "create", "gitops.keptn.sh", "gitsources", false),
		Entry("makes no provider of its own", "create", "metrics.keptn.sh", "keptnmetricsproviders", false),
		Entry("grants nothing", "create", "rbac.authorization.k8s.io", "rolebindings", false),
	)

	It("runs where Pod Security \"restricted\" is enforced", func(ctx context.Context) {
		var ns corev1.Namespace
		Expect(cluster.Get(ctx, types.NamespacedName{Name: "keptn-system"}, &ns)).To(Succeed())
		Expect(ns.Labels).To(HaveKeyWithValue("pod-security.kubernetes.io/enforce", "restricted"))
	})

	It("writes no secret into its log, an object or an event", func(ctx context.Context) {
		p := project(ctx, "secrets", true)
		sha := push(ctx, p, "Deliver checkout")
		shows(ctx, p, sha, stage.Validate, "success", "valid: checkout")
		shows(ctx, p, sha, stage.Deployment, "pending", "waiting for the rollout")

		var said bytes.Buffer
		Expect(stage.Kubectl(ctx, &said, "--namespace", "keptn-system", "logs", "deployment/keptn-controller")).To(Succeed())
		Expect(said.String()).To(ContainSubstring("Starting"), "this is the controller's log")
		Expect(stage.Kubectl(ctx, &said, "--namespace", "secrets", "get", "--output=yaml",
			"gitsources,lifecycles,slopolicies,keptnappversions,keptnevaluations,events")).To(Succeed())
		Expect(said.String()).To(ContainSubstring("kind: GitSource"))
		Expect(said.String()).NotTo(Or(
			ContainSubstring(os.Getenv("TESTBED_GITEA_TOKEN")),
			ContainSubstring(os.Getenv("TESTBED_GITEA_PASSWORD")),
		))
	})
})
