package delivery

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
)

// phases is the life of a workload's delivery, first to last.
func (r *WorkloadVersionReconciler) phases() phase.Table[*workloadDelivery] {
	return tableOf(r.checker(), lifecyclev1.WorkloadPhases(), map[lifecyclev1.Phase]run[*workloadDelivery]{
		lifecyclev1.PhaseWorkloadDeploy: deployWorkload,
	})
}

// deployWorkload waits until the workload runs the revision.
func deployWorkload(_ context.Context, d *workloadDelivery, rec *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
	d.kwv.Status.DeploymentStartTime = *rec.StartTime
	if d.stuck != nil && heldUp(d.stuck, d.kwv.CreationTimestamp.Time, rec.StartTime.Time) {
		d.progress.Status = status.InProgressStatus
	}
	return running(d.progress, d.config.rolloutTimeout-d.now.Sub(rec.StartTime.Time), d.kwv.Spec.Version), nil
}

// running decides from how far a rollout has come; left is the time that it still has.
func running(p workload.Progress, left time.Duration, version string) phase.Outcome {
	switch {
	case p.Status == status.CurrentStatus:
		return phase.Pass("%s %s", count(p.Replicas, "pod runs", "pods run"), version)
	case p.Status == status.FailedStatus:
		return phase.Fail(phase.Failed, "%s", p.Message)
	case left <= 0:
		return phase.Fail(phase.Timeout, "has reached timeout: %s", p.Message)
	default:
		return phase.Wait(phase.Progressing, "%s", p.Message).In(left)
	}
}

// awaitApp says what a delivery of a workload waits for before it may begin: its
// app's newest delivery has to bring it, and to have passed its own checks before
// the deployment. It is nil where nothing is waited for. What has begun goes on,
// whatever the app delivers next: the delivery that let it go may wait for it.
func (r *WorkloadVersionReconciler) awaitApp(ctx context.Context, d *workloadDelivery) (*condition.Outcome, error) {
	all, err := deliveriesOfApp(ctx, r, d.kwv.Namespace, d.kwv.Spec.AppName)
	if err != nil {
		return nil, err
	}
	if !begun(&d.kwv.Status.Delivery) {
		if o, waiting := held(newestOf(all, anyOf), d.kwv); waiting {
			return &o, nil
		}
	}
	d.adopt(newestOf(all, func(kav *lifecyclev1.KeptnAppVersion) bool { return brings(kav, d.kwv) }), r.Traced)
	return nil, nil //nolint:nilnil // nothing to wait for is an answer
}

// begun says whether a delivery has come to a phase, and was not taken back since.
func begun(d *lifecyclev1.Delivery) bool {
	return slices.ContainsFunc(d.Phases, func(rec lifecyclev1.PhaseRecord) bool { return rec.StartTime != nil })
}

// Why an app holds a workload.
const (
	// reasonAppFailed: the checks of the app failed, and the workload waits for better
	// ones.
	reasonAppFailed = "AppFailed"
	// reasonAppVersionNotFound: no delivery of the app brings the workload's version.
	reasonAppVersionNotFound = "AppVersionNotFound"
)

// holds are how events tell of what an app holds a workload for.
var holds = map[string]verb{
	reasonAppFailed:          {"Failed", "has failed since app has failed", corev1.EventTypeWarning},
	reasonAppVersionNotFound: {"AppVersionNotFound", "has failed since app could not be found", corev1.EventTypeWarning},
}

// says says whether the conditions of a delivery have a reason.
func says(kwv *lifecyclev1.KeptnWorkloadVersion, reason string) bool {
	return slices.ContainsFunc(kwv.Status.Conditions, func(c metav1.Condition) bool { return c.Reason == reason })
}

// held decides whether a workload may be delivered.
func held(newest *lifecyclev1.KeptnAppVersion, kwv *lifecyclev1.KeptnWorkloadVersion) (condition.Outcome, bool) {
	switch {
	case newest == nil:
		return condition.Waiting(reasonAppVersionNotFound, "waiting for a KeptnAppVersion of app %s", kwv.Spec.AppName), true
	case !brings(newest, kwv):
		return condition.Waiting(reasonAppVersionNotFound, "waiting for a KeptnAppVersion of app %s that brings version %s: the newest is %s",
			kwv.Spec.AppName, kwv.Spec.Version, newest.Name), true
	case newest.Released() && phase.Decisive(&newest.Status.Delivery).Reason == phase.Cancelled:
		return condition.Waiting(phase.Cancelled, "%s was cancelled", newest.Name), true
	case newest.Released():
		return condition.Outcome{}, false
	case newest.Status.Status.Completed() && newest.Status.Status != lifecyclev1.StateDeprecated:
		return condition.Waiting(reasonAppFailed, "the checks before the deployment of %s failed: %s",
			newest.Name, phase.Decisive(&newest.Status.Delivery).Message), true
	default:
		return condition.Waiting(phase.Waiting, "waiting for the checks before the deployment of %s", newest.Name), true
	}
}

// brings says whether an app's delivery brings a workload's version.
func brings(kav *lifecyclev1.KeptnAppVersion, kwv *lifecyclev1.KeptnWorkloadVersion) bool {
	return slices.ContainsFunc(kav.Spec.Workloads, func(ref lifecyclev1.KeptnWorkloadRef) bool {
		return ref.Version == kwv.Spec.Version && workload.ResourceName(kav.Spec.AppName, ref.Name) == kwv.Spec.WorkloadName
	})
}
