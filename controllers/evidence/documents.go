package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kinds that are read. Whoever does not have them has nothing applied by them.
var (
	kustomizationKind = schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"}
	helmReleaseKind   = schema.GroupVersionKind{Group: "helm.toolkit.fluxcd.io", Version: "v2", Kind: "HelmRelease"}
	applicationKind   = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"}

	sourceVersion     = schema.GroupVersion{Group: "source.toolkit.fluxcd.io", Version: "v1"}
	gitRepositoryKind = sourceVersion.WithKind("GitRepository")
	ociRepositoryKind = sourceVersion.WithKind("OCIRepository")
)

// document names an object.
type document struct {
	schema.GroupVersionKind
	types.NamespacedName
}

// String is what users write.
func (d document) String() string { return d.Kind + " " + d.NamespacedName.String() }

// read is an object that was read, or that there is none.
type read struct{ object *unstructured.Unstructured }

// documents are read once for all workloads of one explanation: each of these was seen
// before the first document is read.
type documents struct {
	reader client.Reader
	read   map[document]*read
	// owners are what was found of HelmReleases among them.
	owners map[document]Explanation
}

func newDocuments(r client.Reader) *documents {
	return &documents{reader: r, read: map[document]*read{}, owners: map[document]Explanation{}}
}

// get reads an object into its type, and says whether there is one.
func (d *documents) get(ctx context.Context, of document, into any) (bool, error) {
	known, ok := d.read[of]
	if !ok {
		known = &read{}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(of.GroupVersionKind)
		switch err := d.reader.Get(ctx, of.NamespacedName, u); {
		case err == nil:
			known.object = u
		case !absent(err):
			return false, fmt.Errorf("read %s: %w", of, err)
		}
		d.read[of] = known
	}
	if known.object == nil {
		return false, nil
	}
	return true, convert(known.object, into)
}

// absent says whether there is no such object, or no such kind.
func absent(err error) bool { return apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) }

func convert(from *unstructured.Unstructured, into any) error {
	content, err := from.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		return fmt.Errorf("%s %s/%s: %w", from.GetKind(), from.GetNamespace(), from.GetName(), err)
	}
	return nil
}

// specWrittenAt is when something of an object but its status was last written.
func specWrittenAt(o metav1.Object) time.Time {
	at := o.GetCreationTimestamp().Time
	for _, entry := range o.GetManagedFields() {
		if entry.Subresource == "" && entry.Time != nil && entry.Time.After(at) {
			at = entry.Time.Time
		}
	}
	return at
}

// statusWrittenAt is when the status of an object was last written, by the API
// server's clock.
func statusWrittenAt(o metav1.Object) (at time.Time) {
	for _, entry := range o.GetManagedFields() {
		if entry.Subresource == "status" && entry.Time != nil && entry.Time.After(at) {
			at = entry.Time.Time
		}
	}
	return at
}
