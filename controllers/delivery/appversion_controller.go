// Package delivery walks deliveries through their phases: those of apps
// (KeptnAppVersion) and of single workloads (KeptnWorkloadVersion). It has their
// checks run and judged, watches their rollouts, and records all that came of it.
//
// It knows nothing of Git: what it needs of a commit is in the record. It changes
// no workload and no pod; that pods wait until their delivery is released is package
// gate's.
package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/options"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/record"
)

// fieldOwner is who makes tasks and evaluations.
const fieldOwner = "keptn-delivery"

// Promoter promotes what a delivery delivered to the next stage, and returns where
// that can be seen. An error that is [ErrNotPromoted] will not go away by itself, and
// after a [LaterError] it is left in peace for a while.
type Promoter func(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (url, message string, err error)

// AppVersionReconciler walks a delivery of an app, which is a KeptnAppVersion,
// through its phases.
type AppVersionReconciler struct {
	client.Client

	Clock  clock.PassiveClock
	Events recorder.EventRecorder
	// Teller is told of every change of a delivery once it is recorded.
	Teller *telemetry.Teller
	// Traced says that traces are exported: then tasks and events are told of theirs.
	Traced bool
	// Logger makes the logger of a reconcile; nil: one that knows the record's name.
	Logger func(*reconcile.Request) logr.Logger
	// Promote is called once all that comes before the promotion has passed.
	Promote Promoter
	// OwnNamespace is where definitions are looked up that a namespace does not have.
	OwnNamespace string
}

// appDelivery is what one reconcile of a KeptnAppVersion works on.
type appDelivery struct {
	*subject

	kav    *lifecyclev1.KeptnAppVersion
	config config
	// live are the workloads of a delivery from Git, in the record's order; nil where
	// a workload does not exist.
	live []*workload.Workload
	// instead is the version that was rolled out since a delivery from Git was asked
	// for that never was; empty where there is none.
	instead string
	// parts are the workloads of a KeptnApp, in the record's order.
	parts []part
	// overtaken says that the KeptnApp has a newer delivery.
	overtaken bool
}

func (d *appDelivery) checked() *subject { return d.subject }

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions/status,verbs=patch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations;keptntasks,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptntaskdefinitions;keptnevaluationdefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=analysisdefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets;replicasets;controllerrevisions,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the reconciler and what wakes it: its own record, its
// tasks and evaluations, the workloads it delivers, definitions it waits for, newer
// deliveries of the same app, and the end of the Lifecycle it belongs to.
func (r *AppVersionReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Named("keptnappversion").
		For(&lifecyclev1.KeptnAppVersion{}, builder.WithPredicates(asked())).
		Owns(&lifecyclev1.KeptnEvaluation{}).
		Owns(&lifecyclev1.KeptnTask{}).
		Watches(&lifecyclev1.KeptnWorkloadVersion{}, wake(r, appsOfWorkload)).
		Watches(&lifecyclev1.KeptnAppVersion{}, wake(r, sameApp), builder.WithPredicates(onlyCreates())).
		Watches(&gitopsv1alpha1.Lifecycle{}, wake(r, ofLifecycle), builder.WithPredicates(onlyDeletes())).
		WithOptions(opts).
		WithLogConstructor(r.Logger)
	for _, definition := range definitions() {
		b = b.Watches(definition, wake(r, appVersions.waitingFor), builder.WithPredicates(onlyCreates()))
	}
	for kind, object := range workload.Committed {
		b = b.Watches(object(), wake(r, ofCommitted(kind)))
	}
	return b.Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile moves the delivery as far as it can go.
func (r *AppVersionReconciler) Reconcile(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (reconcile.Result, error) {
	if !kav.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	of, err := trust.StandingOf(ctx, r, kav)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case of == trust.Orphan:
		return reconcile.Result{}, client.IgnoreNotFound(r.Delete(ctx, kav))
	case of == trust.Stranger:
		return reconcile.Result{}, nil
	}
	before := kav.DeepCopy()
	d := &appDelivery{kav: kav, subject: &subject{fields: kav.Status.Fields, now: r.Clock.Now()}}
	recheck, err := r.progress(ctx, d)
	r.teller(kav).complain(ctx, &kav.Status.Delivery, err)
	if later := putOff(appGoesOn(before, kav), &kav.Status.Delivery, kav.CreationTimestamp, r.Clock.Now()); later > 0 {
		return apply.Result(sooner(recheck, later), err)
	}
	if recordErr := r.record(ctx, before, d); recordErr != nil {
		return apply.Result(0, recordErr)
	}
	return apply.Result(recheck, err)
}

// progress brings the status up to date, in memory.
func (r *AppVersionReconciler) progress(ctx context.Context, d *appDelivery) (time.Duration, error) {
	kav, now := d.kav, d.now
	table, s := r.phases(), &kav.Status
	if kav.Spec.Lifecycle == nil {
		all, err := deliveriesOfApp(ctx, r, kav.Namespace, kav.Spec.AppName)
		if err != nil {
			return 0, err
		}
		if again := replacementOf(kav, all); again != nil {
			return 0, r.retire(ctx, d, again.Name)
		}
		newest := newestOf(all, anyOf)
		d.overtaken = newest != nil && newest.UID != kav.UID
	}
	if handled(kav, &s.Delivery, table.Retry); s.Status.Completed() && s.ObservedGeneration == kav.Generation {
		return 0, nil
	}
	if err := r.gather(ctx, d); err != nil {
		return 0, err
	}
	table.Begin(&s.Delivery, now)
	recheck, err := r.walk(ctx, table, d)
	table.Conclude(d, &s.Delivery, now)
	d.measureLeadTime()
	d.summarize()
	return recheck, err
}

// retire marks a delivery as delivered again.
func (r *AppVersionReconciler) retire(ctx context.Context, d *appDelivery, again string) error {
	s := &d.kav.Status.Delivery
	if retired(s) {
		return nil
	}
	if !s.Status.Completed() {
		if err := r.checker().stop(ctx, d.kav); err != nil {
			return err
		}
	}
	table := r.phases()
	table.Begin(s, d.now)
	table.Deprecate(d, s, "delivered again as "+again, d.now)
	d.summarize()
	return nil
}

// walk moves the delivery on, unless something ends it.
func (r *AppVersionReconciler) walk(ctx context.Context, table phase.Table[*appDelivery], d *appDelivery) (time.Duration, error) {
	s := &d.kav.Status.Delivery
	if why, cancelled := d.kav.Annotations[lifecyclev1.CancelAnnotation]; cancelled {
		if err := r.checker().stop(ctx, d.kav); err != nil {
			return 0, err
		}
		table.Cancel(s, cancelMessage(why), d.now)
		return 0, nil
	}
	if by := d.superseded(); by != "" {
		if err := r.checker().stop(ctx, d.kav); err != nil {
			return 0, err
		}
		table.GiveUp(s, phase.Superseded, by, d.now)
		return 0, nil
	}
	return table.Advance(ctx, d, s, phase.Options{Now: d.now, Blocking: d.config.blocking})
}

func (r *AppVersionReconciler) checker() checker { return checker{r.Client, r.OwnNamespace} }

// gather adds what a walk needs.
func (r *AppVersionReconciler) gather(ctx context.Context, d *appDelivery) error {
	kav := d.kav
	c, err := options.Config(ctx, r)
	if err != nil {
		return err
	}
	d.config = configOf(c)
	d.config.override(kav.Spec.BlockDeployment, kav.Spec.CheckTimeout, kav.Spec.RolloutTimeout)
	d.subject = r.subjectOf(kav, d.now, d.config.checkTimeout)
	if kav.Spec.Lifecycle == nil {
		d.parts, err = r.parts(ctx, kav)
		return err
	}
	if d.instead, err = r.instead(ctx, kav); err != nil {
		return err
	}
	for _, ref := range kav.Spec.Workloads {
		w, err := workload.See(ctx, r, ref.Kind, types.NamespacedName{Namespace: namespaceOf(ref, kav), Name: ref.Name})
		if err != nil {
			return err
		}
		d.live = append(d.live, w)
	}
	return nil
}

// subjectOf is what the checks of an app's delivery are made from.
func (r *AppVersionReconciler) subjectOf(kav *lifecyclev1.KeptnAppVersion, now time.Time, timeout time.Duration) *subject {
	spec := &kav.Spec
	of := &subject{
		owner: kav, asked: spec.Asked, fields: kav.Status.Fields,
		now: now, timeout: timeout, problem: spec.Problem,
		task: lifecyclev1.TaskContext{AppName: spec.AppName, AppVersion: spec.Version, ObjectType: "App", Metadata: handedOn(kav, r.Traced)},
		evaluation: lifecyclev1.KeptnEvaluationSpec{
			AppName: spec.AppName, AppVersion: spec.Version,
			Commit: spec.Commit, Params: spec.Params,
		},
		rollout:     func() *lifecyclev1.Rollout { return rolloutOf(kav) },
		definitions: spec.TaskDefinitions, policies: spec.Policies, confinement: spec.Confinement,
		policyNamespace: kav.Namespace, commits: commits{spec.Commits, spec.CommitsTruncated},
		previousGood: func(ctx context.Context) (*good, error) { return r.previousGood(ctx, kav) },
	}
	if spec.Lifecycle != nil {
		of.policyNamespace = spec.Lifecycle.Namespace
	}
	return of
}

// measureLeadTime records the lead time of a delivery that has succeeded and
// whose rollout began under our eyes.
func (d *appDelivery) measureLeadTime() {
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
func (d *appDelivery) summarize() {
	condition.Summarize(d.kav, conclusion(&d.kav.Status.Delivery))
	d.kav.Status.ObservedGeneration = d.kav.Generation
}

// record writes the status if it changed, and tells of the change.
func (r *AppVersionReconciler) record(ctx context.Context, before *lifecyclev1.KeptnAppVersion, d *appDelivery) error {
	kav := d.kav
	var facts record.Facts
	var err error
	if telemetry.AppNeedsFacts(before, kav) {
		if facts, err = r.checker().facts(ctx, kav); err != nil {
			return err
		}
	}
	facts.Applier = d.applier()
	written, err := apply.Status(ctx, r.Client, before, kav)
	if err != nil || !written {
		return err
	}
	t := r.teller(kav)
	t.announce(&before.Status.Delivery, &kav.Status.Delivery, appCompleted)
	if rec := kav.Status.Phase(lifecyclev1.PhaseAppDeploy); rec != nil && begunAnew(&before.Status.Delivery, rec) {
		for _, name := range d.absent() {
			t.tell(reconcileWorkload, notFound, name)
		}
	}
	r.Teller.App(ctx, before, kav, facts)
	return nil
}

// applier is the object of Flux that applied the first of the delivered workloads.
func (d *appDelivery) applier() corev1.ObjectReference {
	for _, w := range d.live {
		if w != nil {
			return evidence.AppliedBy(w.Object.GetLabels())
		}
	}
	return corev1.ObjectReference{}
}

// teller tells of a delivery of an app.
func (r *AppVersionReconciler) teller(kav *lifecyclev1.KeptnAppVersion) teller {
	facts := map[string]string{"appName": kav.Spec.AppName, "appVersion": kav.Spec.Version, "appVersionName": kav.Name}
	if r.Traced {
		facts[lifecyclev1.TraceParentAnnotation] = record.OfApp(kav).Traceparent()
	}
	return teller{r.Events, kav, kav.Spec.Version, facts}
}

// previousGood returns the newest delivery of the same making that passed before this
// one began, or nil: a record that somebody else made is no baseline.
func (r *AppVersionReconciler) previousGood(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (*good, error) {
	var all lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &all, client.InNamespace(kav.Namespace), client.MatchingFields{workload.ByApp: kav.Spec.AppName}); err != nil {
		return nil, fmt.Errorf("list deliveries of %s: %w", kav.Spec.AppName, err)
	}
	var newest *good
	for i := range all.Items {
		other := &all.Items[i]
		if !sameController(other, kav) || !other.Status.Status.Passed() || kav.Status.StartTime.Before(&other.Status.EndTime) {
			continue
		}
		candidate := &good{namespace: other.Namespace, uid: other.UID, finishedAt: other.Status.EndTime, rolledOut: rolloutEnd(other)}
		if other.Spec.Commit != nil {
			candidate.commit = other.Spec.Commit.SHA
		}
		newest = later(newest, candidate)
	}
	return newest, nil
}

var _ reconcile.ObjectReconciler[*lifecyclev1.KeptnAppVersion] = &AppVersionReconciler{}
