package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/dora"
)

// Observer is told of every change of a delivery once it is recorded. The
// evaluations are those of the delivery, when it has ended.
type Observer func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, evaluations []lifecyclev1.KeptnEvaluation)

// AppVersionReconciler walks a delivery, which is a KeptnAppVersion, through its
// phases. It knows nothing of Git: what it needs of the commit is in the record.
type AppVersionReconciler struct {
	client.Client

	Clock     clock.PassiveClock
	Events    events.EventRecorder
	Observers []Observer
}

// delivery is what one reconcile of a KeptnAppVersion works on.
type delivery struct {
	kav *lifecyclev1.KeptnAppVersion
	now time.Time
	// live are the workloads of the delivery, in the record's order; nil where a
	// workload does not exist.
	live []*workload
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions/status,verbs=patch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the reconciler and what wakes it: its own record,
// its evaluations, the workloads it delivers, policies it waits for, and the
// end of the Lifecycle it belongs to.
func (r *AppVersionReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Named("keptnappversion").
		For(&lifecyclev1.KeptnAppVersion{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&lifecyclev1.KeptnEvaluation{}).
		Watches(&gitopsv1alpha1.SLOPolicy{}, r.wake(byMissingPolicy)).
		Watches(&gitopsv1alpha1.Lifecycle{}, r.wake(byLifecycle), builder.WithPredicates(onlyDeletes())).
		WithOptions(opts)
	for kind, object := range workloadObjects {
		b = b.Watches(object(), r.wakeByWorkload(kind))
	}
	return b.Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile moves the delivery as far as it can go.
func (r *AppVersionReconciler) Reconcile(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (reconcile.Result, error) {
	of, err := r.standing(ctx, kav)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case of == orphan:
		return reconcile.Result{}, client.IgnoreNotFound(r.Delete(ctx, kav))
	case of == stranger, kav.Status.Status.Completed() && kav.Status.ObservedGeneration == kav.Generation:
		return reconcile.Result{}, nil
	}
	before := kav.DeepCopy()
	recheck, err := r.progress(ctx, kav)
	if recordErr := r.record(ctx, before, kav); recordErr != nil {
		return apply.Result(0, recordErr)
	}
	return apply.Result(recheck, err)
}

// standing is what a delivery is to a Lifecycle.
type standing int

const (
	// stranger: somebody else made it. It is left alone.
	stranger standing = iota
	// member: it is a Lifecycle's.
	member
	// orphan: its Lifecycle is gone.
	orphan
)

// standing finds out what the delivery is to the Lifecycle that it names.
func (r *AppVersionReconciler) standing(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (standing, error) {
	ref := kav.Spec.Lifecycle
	if ref == nil || kav.Spec.Commit == nil {
		return stranger, nil
	}
	var lc gitopsv1alpha1.Lifecycle
	err := r.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &lc)
	if apierrors.IsNotFound(err) {
		return orphan, nil
	}
	if err != nil {
		return stranger, err
	}
	var source gitopsv1alpha1.GitSource
	err = r.Get(ctx, types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}, &source)
	if err != nil {
		return stranger, client.IgnoreNotFound(err)
	}
	mine, err := belongs(ctx, r, kav, &lc, &source)
	if err != nil || !mine {
		return stranger, err
	}
	return member, nil
}

// progress brings the status up to date, in memory.
func (r *AppVersionReconciler) progress(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (time.Duration, error) {
	d := &delivery{kav: kav, now: r.Clock.Now()}
	for _, p := range appPhases() {
		recordOf(&kav.Status, p.name)
	}
	if kav.Status.StartTime.IsZero() {
		kav.Status.StartTime = *timestamp(d.now)
	}
	if err := r.see(ctx, d); err != nil {
		return 0, err
	}
	var recheck time.Duration
	var err error
	if replaced := d.replaced(); replaced != nil {
		giveUp(d, reasonSuperseded, fmt.Sprintf("another pod template took the place of %s's", replaced))
	} else {
		recheck, err = r.advance(ctx, d)
	}
	conclude(d)
	d.measureLeadTime()
	d.summarize()
	return recheck, err
}

// see reads the workloads of the delivery.
func (r *AppVersionReconciler) see(ctx context.Context, d *delivery) error {
	for _, ref := range d.kav.Spec.Workloads {
		key := types.NamespacedName{Namespace: cmp.Or(ref.Namespace, d.kav.Namespace), Name: ref.Name}
		w, err := seeWorkload(ctx, r, ref.Kind, key)
		if err != nil {
			return err
		}
		d.live = append(d.live, w)
	}
	return nil
}

// replaced returns a workload that carried the delivery's pod template and now
// carries another, or nil.
func (d *delivery) replaced() *workload {
	for i, w := range d.live {
		if hash := d.kav.Spec.Workloads[i].TemplateHash; w != nil && hash != "" && w.TemplateHash != hash {
			return w
		}
	}
	return nil
}

// measureLeadTime records the lead time of a delivery that has succeeded and
// whose rollout began under our eyes.
func (d *delivery) measureLeadTime() {
	s, commit := &d.kav.Status, d.kav.Spec.Commit
	if s.LeadTime != nil || !s.Status.Passed() || commit == nil || d.kav.Spec.Adopted {
		return
	}
	lead, err := dora.LeadTime(commit.AuthoredAt.Time, s.EndTime.Time)
	if err != nil {
		return
	}
	s.LeadTime = duration(lead)
}

// summarize derives the conditions from the phases.
func (d *delivery) summarize() {
	s := &d.kav.Status
	s.ObservedGeneration = d.kav.Generation
	current := decisive(s)
	switch {
	case s.Status.Passed():
		condition.Summarize(d.kav, condition.Ready(current.Reason, "%s", current.Message))
	case s.Status.Completed():
		condition.Summarize(d.kav, condition.Failed(current.Reason, "%s", current.Message))
	default:
		condition.Summarize(d.kav, condition.Waiting(current.Reason, "%s", current.Message))
	}
}

// decisive is the phase that speaks for the delivery: the one that did not pass,
// else the last.
func decisive(s *lifecyclev1.KeptnAppVersionStatus) lifecyclev1.PhaseRecord {
	var last lifecyclev1.PhaseRecord
	for _, rec := range s.Phases {
		last = rec
		if !rec.State.Passed() {
			break
		}
	}
	if last.Reason == "" {
		last.Reason = reasonProgressing
	}
	return last
}

// record writes the status if it changed, and tells of the change.
func (r *AppVersionReconciler) record(ctx context.Context, before, kav *lifecyclev1.KeptnAppVersion) error {
	var evaluations []lifecyclev1.KeptnEvaluation
	var err error
	if kav.Status.Status.Completed() {
		if evaluations, err = r.evaluationsOf(ctx, kav); err != nil {
			return err
		}
	}
	written, err := apply.Status(ctx, r.Client, before, kav)
	if err != nil || !written {
		return err
	}
	announcePhases(r.Events, before, kav)
	for _, observe := range r.Observers {
		observe(ctx, before, kav, evaluations)
	}
	return nil
}

// wake maps an object to the deliveries that an index finds for it.
func (r *AppVersionReconciler) wake(index string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, client.MatchingFields{index: client.ObjectKeyFromObject(obj).String()})
	})
}

// wakeByWorkload maps a workload to the deliveries under way that deliver it.
func (r *AppVersionReconciler) wakeByWorkload(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, client.MatchingFields{byWorkload: workloadKey(kind, obj.GetNamespace(), obj.GetName())})
	})
}

func (r *AppVersionReconciler) find(ctx context.Context, fields client.MatchingFields) []reconcile.Request {
	var found lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &found, fields); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List deliveries by index", "fields", fields)
		return nil
	}
	requests := make([]reconcile.Request, len(found.Items))
	for i := range found.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&found.Items[i])
	}
	return requests
}

// announcePhases emits one event for every phase whose state changed.
func announcePhases(recorder events.EventRecorder, before, after *lifecyclev1.KeptnAppVersion) {
	for _, rec := range after.Status.Phases {
		was := before.Phase(rec.Name)
		if was != nil && was.State == rec.State || rec.State == lifecyclev1.StatePending {
			continue
		}
		kind, verb := corev1.EventTypeNormal, phaseVerb(rec.State)
		if verb == "Failed" {
			kind = corev1.EventTypeWarning
		}
		recorder.Eventf(after, nil, kind, string(rec.Name)+verb, string(rec.Name), "%s", condition.Note(rec.Message))
	}
}

// phaseVerb is the end of an event's reason, as Keptn has them.
func phaseVerb(s lifecyclev1.KeptnState) string {
	switch s {
	case lifecyclev1.StateProgressing:
		return "Started"
	case lifecyclev1.StateSucceeded, lifecyclev1.StateWarning:
		return "Finished"
	case lifecyclev1.StateDeprecated:
		return "Deprecated"
	default:
		return "Failed"
	}
}

var _ reconcile.ObjectReconciler[*lifecyclev1.KeptnAppVersion] = &AppVersionReconciler{}
