package optional_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/controllers/optional"
)

func TestTheDefinitionOfAKind(t *testing.T) {
	cases := map[string]schema.GroupVersionKind{
		"gitrepositories.source.toolkit.fluxcd.io":   {Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository"},
		"ocirepositories.source.toolkit.fluxcd.io":   {Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "OCIRepository"},
		"kustomizations.kustomize.toolkit.fluxcd.io": {Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"},
		"helmreleases.helm.toolkit.fluxcd.io":        {Group: "helm.toolkit.fluxcd.io", Version: "v2", Kind: "HelmRelease"},
		"applications.argoproj.io":                   {Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"},
		"rollouts.argoproj.io":                       {Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"},
	}
	for want, kind := range cases {
		if got := optional.DefinitionOf(kind); got != want {
			t.Errorf("%s is defined by %s, want %s", kind, got, want)
		}
	}
}

func TestAKindIsAskedForOnlyWhereItIsServed(t *testing.T) {
	cases := map[string]struct {
		reason     string
		definition string
		want       bool
	}{
		"Served":      {"Both are true.", `{spec: {versions: [{name: v1, served: true}]}, status: {conditions: [{type: Established, status: "True"}]}}`, true},
		"New":         {"A definition is accepted before it is established.", `{spec: {versions: [{name: v1, served: true}]}, status: {conditions: [{type: NamesAccepted, status: "True"}]}}`, false},
		"Conflicting": {"Its names are another's.", `{spec: {versions: [{name: v1, served: true}]}, status: {conditions: [{type: Established, status: "False"}]}}`, false},
		"Older":       {"An older release has older versions.", `{spec: {versions: [{name: v1beta2, served: true}]}, status: {conditions: [{type: Established, status: "True"}]}}`, false},
		"Retired":     {"A version may be known and not served.", `{spec: {versions: [{name: v1, served: false}]}, status: {conditions: [{type: Established, status: "True"}]}}`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var d optional.DefinitionRead
			if err := yaml.Unmarshal([]byte(tc.definition), &d); err != nil {
				t.Fatal(err)
			}
			if got := d.Serves("v1"); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestOfADefinitionOnlyTheNameIsKept(t *testing.T) {
	kept := optional.Definition()
	kept.Name, kept.ResourceVersion, kept.UID, kept.Generation = "a.b", "7", "u", 2
	whole := kept.DeepCopy()
	whole.Labels, whole.Annotations = map[string]string{"a": "b"}, map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{…}"}
	whole.ManagedFields, whole.OwnerReferences = []metav1.ManagedFieldsEntry{{Manager: "m"}}, []metav1.OwnerReference{{Name: "o"}}
	got, err := optional.NameOnly(whole)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(kept), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	marker := toolscache.DeletedFinalStateUnknown{Key: "a.b"}
	if got, err := optional.NameOnly(marker); err != nil || got != any(marker) {
		t.Errorf("the cache's own marker becomes %v, %v", got, err)
	}
}
