package manifest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/keptn/gitops/gitsource/manifest"
)

// endless is a quantity that Kubernetes' parser would count through for minutes.
const endless = `cpu: "1e-999999999"`

func TestAQuantityThatCannotBeReadInTimeIsRefused(t *testing.T) {
	const (
		app      = "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: shop}\n"
		workload = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
		limits   = "image: a, resources: {limits: {" + endless + "}}"
	)
	cases := map[string]struct{ reason, file, lifecycle, deployment string }{
		"Task":     {"In a task's container.", "shop/lifecycle.yaml", app + "spec: {preDeployment: {tasks: [{name: t, container: {" + limits + "}}]}}\n", workload},
		"Workload": {"In a pod's container.", "shop/deployment.yaml", app, workload + "spec: {template: {spec: {containers: [{name: c, " + limits + "}]}}}\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{"shop/lifecycle.yaml": {Data: []byte(tc.lifecycle)}, "shop/deployment.yaml": {Data: []byte(tc.deployment)}}
			found, err := manifest.Discover(t.Context(), tree, nil, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range found.Problems {
				if p.File == tc.file && strings.Contains(p.Message, `"1e-999999999" is no quantity`) {
					return
				}
			}
			t.Errorf("%s It is not refused: %v", tc.reason, found.Problems)
		})
	}
}
