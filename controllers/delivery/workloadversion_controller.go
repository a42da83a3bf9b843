package delivery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/options"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/record"
)

// WorkloadVersionReconciler walks a delivery of a workload, which is a
// KeptnWorkloadVersion, through its phases, once its app lets it.
type WorkloadVersionReconciler struct {
	client.Client

	Clock  clock.PassiveClock
	Events recorder.EventRecorder
	// Teller is told of every change of a delivery once it is recorded.
	Teller *telemetry.Teller
	// Traced says that traces are exported: then tasks are told of theirs.
	Traced bool
	// Logger makes the logger of a reconcile; nil: one that knows the record's name.
	Logger func(*reconcile.Request) logr.Logger
	// OwnNamespace is where definitions are looked up that a namespace does not have.
	OwnNamespace string
	// Rollouts says that the cluster has Argo Rollouts.
	Rollouts bool
}

// workloadDelivery is what one reconcile of a KeptnWorkloadVersion works on.
type workloadDelivery struct {
	*subject

	kwv      *lifecyclev1.KeptnWorkloadVersion
	config   config
	progress workload.Progress
	// stuck is the workload where its rollout has failed, or nil.
	stuck *workload.Workload
}

func (d *workloadDelivery) checked() *subject { return d.subject }

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloadversions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloadversions/status,verbs=patch
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts,verbs=get;list;watch

// SetupWithManager registers the reconciler and what wakes it: its own record, its
// tasks and evaluations, its app's deliveries, newer deliveries of the same workload,
// its workload, and definitions it waits for.
func (r *WorkloadVersionReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Named("keptnworkloadversion").
		For(&lifecyclev1.KeptnWorkloadVersion{}, builder.WithPredicates(asked())).
		Owns(&lifecyclev1.KeptnEvaluation{}).
		Owns(&lifecyclev1.KeptnTask{}).
		Watches(&lifecyclev1.KeptnAppVersion{}, wake(r, workloadsOfApp)).
		Watches(&lifecyclev1.KeptnWorkloadVersion{}, wake(r, sameWorkload), builder.WithPredicates(onlyCreates())).
		WithOptions(opts).
		WithLogConstructor(r.Logger)
	for _, definition := range definitions() {
		b = b.Watches(definition, wake(r, workloadVersions.waitingFor), builder.WithPredicates(onlyCreates()))
	}
	for _, kind := range r.kinds() {
		object, _ := workload.New(kind)
		b = b.Watches(object, wake(r, ofResource))
	}
	return b.Watches(&appsv1.ControllerRevision{}, wake(r, ofRevision), builder.WithPredicates(revised())).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func (r *WorkloadVersionReconciler) kinds() []string {
	kinds := []string{workload.Deployment, workload.StatefulSet, workload.DaemonSet, workload.ReplicaSet}
	if r.Rollouts {
		kinds = append(kinds, workload.Rollout)
	}
	return kinds
}

// Reconcile moves the delivery as far as it can go.
func (r *WorkloadVersionReconciler) Reconcile(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) (reconcile.Result, error) {
	if owner := metav1.GetControllerOf(kwv); owner == nil || !kwv.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil // somebody else made it, or it goes
	}
	before := kwv.DeepCopy()
	recheck, err := r.progress(ctx, kwv)
	t := r.teller(kwv)
	t.complain(ctx, &kwv.Status.Delivery, err)
	if later := putOff(workloadGoesOn(before, kwv), &kwv.Status.Delivery, kwv.CreationTimestamp, r.Clock.Now()); later > 0 {
		return apply.Result(sooner(recheck, later), err)
	}
	written, recordErr := r.record(ctx, before, kwv)
	if recordErr != nil {
		return apply.Result(0, recordErr)
	}
	if written {
		for reason, what := range holds {
			if says(kwv, reason) && !says(before, reason) {
				t.tell(lifecyclev1.PhaseAppPreDeployEvaluations, what, "")
			}
		}
		t.announce(&before.Status.Delivery, &kwv.Status.Delivery, workloadCompleted)
	}
	return apply.Result(recheck, err)
}

// record writes the status if it changed, and has others told of the change.
func (r *WorkloadVersionReconciler) record(ctx context.Context, before, kwv *lifecyclev1.KeptnWorkloadVersion) (bool, error) {
	var facts record.Facts
	var err error
	if telemetry.WorkloadNeedsFacts(before, kwv) {
		if facts, err = r.checker().facts(ctx, kwv); err != nil {
			return false, err
		}
	}
	all, err := deliveriesOfApp(ctx, r, kwv.Namespace, kwv.Spec.AppName)
	if err != nil {
		return false, err
	}
	written, err := apply.Status(ctx, r.Client, before, kwv)
	if err == nil && written {
		app := newestOf(all, func(kav *lifecyclev1.KeptnAppVersion) bool { return brings(kav, kwv) })
		r.Teller.Workload(ctx, before, kwv, app, facts)
	}
	return written, err
}

// teller tells of a delivery of a workload.
func (r *WorkloadVersionReconciler) teller(kwv *lifecyclev1.KeptnWorkloadVersion) teller {
	return teller{r.Events, kwv, kwv.Spec.Version, map[string]string{
		"appName": kwv.Spec.AppName, "workloadName": kwv.Spec.WorkloadName,
		"workloadVersion": kwv.Spec.Version, "workloadVersionName": kwv.Name,
	}}
}

// progress brings the status up to date, in memory. The delivery began when it was
// made, as with Keptn: also what it waits for is part of it.
func (r *WorkloadVersionReconciler) progress(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) (time.Duration, error) {
	table, s := r.phases(), &kwv.Status.Delivery
	if handled(kwv, s, table.Retry); s.Status.Completed() && s.ObservedGeneration == kwv.Generation {
		return 0, nil
	}
	if s.StartTime.IsZero() {
		s.StartTime = kwv.CreationTimestamp
	}
	d, err := r.delivery(ctx, kwv)
	if err != nil {
		return 0, err
	}
	why, cancelled := kwv.Annotations[lifecyclev1.CancelAnnotation]
	var recheck time.Duration
	switch {
	case cancelled:
		if err := r.checker().stop(ctx, kwv); err != nil {
			return 0, err
		}
		table.Begin(s, d.now)
		table.Cancel(s, cancelMessage(why), d.now)
	case d.progress.Superseded:
		if err := r.checker().stop(ctx, kwv); err != nil {
			return 0, err
		}
		table.Begin(s, d.now)
		table.GiveUp(s, phase.Superseded, "the workload has a newer revision", d.now)
	default:
		waiting, appErr := r.awaitApp(ctx, d)
		if appErr != nil || waiting != nil {
			return 0, r.wait(kwv, waiting, appErr)
		}
		table.Begin(s, d.now)
		recheck, err = table.Advance(ctx, d, s, phase.Options{Now: d.now, Blocking: d.config.blocking})
	}
	table.Conclude(d, s, d.now)
	condition.Summarize(kwv, conclusion(s))
	s.ObservedGeneration = kwv.Generation
	return recheck, err
}

// wait says what a delivery waits for that has not begun.
func (r *WorkloadVersionReconciler) wait(kwv *lifecyclev1.KeptnWorkloadVersion, waiting *condition.Outcome, err error) error {
	if err == nil {
		condition.Summarize(kwv, *waiting)
		kwv.Status.ObservedGeneration = kwv.Generation
	}
	return err
}

func (r *WorkloadVersionReconciler) checker() checker { return checker{r.Client, r.OwnNamespace} }

// delivery gathers what a walk needs.
func (r *WorkloadVersionReconciler) delivery(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) (*workloadDelivery, error) {
	c, err := options.Config(ctx, r)
	if err != nil {
		return nil, err
	}
	d := &workloadDelivery{kwv: kwv, config: configOf(c)}
	if err := r.follow(ctx, d); err != nil {
		return nil, err
	}
	spec := &kwv.Spec
	d.subject = &subject{
		owner: kwv, asked: spec.Asked, fields: kwv.Status.Fields,
		now: r.Clock.Now(), timeout: d.config.checkTimeout,
		task: lifecyclev1.TaskContext{
			AppName: spec.AppName, WorkloadName: spec.WorkloadName, WorkloadVersion: spec.Version, ObjectType: "Workload",
		},
		evaluation: lifecyclev1.KeptnEvaluationSpec{
			AppName: spec.AppName, Workload: spec.WorkloadName, WorkloadVersion: spec.Version,
		},
		rollout: func() *lifecyclev1.Rollout {
			return &lifecyclev1.Rollout{PreviousVersion: spec.PreviousVersion, StartedAt: started(kwv), FinishedAt: deployed(kwv)}
		},
		policyNamespace: kwv.Namespace,
		previousGood:    func(ctx context.Context) (*good, error) { return r.previousGood(ctx, kwv) },
	}
	return d, nil
}

// follow looks how far the rollout has come. A newer delivery of the workload takes
// the place of this one, also where the revision is the same or is gone.
func (r *WorkloadVersionReconciler) follow(ctx context.Context, d *workloadDelivery) error {
	kwv := d.kwv
	var err error
	if d.progress, err = workload.Follow(ctx, r, kwv.Namespace, kwv.Spec.ResourceReference); err != nil {
		return err
	}
	if d.progress.Status == status.FailedStatus {
		if d.stuck, err = workload.Top(ctx, r, kwv.Namespace, kwv.Spec.ResourceReference); err != nil {
			return err
		}
	}
	all, err := r.ofSameWorkload(ctx, kwv)
	d.progress.Superseded = d.progress.Superseded || slices.ContainsFunc(all, func(other lifecyclev1.KeptnWorkloadVersion) bool {
		return other.Spec.WorkloadGeneration > kwv.Spec.WorkloadGeneration
	})
	return err
}

// ofSameWorkload are all deliveries of the workload that one is of.
func (r *WorkloadVersionReconciler) ofSameWorkload(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) ([]lifecyclev1.KeptnWorkloadVersion, error) {
	var all lifecyclev1.KeptnWorkloadVersionList
	if err := r.List(ctx, &all, client.InNamespace(kwv.Namespace), client.MatchingFields{workload.ByController: string(uidOf(kwv))}); err != nil {
		return nil, fmt.Errorf("list deliveries of %s: %w", kwv.Spec.WorkloadName, err)
	}
	return all.Items, nil
}

// adopt takes over the metadata of the app's delivery, or what is known of it where it
// is gone; the workload's own goes before it.
func (d *workloadDelivery) adopt(kav *lifecyclev1.KeptnAppVersion, traced bool) {
	d.task.Metadata = map[string]string{}
	if kav != nil {
		d.kwv.Status.AppContextMetadata = kav.Spec.Metadata
		d.task.Metadata = handedOn(kav, traced)
	} else {
		maps.Copy(d.task.Metadata, d.kwv.Status.AppContextMetadata)
	}
	maps.Copy(d.task.Metadata, d.kwv.Spec.Metadata)
}

func started(kwv *lifecyclev1.KeptnWorkloadVersion) *metav1.Time {
	if kwv.Status.DeploymentStartTime.IsZero() {
		return nil
	}
	return &kwv.Status.DeploymentStartTime
}

// deployed is when the workload ran the delivery, or nil.
func deployed(kwv *lifecyclev1.KeptnWorkloadVersion) *metav1.Time {
	if rec := kwv.Status.Phase(lifecyclev1.PhaseWorkloadDeploy); rec != nil {
		return rec.EndTime
	}
	return nil
}

// previousGood returns the newest delivery of the workload that passed before this
// one began, or nil.
func (r *WorkloadVersionReconciler) previousGood(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) (*good, error) {
	all, err := r.ofSameWorkload(ctx, kwv)
	if err != nil {
		return nil, err
	}
	var newest *good
	for i := range all {
		other := &all[i]
		if !other.Status.Status.Passed() || kwv.Status.StartTime.Before(&other.Status.EndTime) {
			continue
		}
		newest = later(newest, &good{namespace: other.Namespace, uid: other.UID, finishedAt: other.Status.EndTime, rolledOut: deployed(other)})
	}
	return newest, nil
}

var _ reconcile.ObjectReconciler[*lifecyclev1.KeptnWorkloadVersion] = &WorkloadVersionReconciler{}
