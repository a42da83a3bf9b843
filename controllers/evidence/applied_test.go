package evidence_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/keptn/gitops/controllers/evidence"
)

func TestLabelsNameTheObjectOfFluxThatApplied(t *testing.T) {
	kustomization := map[string]string{"kustomize.toolkit.fluxcd.io/namespace": "flux-system", "kustomize.toolkit.fluxcd.io/name": "apps"}
	release := map[string]string{
		"kustomize.toolkit.fluxcd.io/namespace": "flux-system", "kustomize.toolkit.fluxcd.io/name": "apps",
		"helm.toolkit.fluxcd.io/namespace": "shop", "helm.toolkit.fluxcd.io/name": "checkout",
	}
	cases := map[string]struct {
		reason string
		labels map[string]string
		want   corev1.ObjectReference
	}{
		"Kustomization": {"It applied the workload itself.", kustomization, corev1.ObjectReference{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}},
		"HelmRelease":   {"It is nearer to the workload than what applied it.", release, corev1.ObjectReference{APIVersion: "helm.toolkit.fluxcd.io/v2", Kind: "HelmRelease", Namespace: "shop", Name: "checkout"}},
		"Nobody":        {"Half a name is none.", map[string]string{"helm.toolkit.fluxcd.io/name": "checkout"}, corev1.ObjectReference{}},
	}
	for name, tc := range cases {
		if diff := cmp.Diff(tc.want, evidence.AppliedBy(tc.labels)); diff != "" {
			t.Errorf("%s: %s\n(-want +got):\n%s", name, tc.reason, diff)
		}
	}
}
