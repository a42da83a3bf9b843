package evidence

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// How Argo CD marks what it applies
// (https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/).
const (
	trackingAnnotation = "argocd.argoproj.io/tracking-id"
	trackingLabel      = "app.kubernetes.io/instance"
)

// tracking is what an object says of its Application. Without a namespace it is in
// Argo CD's own.
type tracking struct {
	namespace, name string
	byLabel         bool
}

// trackedBy reads the tracking of an object. An annotation is of the object that it
// names, and a copy of it is none; the label may be set by anyone.
func trackedBy(o object) (tracking, bool) {
	if id := o.annotations[trackingAnnotation]; id != "" {
		app, of, _ := strings.Cut(id, ":")
		if of != fmt.Sprintf("%s/%s:%s/%s", o.Group, o.Kind, o.namespace, o.name) {
			return tracking{}, false
		}
		return trackingOf(app, false)
	}
	return trackingOf(o.labels[trackingLabel], true)
}

// trackingOf reads the name by which Argo CD tracks: <app>, or <namespace>_<app>.
func trackingOf(app string, byLabel bool) (tracking, bool) {
	namespace, name, found := strings.Cut(app, "_")
	if !found {
		namespace, name = "", app
	}
	return tracking{namespace: namespace, name: name, byLabel: byLabel}, name != ""
}

// named is the object of a kind of Flux' that labels name.
func named(kind schema.GroupVersionKind, labels map[string]string) (document, bool) {
	of := document{kind, types.NamespacedName{Namespace: labels[kind.Group+"/namespace"], Name: labels[kind.Group+"/name"]}}
	return of, of.Namespace != "" && of.Name != ""
}

// Kinds are empty objects of the kinds that apply, for whoever watches them.
func Kinds() []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, kind := range []schema.GroupVersionKind{kustomizationKind, helmReleaseKind, applicationKind} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind)
		all = append(all, u)
	}
	return all
}

// Appliers are keys of those that a workload names as its appliers, for a field index
// of workloads. Concerned gives the keys to look up.
func Appliers(kind string, w metav1.Object) []string {
	o := objectOf(kindOf(kind), w, time.Time{})
	var keys []string
	for _, of := range []func(map[string]string) (document, bool){kustomizationOf, helmReleaseOf} {
		if by, ok := of(o.labels); ok {
			keys = append(keys, key(by.Kind, by.Namespace, by.Name))
		}
	}
	if id, ok := trackedBy(o); ok {
		keys = append(keys, key(applicationKind.Kind, id.namespace, id.name))
	}
	return keys
}

// ReleaseOf is the HelmRelease that a workload names as the one that installed it, and
// whether it names one. Anyone may do so.
func ReleaseOf(w metav1.Object) (release types.NamespacedName, named bool) {
	of, named := helmReleaseOf(w.GetLabels())
	return of.NamespacedName, named
}

// ReleaseKey is the key under which Appliers has the workloads of a HelmRelease.
func ReleaseKey(release types.NamespacedName) string {
	return key(helmReleaseKind.Kind, release.Namespace, release.Name)
}

// Concerned are the keys under which Appliers has the workloads whose claims may be
// others now that an applier has changed: a Kustomization, a HelmRelease or an
// Application, each with its status. A HelmRelease that another one applied is
// among them, as its workloads' claims are its own.
func Concerned(applier *unstructured.Unstructured) []string {
	kind := applier.GetKind()
	keys := []string{key(kind, applier.GetNamespace(), applier.GetName())}
	if kind == applicationKind.Kind {
		keys = append(keys, key(kind, "", applier.GetName()))
	}
	for _, release := range releases(applier) {
		keys = append(keys, key(helmReleaseKind.Kind, release.Namespace, release.Name))
	}
	return keys
}

func key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// releases are the HelmReleases that an applier has applied: of the inventory of
// Flux' kinds, or of Argo CD's resources.
func releases(applier *unstructured.Unstructured) []types.NamespacedName {
	var all []types.NamespacedName
	entries, _, _ := unstructured.NestedSlice(applier.Object, "status", "inventory", "entries")
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		id, _ := entry["id"].(string)
		if parts := strings.Split(id, "_"); len(parts) == 4 && parts[2] == helmReleaseKind.Group && parts[3] == helmReleaseKind.Kind {
			all = append(all, types.NamespacedName{Namespace: parts[0], Name: parts[1]})
		}
	}
	resources, _, _ := unstructured.NestedSlice(applier.Object, "status", "resources")
	for _, r := range resources {
		is, _ := r.(map[string]any)
		if is["group"] == helmReleaseKind.Group && is["kind"] == helmReleaseKind.Kind {
			namespace, _ := is["namespace"].(string)
			name, _ := is["name"].(string)
			all = append(all, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	return all
}
