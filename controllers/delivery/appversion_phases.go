package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
)

// ErrNotPromoted is an error of a Promoter that asking again will not mend.
var ErrNotPromoted = errors.New("not promoted")

// A LaterError is an error of a Promoter that is not to be asked again for a while.
type LaterError struct {
	After time.Duration
	Err   error
}

// Error implements error.
func (e *LaterError) Error() string { return e.Err.Error() }

// Unwrap is the error by itself.
func (e *LaterError) Unwrap() error { return e.Err }

// phases is the life of an app's delivery, first to last.
func (r *AppVersionReconciler) phases() phase.Table[*appDelivery] {
	return tableOf(r.checker(), lifecyclev1.AppPhases(), map[lifecyclev1.Phase]run[*appDelivery]{
		lifecyclev1.PhaseAppDeploy: r.deploy,
		lifecyclev1.PhaseAppSoak:   soak,
		lifecyclev1.PhasePromotion: r.promotion,
	})
}

// deploy waits for the rollout: that of the commit, or those of all workloads.
func (r *AppVersionReconciler) deploy(ctx context.Context, d *appDelivery, rec *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
	if d.kav.Spec.Lifecycle != nil {
		for _, w := range d.live {
			if w != nil && heldUp(w, d.kav.CreationTimestamp.Time, rec.StartTime.Time) {
				w.Status = status.InProgressStatus
			}
		}
		return rolledOut(d.kav.Spec, d.live, d.config.rolloutTimeout-d.now.Sub(rec.StartTime.Time)), nil
	}
	statuses := make([]lifecyclev1.WorkloadStatus, len(d.parts))
	for i, p := range d.parts {
		statuses[i] = lifecyclev1.WorkloadStatus{Workload: d.kav.Spec.Workloads[i], Status: lifecyclev1.StatePending}
		if p.ours == nil {
			continue
		}
		statuses[i].Status = cmp.Or(p.ours.Status.Status, lifecyclev1.StatePending)
		again, err := r.handOnRetry(ctx, d.kav, p.ours, rec)
		if err != nil {
			return phase.Outcome{}, err
		}
		if again {
			statuses[i].Status = lifecyclev1.StateProgressing
		}
	}
	d.kav.Status.WorkloadStatus = statuses
	return allDelivered(statuses, d.parts), nil
}

// handOnRetry has a workload's delivery that failed run again where the app's is run
// again, and says whether it is to.
func (r *AppVersionReconciler) handOnRetry(ctx context.Context, kav *lifecyclev1.KeptnAppVersion, kwv *lifecyclev1.KeptnWorkloadVersion, rec *lifecyclev1.PhaseRecord) (bool, error) {
	token := kav.Name + "/" + kav.Status.LastHandledRetry
	s := &kwv.Status
	if rec.Attempt == 0 || !s.Status.Completed() || s.Status.Passed() || s.LastHandledRetry == token {
		return false, nil
	}
	if kwv.Annotations[lifecyclev1.RetryAnnotation] == token {
		return true, nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, lifecyclev1.RetryAnnotation, token)
	if err := r.Patch(ctx, kwv.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(fieldOwner)); err != nil {
		return false, fmt.Errorf("retry %s: %w", kwv.Name, err)
	}
	return true, nil
}

// allDelivered decides from the deliveries of an app's workloads.
func allDelivered(statuses []lifecyclev1.WorkloadStatus, parts []part) phase.Outcome {
	items := make([]phase.Item, len(statuses))
	for i, s := range statuses {
		items[i] = phase.Item{
			ItemStatus: lifecyclev1.ItemStatus{DefinitionName: s.Workload.Name + " " + s.Workload.Version, Status: s.Status},
			Missing:    s.Status == lifecyclev1.StatePending, Summary: "not delivered yet",
		}
		if s.Status.Completed() {
			items[i].Summary = fmt.Sprintf("%s %s: %s", s.Workload.Name, s.Workload.Version, s.Status)
			if !s.Status.Passed() && i < len(parts) && parts[i].ours != nil {
				items[i].Summary += ": " + phase.Decisive(&parts[i].ours.Status.Delivery).Message
			}
		}
	}
	o := phase.Judge("workloads", items)
	if o.Reason == phase.Missing {
		o.State, o.Reason = lifecyclev1.StateProgressing, phase.Waiting
	}
	return o
}

// soak lets the time pass that the delivery is given to show itself.
func soak(_ context.Context, d *appDelivery, rec *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
	if d.kav.Spec.Soak == nil {
		return phase.Skip("no soak time"), nil
	}
	until := rec.StartTime.Add(d.kav.Spec.Soak.Duration)
	if left := until.Sub(d.now); left > 0 {
		return phase.Wait(phase.Waiting, "soaking until %s", until.UTC().Format(time.TimeOnly+"Z")).In(left), nil
	}
	return phase.Pass("soaked for %s", d.kav.Spec.Soak.Duration), nil
}

// promotion runs the tasks of the promotion, and then has what was delivered
// promoted.
func (r *AppVersionReconciler) promotion(ctx context.Context, d *appDelivery, rec *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
	o, err := r.checker().runChecks(ctx, d.subject, rec)
	if err != nil || !o.State.Passed() || d.kav.Spec.PullRequest == nil || r.Promote == nil {
		return o, err
	}
	url, message, err := r.Promote(ctx, d.kav)
	switch {
	case errors.Is(err, ErrNotPromoted):
		return phase.Fail(phase.Failed, "%v", err), nil
	case err != nil:
		return inTime(phase.Wait(phase.Waiting, "trying again: %v", err), rec, d.subject).In(promoteAgain(err)), nil
	}
	d.kav.Status.PullRequestURL = url
	return phase.Pass("%s", message), nil
}

// retryPromotion is the time between two tries to promote while a forge is down.
const retryPromotion = 15 * time.Second

// promoteAgain is the time until the next try after one that failed.
func promoteAgain(err error) time.Duration {
	var later *LaterError
	if errors.As(err, &later) {
		return max(retryPromotion, later.After)
	}
	return retryPromotion
}

// rolloutOf is what a policy can read of the rollout.
func rolloutOf(kav *lifecyclev1.KeptnAppVersion) *lifecyclev1.Rollout {
	return &lifecyclev1.Rollout{
		Environment:     kav.Spec.Environment,
		PreviousVersion: kav.Spec.PreviousVersion,
		StartedAt:       kav.Spec.RolloutStartedAt,
		FinishedAt:      rolloutEnd(kav),
	}
}

// rolloutEnd is when every workload ran the delivery, or nil.
func rolloutEnd(kav *lifecyclev1.KeptnAppVersion) *metav1.Time {
	if rec := kav.Status.Phase(lifecyclev1.PhaseAppDeploy); rec != nil {
		return rec.EndTime
	}
	return nil
}
