package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// kind is one of the kinds that a lifecycle.yaml may hold.
type kind struct {
	apiVersion string // with / at its end, any version that Keptn serves
	kind       string
	// add decodes a valid object into the file.
	add func(*File, map[string]any) error
}

// taskDefinitionKind is the kind of a KeptnTaskDefinition.
const taskDefinitionKind = "KeptnTaskDefinition"

// kinds are all that a lifecycle.yaml may hold.
func kinds() []kind {
	own := v1alpha1.GroupVersion.String()
	return []kind{
		{own, v1alpha1.LifecycleKind, addTo(func(f *File) *[]v1alpha1.Lifecycle { return &f.Lifecycles })},
		{own, v1alpha1.SLOPolicyKind, addTo(func(f *File) *[]v1alpha1.SLOPolicy { return &f.Policies })},
		{lifecyclev1.GroupVersion.Group + "/", taskDefinitionKind, addTo(func(f *File) *[]lifecyclev1.KeptnTaskDefinition { return &f.TaskDefinitions })},
	}
}

// addTo returns a function that appends an object to a list of the file.
func addTo[T any](list func(*File) *[]T) func(*File, map[string]any) error {
	return func(f *File, fields map[string]any) error {
		data, err := json.Marshal(fields)
		if err != nil {
			return fmt.Errorf("reading the object: %w", err)
		}
		var o T
		if err := json.Unmarshal(data, &o); err != nil {
			return fmt.Errorf("reading the object: %w", err)
		}
		*list(f) = append(*list(f), o)
		return nil
	}
}

// kindOf finds the kind of an object, or says what is wrong about it.
func kindOf(fields map[string]any) (k kind, problem string) {
	apiVersion, _ := fields["apiVersion"].(string)
	name, _ := fields["kind"].(string)
	all := kinds()
	names := make([]string, 0, len(all))
	for _, k := range all {
		if k.kind == name && (k.apiVersion == apiVersion || isGroup(k.apiVersion, apiVersion)) {
			return k, ""
		}
		if k.kind == name {
			return kind{}, fmt.Sprintf("apiVersion %q is not known for kind %s: write %s", apiVersion, name, wanted(k))
		}
		names = append(names, k.kind)
	}
	if name == "" {
		return kind{}, fmt.Sprintf("kind is required: one of %s", strings.Join(names, ", "))
	}
	return kind{}, fmt.Sprintf("kind %q (apiVersion %q) has no place in a %s%s: it holds %s", name, apiVersion, FileName, didYouMean(name, names), strings.Join(names, ", "))
}

func isGroup(prefix, apiVersion string) bool {
	return strings.HasSuffix(prefix, "/") && slices.Contains([]string{"v1", "v1beta1"}, strings.TrimPrefix(apiVersion, prefix))
}

func wanted(k kind) string {
	if strings.HasSuffix(k.apiVersion, "/") {
		return k.apiVersion + "v1"
	}
	return k.apiVersion
}
