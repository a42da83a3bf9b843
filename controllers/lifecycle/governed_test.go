package lifecycle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

func TestALifecycleGovernsWhatItsFolderRendersTo(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, gitopsv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	source := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "git"}}
	source.Spec.TargetNamespaces = []string{"agreed", "refused"}
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "git-checkout", Labels: map[string]string{gitopsv1alpha1.SourceLabel: "git"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: gitopsv1alpha1.GroupVersion.String(), Kind: gitopsv1alpha1.GitSourceKind, Name: "git", UID: "1", Controller: new(true)}},
	}}
	applied := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "by-hand"}}
	for _, namespace := range []string{"shop", "agreed", "refused"} {
		lc.Status.Workloads = append(lc.Status.Workloads, gitopsv1alpha1.WorkloadStatus{Kind: "Deployment", Namespace: namespace, Name: "web"})
	}
	applied.Status.Workloads = []gitopsv1alpha1.WorkloadStatus{{Kind: "Deployment", Namespace: "shop", Name: "inert"}}
	consent := map[string]string{gitopsv1alpha1.AllowFromAnnotation: "other, shop"}
	c := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&gitopsv1alpha1.Lifecycle{}, byWorkload, workloadsOf).WithObjects(
		source, lc, applied,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "agreed", Annotations: consent}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "refused"}},
	).Build()
	cases := map[string]struct {
		reason, kind, namespace, name string
		want                          bool
	}{
		"Own":     {"A source governs its own namespace.", "Deployment", "shop", "web", true},
		"Agreed":  {"And one that agrees.", "Deployment", "agreed", "web", true},
		"Refused": {"But none that does not.", "Deployment", "refused", "web", false},
		"Kind":    {"Another kind of that name is another workload.", "StatefulSet", "shop", "web", false},
		"Inert":   {"A Lifecycle that somebody applied has no say.", "Deployment", "shop", "inert", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Governed(t.Context(), c, tc.kind, tc.namespace, tc.name)
			if err != nil || got != tc.want {
				t.Errorf("%s\ngot %t, %v", tc.reason, got, err)
			}
		})
	}
}
