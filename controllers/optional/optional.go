// Package optional watches kinds that a cluster need not have, as those of Flux and
// Argo CD: from when it has them, be that long after the controllers began, until it
// has them no more. It never asks for a kind that is not there, never waits for one,
// and never changes anything.
package optional

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// discovery is how long the API server may take to tell of a kind after its definition
// is established, which no event says.
const discovery = 100 * time.Millisecond

// Kinds are the kinds that are watched where there are any. It is safe for concurrent
// use.
type Kinds struct {
	scheme *runtime.Scheme
	mapper meta.RESTMapper
	cache  cache.Cache
	// live asks the API server.
	live client.Reader

	mu sync.RWMutex
	// watches by the name of the definition of their kind.
	watches map[string][]*watch
}

// watch is what one controller wants to know of one kind.
type watch struct {
	kind   schema.GroupVersionKind
	object client.Object
	begin  func() error
	begun  bool
}

// New returns Kinds of which nothing is watched yet. They have to be registered with
// the manager by SetupWithManager, after what watches them.
func New(mgr ctrl.Manager) *Kinds {
	return &Kinds{
		scheme: mgr.GetScheme(), mapper: mgr.GetRESTMapper(), cache: mgr.GetCache(), live: mgr.GetAPIReader(),
		watches: map[string][]*watch{},
	}
}

// Watch has a controller handle the events of object's kind and version while the
// cluster has them: those of all objects when it begins. It is called before the manager
// starts. The definition's plural is the regular one of the kind; object is empty, and
// typed, unstructured or metadata alone, as it is to be cached. When the kind goes,
// its objects go before it, each with its event.
func (k *Kinds) Watch(c controller.Controller, object client.Object, h handler.EventHandler, when ...predicate.Predicate) error {
	gvk, err := apiutil.GVKForObject(object, k.scheme)
	if err != nil {
		return fmt.Errorf("watch %T: %w", object, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := definitionOf(gvk)
	k.watches[name] = append(k.watches[name], &watch{kind: gvk, object: object, begin: func() error {
		return c.Watch(source.Kind(k.cache, object, h, when...))
	}})
	return nil
}

// definitionOf is the name of the CustomResourceDefinition of a kind.
func definitionOf(gvk schema.GroupVersionKind) string {
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural.GroupResource().String()
}

// Get reads an object of a kind that is watched from the cache, and any other from the
// API server, as long as the cache is not filled too. It implements client.Reader.
func (k *Kinds) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return k.reader(ctx, obj).Get(ctx, key, obj, opts...)
}

// List reads objects from the API server. It implements client.Reader.
func (k *Kinds) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return k.live.List(ctx, list, opts...)
}

// reader is where an object is read: a cache that is not filled, or never is for want of
// a right, would keep who reads waiting.
func (k *Kinds) reader(ctx context.Context, obj client.Object) client.Reader {
	gvk, err := apiutil.GVKForObject(obj, k.scheme)
	if err != nil {
		return k.live
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, w := range k.watches[definitionOf(gvk)] {
		if !w.begun || w.kind != gvk || reflect.TypeOf(w.object) != reflect.TypeOf(obj) {
			continue
		}
		informer, err := k.cache.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
		if err == nil && informer.HasSynced() {
			return k.cache
		}
	}
	return k.live
}

// Definition is the metadata of a CustomResourceDefinition, which is all that is cached
// of one.
func Definition() *metav1.PartialObjectMetadata {
	definition := &metav1.PartialObjectMetadata{}
	definition.SetGroupVersionKind(definitionKind)
	return definition
}

var definitionKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// NameOnly is a transform of the cache that leaves of an object what it takes to see
// that it changes.
func NameOnly(obj any) (any, error) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return obj, nil //nolint:nilerr // a marker of the cache's own
	}
	accessor.SetLabels(nil)
	accessor.SetAnnotations(nil)
	accessor.SetOwnerReferences(nil)
	accessor.SetManagedFields(nil)
	return obj, nil
}

// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=get;list;watch

// SetupWithManager registers what begins and ends the watches: the definitions of their
// kinds.
func (k *Kinds) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	wanted := predicate.NewPredicateFuncs(func(obj client.Object) bool {
		k.mu.RLock()
		defer k.mu.RUnlock()
		return len(k.watches[obj.GetName()]) > 0
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("optional-kinds").
		For(Definition(), builder.WithPredicates(wanted)).
		WithOptions(opts).
		Complete(k)
}

// Reconcile begins or ends the watches of the kind that a definition is of.
func (k *Kinds) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	raw := &unstructured.Unstructured{}
	raw.SetGroupVersionKind(definitionKind)
	err := k.live.Get(ctx, req.NamespacedName, raw)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, k.end(ctx, req.Name)
	}
	if err != nil || raw.GetDeletionTimestamp() != nil {
		return reconcile.Result{}, err // the watches tell of the objects that go with it
	}
	var d definition
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Object, &d); err != nil {
		return reconcile.Result{}, fmt.Errorf("read CustomResourceDefinition %s: %w", req.Name, err)
	}
	return k.begin(req.Name, &d)
}

// definition is what tells whether a kind can be asked for.
type definition struct {
	Spec struct {
		Versions []struct {
			Name   string `json:"name"`
			Served bool   `json:"served"`
		} `json:"versions"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// serves says whether the API server serves a version of the kind.
func (d *definition) serves(version string) bool {
	if !meta.IsStatusConditionTrue(d.Status.Conditions, "Established") {
		return false
	}
	for _, v := range d.Spec.Versions {
		if v.Name == version {
			return v.Served
		}
	}
	return false
}

// begin begins the watches of a kind that the API server serves. One that it does not
// serve yet is tried again when its definition changes.
func (k *Kinds) begin(name string, d *definition) (reconcile.Result, error) {
	for _, w := range k.of(name) {
		if w.begun || !d.serves(w.kind.Version) {
			continue
		}
		_, err := k.mapper.RESTMapping(w.kind.GroupKind(), w.kind.Version)
		if meta.IsNoMatchError(err) {
			return reconcile.Result{RequeueAfter: discovery}, nil
		}
		if err == nil {
			err = w.begin() // may wait for the controller to begin, so that nothing is locked
		}
		if err != nil {
			return reconcile.Result{}, fmt.Errorf("watch %s: %w", w.kind, err)
		}
		k.note(w, true)
	}
	return reconcile.Result{}, nil
}

// end ends the watches of a kind that is gone: an informer would ask for it for ever.
func (k *Kinds) end(ctx context.Context, name string) error {
	for _, w := range k.of(name) {
		if !w.begun {
			continue
		}
		k.note(w, false)
		if err := k.cache.RemoveInformer(ctx, w.object); err != nil {
			return fmt.Errorf("stop watching %s: %w", w.kind, err)
		}
	}
	return nil
}

// of are the watches of the kind that a definition is of. Only the reconcile of that
// definition writes to them, and there is one at a time.
func (k *Kinds) of(name string) []*watch {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.watches[name]
}

func (k *Kinds) note(w *watch, begun bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.begun = begun
}
