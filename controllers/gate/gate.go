// Package gate lets pods start once the checks of their revision have passed. The
// admission policies in config/admission add a scheduling gate to pods as they are
// created; this package tells them by annotations of the namespace which workloads
// are gated from Git and which revisions are released, and takes the gate off the
// pods of those. It never adds a gate, never touches another controller's, and
// decides no check.
package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/workload"
)

// Annotations of a namespace that the admission policy reads. Each is a list that
// begins and ends with a comma.
const (
	// GatedAnnotation lists the workloads whose pods are gated though the namespace
	// does not ask for it, as <Kind>/<name>: those that a Lifecycle in Git names.
	GatedAnnotation = "gitops.keptn.sh/gated"
	// ReleasedAnnotation lists the revisions whose pods are not gated, each as
	// workload.Key has it.
	ReleasedAnnotation = "gitops.keptn.sh/released"
)

// FieldOwner is in whose name namespaces and pods are written.
const FieldOwner = "keptn-gate"

// How much is kept in memory: pods whose gate is gone though the cache shows it
// still, and hashes of pod templates.
const (
	rememberedPods   = 8192
	rememberedHashes = 8192
)

// parallel is how many gates of a namespace are removed at a time.
const parallel = 16

// rest is how long a namespace rests between two writes that only add released
// revisions: everyone who watches namespaces is sent the whole list each time.
const rest = time.Second

// Reconciler opens the gates of one namespace at a time. Make it by New.
type Reconciler struct {
	client.Client
	// APIReader reads what the cache does not show yet.
	APIReader client.Reader
	// Managed says whether the annotations of a workload, or of its pod template, ask
	// for it to be delivered with checks.
	Managed func(*workload.Workload) bool
	Clock   clock.PassiveClock

	hashes *lru.Cache[hashed, string]
	opened *lru.Cache[types.UID, struct{}]
	// observing is why nothing is gated; nil while that is not known.
	observing atomic.Pointer[string]

	mu sync.Mutex
	// said are the last writes to namespaces.
	said map[string]said
}

// said is a write to a namespace: the version that came of it, and when that was.
type said struct {
	version string
	at      time.Time
}

// New makes a Reconciler. Its client must read its own writes.
func New(c client.Client, live client.Reader, wall clock.PassiveClock, managed func(*workload.Workload) bool) *Reconciler {
	hashes, _ := lru.New[hashed, string](rememberedHashes)    // fails for no size above 0
	opened, _ := lru.New[types.UID, struct{}](rememberedPods) // as well
	return &Reconciler{
		Client: c, APIReader: live, Managed: managed, Clock: wall,
		hashes: hashes, opened: opened, said: map[string]said{},
	}
}

// Reconcile says in the namespace's annotations what is released, and opens the
// gates of the pods that may start.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ns, err := r.namespace(ctx, req.Name)
	if ns == nil || err != nil || !ns.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, err
	}
	v, seeErr := r.see(ctx, ns)
	if v == nil {
		return reconcile.Result{}, seeErr
	}
	granted, earlier := v.granted(), v.earlier()
	doubtful := v.doubtful(granted, earlier)
	lives, err := r.lives(ctx, ns.Name, doubtful)
	if err != nil {
		return reconcile.Result{}, err
	}
	free := released(granted, earlier, doubtful, lives)
	later, err := r.release(ctx, ns, v, free)
	return apply.Result(later, errors.Join(seeErr, err))
}

// namespace reads a namespace. One that does not exist is nil.
func (r *Reconciler) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	ns := &corev1.Namespace{}
	err := r.Get(ctx, types.NamespacedName{Name: name}, ns)
	if err == nil {
		return ns, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.said, name)
	return nil, client.IgnoreNotFound(err)
}

// say writes the annotations of a namespace that the admission policy reads, where
// they are not there already, and returns after which time it has to be asked again.
// Where nothing is gated nobody reads them.
func (r *Reconciler) say(ctx context.Context, ns *corev1.Namespace, v *view, released map[string]time.Time) (time.Duration, error) {
	if r.Observing() != "" {
		return 0, nil
	}
	wanted := map[string]any{GatedAnnotation: nil, ReleasedAnnotation: nil}
	r.list(ctx, wanted, GatedAnnotation, slices.Sorted(maps.Keys(v.claims)), maxGated)
	if v.enabled || len(v.claims) > 0 {
		r.list(ctx, wanted, ReleasedAnnotation, byAge(released), maxReleased)
	}
	if holds(ns, wanted) {
		return 0, nil
	}
	if later := r.resting(ns); later > 0 && onlyAdds(ns, wanted, released) {
		return later, nil
	}
	// What was decided on older annotations could lose some of them.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": ns.ResourceVersion, "annotations": wanted}})
	if err != nil {
		return 0, fmt.Errorf("write annotations of namespace %s: %w", ns.Name, err)
	}
	own := &corev1.Namespace{}
	own.Name = ns.Name
	err = r.Patch(ctx, own, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldOwner))
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("write annotations of namespace %s: %w", ns.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said[ns.Name] = said{own.ResourceVersion, r.Clock.Now()}
	return 0, nil
}

// resting is how long a namespace still rests from its last write.
func (r *Reconciler) resting(ns *corev1.Namespace) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, written := r.said[ns.Name]
	if !written {
		return 0
	}
	return rest - r.Clock.Since(last.at)
}

// onlyAdds says whether all that a namespace lists as released stays so, and nothing
// else changes.
func onlyAdds(ns *corev1.Namespace, wanted map[string]any, released map[string]time.Time) bool {
	gated, lists := ns.Annotations[GatedAnnotation]
	if lists != (wanted[GatedAnnotation] != nil) || lists && gated != wanted[GatedAnnotation] {
		return false
	}
	return !slices.ContainsFunc(read(ns.Annotations[ReleasedAnnotation]), func(key string) bool {
		_, stays := released[key]
		return !stays
	})
}

// holds says whether a namespace has the annotations that are wanted, and none where
// nil is.
func holds(ns *corev1.Namespace, wanted map[string]any) bool {
	for name, value := range wanted {
		text, has := ns.Annotations[name]
		if has != (value != nil) || has && text != value {
			return false
		}
	}
	return true
}

// list adds an annotation, where there is something to list.
func (r *Reconciler) list(ctx context.Context, annotations map[string]any, name string, entries []string, limit int) {
	text, dropped := write(entries, limit)
	if text != "" {
		annotations[name] = text
	}
	if dropped > 0 {
		ctrl.LoggerFrom(ctx).Info("An annotation of the namespace is full: entries are left out", "annotation", name, "leftOut", dropped, "first", entries[0])
	}
}

// open removes our gate from pods.
func (r *Reconciler) open(ctx context.Context, pods []gatedPod) error {
	errs := make([]error, len(pods))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i := range pods {
		group.Go(func() error {
			errs[i] = Open(ctx, r.Client, types.NamespacedName{Namespace: pods[i].namespace, Name: pods[i].name}, pods[i].uid)
			if errs[i] == nil {
				r.opened.Add(pods[i].uid, struct{}{})
			}
			return nil
		})
	}
	_ = group.Wait() // errs has them all
	return errors.Join(errs...)
}

// opening removes our gate and no other, whatever other gates there are by then, of
// the pod with this UID: one that took its name since is another's.
var opening = strings.Join([]string{
	`{"metadata":{"uid":%q,"annotations":{"` + lifecyclev1.SchedulingGateRemovedAnnotation + `":"true"}},`,
	`"spec":{"schedulingGates":[{"$patch":"delete","name":"` + lifecyclev1.SchedulingGate + `"}]}}`,
}, "")

// release says what is released and opens the gates, at the same time: a pod that is
// created between the two is gated, and opened by the reconcile that it causes. It
// returns after which time there is more to say.
func (r *Reconciler) release(ctx context.Context, ns *corev1.Namespace, v *view, free map[string]time.Time) (later time.Duration, err error) {
	var sayErr, openErr error
	var both sync.WaitGroup
	both.Go(func() { later, sayErr = r.say(ctx, ns, v, free) })
	both.Go(func() { openErr = r.open(ctx, v.free(free)) })
	both.Wait()
	return later, errors.Join(sayErr, openErr)
}

// Open removes our gate from a pod by one request, and leaves those of others. A pod
// that is gone, or another one of its name, is no error.
func Open(ctx context.Context, c client.Writer, key types.NamespacedName, uid types.UID) error {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = key.Namespace, key.Name
	patch := client.RawPatch(types.StrategicMergePatchType, fmt.Appendf(nil, opening, uid))
	// The cache has no pods with a node, and would never show one that has got it.
	err := c.Patch(ctx, pod, patch, client.FieldOwner(FieldOwner), client.DisableReadYourWritesConsistency)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("remove the scheduling gate of pod %s: %w", key, err)
}
