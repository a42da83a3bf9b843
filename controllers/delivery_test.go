package controllers_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const kustomization = `resources: [deployment.yaml]
`

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout}
spec:
  replicas: 1
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec:
      containers:
        - name: app
          image: checkout:1
`

const lifecycle = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata:
  name: checkout
spec:
  postDeployment:
    policies: [checkout-slo]
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: checkout-slo
spec:
  timeout: 2s
  metrics:
    - {name: errors, provider: {name: prometheus}, query: errors}
    - {name: requests, provider: {name: prometheus}, query: requests}
  variables:
    - {name: ratio, expression: metrics.errors / metrics.requests}
  rules:
    - name: error-ratio
      expression: variables.ratio < 0.01
`

// files is the folder of an app as it is committed.
func files(deployment, lifecycle string) map[string]string {
	return map[string]string{
		"apps/checkout/kustomization.yaml": kustomization,
		"apps/checkout/deployment.yaml":    deployment,
		"apps/checkout/lifecycle.yaml":     lifecycle,
	}
}

// patient is the lifecycle with time for data to come.
var patient = strings.Replace(lifecycle, "timeout: 2s", "timeout: 1m", 1)

// version is the deployment with another image tag.
func version(tag string) string {
	return strings.Replace(deployment, "checkout:1", "checkout:"+tag, 1)
}

var _ = Describe("A delivery", func() {
	var w *world

	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
		runController(GinkgoT().TempDir())
	})

	It("is followed from the commit to its verdict", func(ctx context.Context) {
		commit := w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		w.source(ctx)
		Eventually(func() map[string]string { return w.said(commit) }).Should(And(
			HaveKeyWithValue("validate", "success: valid: checkout"),
			HaveKeyWithValue("checkout/deployment", "pending: waiting for the rollout"),
		))
		w.deploy(ctx, deployment)
		Eventually(func() map[string]string { return w.said(commit) }).Should(And(
			HaveKeyWithValue("checkout/deployment", "success: 1 pod runs "+commit[:7]),
			HaveKeyWithValue("checkout/post-deployment", HavePrefix("success: ")),
		))
	})
})
