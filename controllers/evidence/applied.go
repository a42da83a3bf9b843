package evidence

import (
	corev1 "k8s.io/api/core/v1"
)

// AppliedBy is the object of Flux that labels say a workload was applied by: its
// HelmRelease, else its Kustomization. It is without a kind where they name none. It says
// who to tell, and is no evidence.
func AppliedBy(labels map[string]string) corev1.ObjectReference {
	for _, of := range []func(map[string]string) (document, bool){helmReleaseOf, kustomizationOf} {
		if by, named := of(labels); named {
			version, kind := by.ToAPIVersionAndKind()
			return corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: by.Namespace, Name: by.Name}
		}
	}
	return corev1.ObjectReference{}
}
