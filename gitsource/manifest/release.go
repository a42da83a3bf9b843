package manifest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Release is a HelmRelease of Flux that a folder deploys. Its chart is not rendered: the
// workloads that it makes are known to the cluster alone.
type Release struct {
	// Namespace is empty where the manifests leave it to whoever applies them.
	Namespace string
	// Name in its namespace.
	Name string
	// Target is the namespace that it installs into, spec.targetNamespace; empty where
	// that is its own.
	Target string
	// Digest identifies what is released. It differs between two commits where the later
	// one changes the HelmRelease, but for what says how and when to release it (such as
	// interval, timeout, upgrade and suspend); a ConfigMap or Secret beside it that
	// valuesFrom names; or its chart, if that is a folder of the same tree: then its
	// version, and with the reconcileStrategy Revision all that is in it
	// (https://fluxcd.io/flux/components/source/helmcharts/#reconcile-strategy).
	// Encrypted values count as they are.
	Digest string
	// Object identifies what of that the HelmRelease says itself: where it differs, the
	// cluster knows another generation of the HelmRelease.
	Object string
}

// helmRelease is a HelmRelease as it is rendered.
type helmRelease struct {
	namespace, name string
	spec            map[string]any
}

// valueSource is a ConfigMap or Secret, which can hold values of a HelmRelease.
type valueSource struct {
	kind, name string
	data       json.RawMessage
}

// helmGroup is the API group of HelmReleases, of whichever version.
const helmGroup = "helm.toolkit.fluxcd.io/"

// handling are the fields of a HelmRelease's spec, of any version, that say how and when
// it is released, and not what
// (https://fluxcd.io/flux/components/helm/api/v2/#helm.toolkit.fluxcd.io/v2.HelmReleaseSpec).
func handling() []string {
	return []string{
		"dependsOn", "driftDetection", "healthCheckExprs", "install", "interval", "maxHistory", "persistentClient",
		"rollback", "serviceAccountName", "suspend", "test", "timeout", "uninstall", "upgrade", "waitStrategy",
	}
}

// helmReleaseOf reads a HelmRelease; ok is false for one that has no name, and for one
// that is released to another cluster.
func helmReleaseOf(id identity, data []byte) (hr helmRelease, ok bool, err error) {
	var fields map[string]any
	if err := utiljson.Unmarshal(data, &fields); err != nil {
		return hr, false, err
	}
	spec, _, _ := unstructured.NestedMap(fields, "spec")
	_, elsewhere := spec["kubeConfig"]
	return helmRelease{id.Metadata.Namespace, id.Metadata.Name, spec}, id.Metadata.Name != "" && !elsewhere, nil
}

// released are the releases among the objects of a folder.
func (t *tree) released(found *objects) ([]Release, error) {
	var all []Release
	for _, hr := range found.releases {
		values, err := valuesOf(hr, found.values)
		if err != nil {
			return nil, err
		}
		chart, err := t.chart(hr)
		if err != nil {
			return nil, err
		}
		what := maps.Clone(hr.spec)
		maps.DeleteFunc(what, func(field string, _ any) bool { return slices.Contains(handling(), field) })
		target, _, _ := unstructured.NestedString(hr.spec, "targetNamespace")
		all = append(all, Release{
			Namespace: hr.namespace, Name: hr.name, Target: target,
			Digest: digest(hr.namespace, hr.name, what, values, chart),
			Object: digest(hr.namespace, hr.name, what),
		})
	}
	slices.SortFunc(all, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest))
	})
	return all, nil
}

// valuesOf are the contents of the ConfigMaps and Secrets that a release takes values
// from, as far as they are rendered beside it.
func valuesOf(hr helmRelease, beside []valueSource) ([]any, error) {
	var all []any
	refs, _, _ := unstructured.NestedSlice(hr.spec, "valuesFrom")
	for _, ref := range refs {
		named, _ := ref.(map[string]any)
		for _, source := range beside {
			if named["kind"] != source.kind || named["name"] != source.name {
				continue
			}
			var content map[string]any
			if err := utiljson.Unmarshal(source.data, &content); err != nil {
				return nil, err
			}
			delete(content, "metadata")
			all = append(all, content)
		}
	}
	return all, nil
}
