package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/policy"
)

// missingPolicyTimeout is how long a policy that does not exist is waited for.
const missingPolicyTimeout = 2 * time.Minute

// defaultRolloutTimeout applies where a record does not say it.
const defaultRolloutTimeout = 5 * time.Minute

// fieldOwner is who applies deliveries and evaluations.
const fieldOwner = "keptn-lifecycle"

// observeRollout waits until every workload runs the delivery's pod template.
func (r *AppVersionReconciler) observeRollout(_ context.Context, d *delivery, rec *lifecyclev1.PhaseRecord) (outcome, error) {
	timeout := defaultRolloutTimeout
	if t := d.kav.Spec.RolloutTimeout; t != nil {
		timeout = t.Duration
	}
	return rolledOut(d.kav.Spec, d.live, timeout-d.now.Sub(rec.StartTime.Time)), nil
}

// rolledOut decides from what was seen. It reads no clock and no cluster; left
// is the time that the rollout still has.
func rolledOut(spec lifecyclev1.KeptnAppVersionSpec, live []*workload, left time.Duration) outcome {
	var pods int32
	for i, w := range live {
		name := spec.Workloads[i].Kind + " " + spec.Workloads[i].Name
		o := settled(name, w, spec.Workloads[i].TemplateHash)
		switch {
		case o.state == lifecyclev1.StateSucceeded:
			pods += w.Replicas
		case o.state == lifecyclev1.StateProgressing && left <= 0:
			return failed(reasonTimeout, "%s when the time for the rollout was over", o.message)
		default:
			return o.in(max(left, 0))
		}
	}
	return passed("%s %s", count(pods, "pod runs", "pods run"), spec.Version)
}

// settled decides for one workload.
func settled(name string, w *workload, hash string) outcome {
	switch {
	case w == nil:
		return waiting(reasonWaiting, "%s does not exist", name)
	case hash == "":
		return waiting(reasonWaiting, "%s does not have the commit's pod template", name)
	case w.Rollout == status.FailedStatus:
		return failed(reasonFailed, "%s: %s", name, w.Message)
	case w.Rollout != status.CurrentStatus:
		return waiting(reasonProgressing, "%s: %s", name, w.Message)
	default:
		return passed("")
	}
}

func count(n int32, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// soak lets the time pass that the delivery is given to show itself.
func (r *AppVersionReconciler) soak(_ context.Context, d *delivery, rec *lifecyclev1.PhaseRecord) (outcome, error) {
	if d.kav.Spec.Soak == nil {
		return passed("no soak time"), nil
	}
	until := rec.StartTime.Add(d.kav.Spec.Soak.Duration)
	if left := until.Sub(d.now); left > 0 {
		return waiting(reasonWaiting, "soaking until %s", until.UTC().Format(time.TimeOnly+"Z")).in(left), nil
	}
	return passed("soaked for %s", d.kav.Spec.Soak.Duration), nil
}

// evaluatePolicies has every policy of the delivery evaluated, all at once, and
// waits for the last verdict.
func (r *AppVersionReconciler) evaluatePolicies(ctx context.Context, d *delivery, rec *lifecyclev1.PhaseRecord) (outcome, error) {
	if p := d.kav.Spec.Problem; p != "" {
		return outcome{state: lifecyclev1.StateUnknown, reason: reasonUnreadable, message: "cannot be judged: " + p}, nil
	}
	var evaluations []lifecyclev1.KeptnEvaluation
	var missing []string
	for _, named := range d.kav.Spec.PostDeploymentPolicies {
		e, err := r.ensureEvaluation(ctx, d, named)
		switch {
		case err != nil:
			return outcome{}, err
		case e == nil:
			missing = append(missing, named.Name)
		default:
			evaluations = append(evaluations, *e)
		}
	}
	d.kav.Status.PostDeploymentEvaluationTaskStatus = itemStatuses(evaluations)
	if len(missing) > 0 {
		return unresolved(missing, rec.StartTime.Add(missingPolicyTimeout).Sub(d.now)), nil
	}
	return judged(evaluations), nil
}

// unresolved decides where policies are missing; left is the time that they are
// still waited for.
func unresolved(missing []string, left time.Duration) outcome {
	message := fmt.Sprintf("no SLOPolicy %s, neither at the commit nor in the namespace", strings.Join(missing, ", "))
	if left <= 0 {
		return outcome{state: lifecyclev1.StateUnknown, reason: reasonInconclusive, message: message}
	}
	return waiting(reasonWaiting, "%s", message).in(left)
}

// resolve returns the policy as the commit has it, else as the namespace of the
// Lifecycle has it; nil where neither does.
func (r *AppVersionReconciler) resolve(ctx context.Context, kav *lifecyclev1.KeptnAppVersion, named lifecyclev1.NamedPolicy) (*gitopsv1alpha1.SLOPolicySpec, error) {
	if named.Spec != nil {
		return named.Spec, nil
	}
	var found gitopsv1alpha1.SLOPolicy
	err := r.Get(ctx, types.NamespacedName{Namespace: kav.Spec.Lifecycle.Namespace, Name: named.Name}, &found)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return &found.Spec, nil
}

// ensureEvaluation returns the record of a policy's evaluation, and begins one
// where there is none; nil where nobody has the policy. The record's name is
// derived, so that there is never a second.
func (r *AppVersionReconciler) ensureEvaluation(ctx context.Context, d *delivery, named lifecyclev1.NamedPolicy) (*lifecyclev1.KeptnEvaluation, error) {
	name := named.Name
	phase := string(lifecyclev1.PhaseAppPostDeployEvaluations)
	e := &lifecyclev1.KeptnEvaluation{}
	e.Namespace = d.kav.Namespace
	e.Name = resourceName(string(lifecyclev1.PostDeploymentEvaluationCheckType), name, digest(10, string(d.kav.UID), phase, name, "1"))
	err := r.Get(ctx, client.ObjectKeyFromObject(e), e)
	if err == nil || client.IgnoreNotFound(err) != nil {
		return e, err
	}
	spec, err := r.resolve(ctx, d.kav, named)
	if err != nil || spec == nil {
		return nil, err
	}
	previous, err := r.previous(ctx, d.kav, name, spec)
	if err != nil {
		return nil, err
	}
	e.Labels = d.kav.Labels
	e.Spec = lifecyclev1.KeptnEvaluationSpec{
		AppName:              d.kav.Spec.AppName,
		AppVersion:           d.kav.Spec.Version,
		EvaluationDefinition: name,
		Type:                 lifecyclev1.PostDeploymentEvaluationCheckType,
		Policy:               spec,
		Previous:             previous,
		Commit:               d.kav.Spec.Commit,
		Rollout:              rolloutOf(d.kav),
		Params:               d.kav.Spec.Params,
	}
	if p, err := policy.Compile(name, *spec); err == nil && p.ReadsCommits() {
		e.Spec.Commits, e.Spec.CommitsTruncated = d.kav.Spec.Commits, d.kav.Spec.CommitsTruncated
	}
	if err := apply.Own(d.kav, e, r.Scheme()); err != nil {
		return nil, err
	}
	return e, apply.Object(ctx, r.Client, e, fieldOwner)
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
	if rec := kav.Phase(lifecyclev1.PhaseAppDeploy); rec != nil {
		return rec.EndTime
	}
	return nil
}

// previous is the previous good delivery as a policy is compared with it: when it
// was judged, and what was measured then of the metrics that are defined as they
// were.
func (r *AppVersionReconciler) previous(ctx context.Context, kav *lifecyclev1.KeptnAppVersion, name string, spec *gitopsv1alpha1.SLOPolicySpec) (*lifecyclev1.PreviousDelivery, error) {
	good, err := r.previousGood(ctx, kav)
	if err != nil || good == nil {
		return nil, err
	}
	evaluations, err := r.evaluationsOf(ctx, good)
	if err != nil {
		return nil, err
	}
	previous := &lifecyclev1.PreviousDelivery{RolloutFinishedAt: rolloutEnd(good), EvaluatedAt: good.Status.EndTime}
	if good.Spec.Commit != nil {
		previous.Commit = good.Spec.Commit.SHA
	}
	for i := range evaluations {
		if e := &evaluations[i]; e.Spec.EvaluationDefinition == name && e.Spec.Policy != nil && e.Status.EvaluatedAt != nil {
			previous.EvaluatedAt = *e.Status.EvaluatedAt
			previous.Measurements = unchanged(e, spec)
		}
	}
	return previous, nil
}

// unchanged is what an evaluation measured of the metrics that the policy still
// defines alike.
func unchanged(e *lifecyclev1.KeptnEvaluation, spec *gitopsv1alpha1.SLOPolicySpec) []lifecyclev1.BaselineValue {
	var values []lifecyclev1.BaselineValue
	for _, m := range e.Status.Measurements {
		same := func(metrics []gitopsv1alpha1.Metric) int {
			return slices.IndexFunc(metrics, func(metric gitopsv1alpha1.Metric) bool { return metric.Name == m.Name })
		}
		was, is := same(e.Spec.Policy.Metrics), same(spec.Metrics)
		if m.Value != "" && was >= 0 && is >= 0 && equality.Semantic.DeepEqual(e.Spec.Policy.Metrics[was], spec.Metrics[is]) {
			values = append(values, lifecyclev1.BaselineValue{Name: m.Name, Value: m.Value})
		}
	}
	return values
}

// previousGood returns the newest delivery of the same Lifecycle that passed
// before this one began, or nil.
func (r *AppVersionReconciler) previousGood(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (*lifecyclev1.KeptnAppVersion, error) {
	var all lifecyclev1.KeptnAppVersionList
	ref := kav.Spec.Lifecycle
	if err := r.List(ctx, &all, client.MatchingFields{byLifecycle: ref.Namespace + "/" + ref.Name}); err != nil {
		return nil, fmt.Errorf("list deliveries of %s: %w", ref.Name, err)
	}
	var newest *lifecyclev1.KeptnAppVersion
	for i := range all.Items {
		other := &all.Items[i]
		if other.Namespace != kav.Namespace || !sameController(other, kav) || !other.Status.Status.Passed() || kav.Status.StartTime.Before(&other.Status.EndTime) {
			continue
		}
		if newest == nil || newest.Status.EndTime.Before(&other.Status.EndTime) {
			newest = other
		}
	}
	return newest, nil
}

// sameController says whether two deliveries are of one making: a record that
// somebody else made is no baseline.
func sameController(a, b *lifecyclev1.KeptnAppVersion) bool {
	return slices.Equal(controllerOf(a), controllerOf(b))
}

func (r *AppVersionReconciler) evaluationsOf(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) ([]lifecyclev1.KeptnEvaluation, error) {
	var found lifecyclev1.KeptnEvaluationList
	if err := r.List(ctx, &found, client.InNamespace(kav.Namespace), client.MatchingFields{byOwner: string(kav.UID)}); err != nil {
		return nil, fmt.Errorf("list evaluations of %s: %w", kav.Name, err)
	}
	return found.Items, nil
}

// judged decides from the evaluations.
func judged(evaluations []lifecyclev1.KeptnEvaluation) outcome {
	worst, decisive := lifecyclev1.StateSucceeded, (*lifecyclev1.KeptnEvaluation)(nil)
	for i := range evaluations {
		e := &evaluations[i]
		if !e.Status.OverallStatus.Completed() {
			return waiting(reasonProgressing, "evaluating %s%s", e.Spec.EvaluationDefinition, prefixed(": ", e.Status.Summary))
		}
		if state := worse(worst, e.Status.OverallStatus); decisive == nil || state != worst {
			worst, decisive = state, e
		}
	}
	if decisive == nil {
		return passed("no checks")
	}
	return outcome{state: worst, reason: verdictReasons[worst], message: decisive.Status.Summary}
}

var verdictReasons = map[lifecyclev1.KeptnState]string{
	lifecyclev1.StateSucceeded: reasonSucceeded,
	lifecyclev1.StateWarning:   reasonWarning,
	lifecyclev1.StateFailed:    reasonFailed,
	lifecyclev1.StateUnknown:   reasonInconclusive,
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func itemStatuses(evaluations []lifecyclev1.KeptnEvaluation) []lifecyclev1.ItemStatus {
	items := make([]lifecyclev1.ItemStatus, len(evaluations))
	for i := range evaluations {
		e := &evaluations[i]
		items[i] = lifecyclev1.ItemStatus{
			DefinitionName: e.Spec.EvaluationDefinition,
			Name:           e.Name,
			Status:         e.Status.OverallStatus,
			StartTime:      e.Status.StartTime,
			EndTime:        e.Status.EndTime,
		}
	}
	return items
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
