package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/telemetry/record"
)

// ensureEvaluation returns how an evaluation stands, and begins one where there is
// none.
func (c checker) ensureEvaluation(ctx context.Context, of *subject, key itemKey, recorded lifecyclev1.ItemStatus) (phase.Item, error) {
	e := &lifecyclev1.KeptnEvaluation{ObjectMeta: metav1.ObjectMeta{Namespace: of.owner.GetNamespace(), Name: key.object(of)}}
	err := c.Get(ctx, client.ObjectKeyFromObject(e), e)
	if err == nil && metav1.IsControlledBy(e, of.owner) {
		return evaluationItem(e), nil
	}
	if client.IgnoreNotFound(err) != nil {
		return phase.Item{}, fmt.Errorf("read evaluation: %w", err)
	}
	if recorded.Status.Completed() {
		return phase.Item{ItemStatus: recorded}, nil
	}
	found, err := c.resolve(ctx, of, key.definition)
	if err != nil {
		return phase.Item{}, err
	}
	if found == nil {
		return missing(key.definition, "no KeptnEvaluationDefinition, SLOPolicy or AnalysisDefinition of this name"), nil
	}
	e.Labels = of.owner.GetLabels()
	e.Spec = of.evaluation
	e.Spec.Rollout = of.rollout()
	e.Spec.EvaluationDefinition, e.Spec.Type = key.definition, key.kind
	e.Spec.EvaluationRetries, e.Spec.AnalysisDefinition, e.Spec.Policy = found.retries, found.analysis, found.policy
	if err := c.addHistory(ctx, of, e); err != nil {
		return phase.Item{}, err
	}
	return evaluationItem(e), c.create(ctx, createEvaluation, of.owner, e)
}

func evaluationItem(e *lifecyclev1.KeptnEvaluation) phase.Item {
	return phase.Item{Summary: e.Status.Summary, ItemStatus: lifecyclev1.ItemStatus{
		DefinitionName: e.Spec.EvaluationDefinition,
		Name:           e.Name,
		Status:         cmp.Or(e.Status.OverallStatus, lifecyclev1.StatePending),
		StartTime:      e.Status.StartTime,
		EndTime:        e.Status.EndTime,
	}}
}

// resolved is what a name of an evaluation stands for.
type resolved struct {
	policy   *gitopsv1alpha1.SLOPolicySpec
	analysis *lifecyclev1.AnalysisDefinitionReference
	retries  lifecyclev1.EvaluationRetries
}

// resolve returns what a name of an evaluation stands for, or nil: the policy of the
// commit, else the first of these kinds in the cluster that has the name.
func (c checker) resolve(ctx context.Context, of *subject, name string) (*resolved, error) {
	for i := range of.policies {
		if p := &of.policies[i]; p.Name == name && p.Spec != nil {
			return &resolved{policy: p.Spec}, nil
		}
	}
	definition := &lifecyclev1.KeptnEvaluationDefinition{}
	if ok, err := c.lookUp(ctx, definition, name, of.owner.GetNamespace(), c.ownNamespace); ok || err != nil {
		return &resolved{retries: definition.Spec.EvaluationRetries}, err
	}
	slo := &gitopsv1alpha1.SLOPolicy{}
	if ok, err := c.lookUp(ctx, slo, name, of.policyNamespace, c.ownNamespace); ok || err != nil {
		return &resolved{policy: &slo.Spec}, err
	}
	analysis := &metricsv1.AnalysisDefinition{}
	if ok, err := c.lookUp(ctx, analysis, name, of.owner.GetNamespace(), c.ownNamespace); ok || err != nil {
		return &resolved{analysis: &lifecyclev1.AnalysisDefinitionReference{Name: name, Namespace: analysis.Namespace}}, err
	}
	return nil, nil //nolint:nilnil // no definition is an answer, and the caller waits for it
}

// addHistory adds what a policy may compare with.
func (c checker) addHistory(ctx context.Context, of *subject, e *lifecyclev1.KeptnEvaluation) error {
	if e.Spec.Policy == nil {
		return nil
	}
	if p, err := policy.Compile(e.Spec.EvaluationDefinition, *e.Spec.Policy); err == nil && p.ReadsCommits() {
		e.Spec.Commits, e.Spec.CommitsTruncated = of.commits.list, of.commits.truncated
	}
	before, err := of.previousGood(ctx)
	if err != nil || before == nil {
		return err
	}
	e.Spec.Previous, err = c.previous(ctx, before, e.Spec.EvaluationDefinition, e.Spec.Policy)
	return err
}

// good is a delivery that passed.
type good struct {
	namespace  string
	uid        types.UID
	commit     string
	rolledOut  *metav1.Time
	finishedAt metav1.Time
}

// later is the one of two good deliveries that ended last.
func later(a, b *good) *good {
	if a == nil || a.finishedAt.Before(&b.finishedAt) {
		return b
	}
	return a
}

// previous is the previous good delivery as a policy is compared with it: when it
// was judged, and what was measured then of the metrics that are defined as they
// were.
func (c checker) previous(ctx context.Context, before *good, name string, spec *gitopsv1alpha1.SLOPolicySpec) (*lifecyclev1.PreviousDelivery, error) {
	evaluations, err := c.evaluationsOf(ctx, before.namespace, before.uid)
	if err != nil {
		return nil, err
	}
	previous := &lifecyclev1.PreviousDelivery{Commit: before.commit, RolloutFinishedAt: before.rolledOut, EvaluatedAt: before.finishedAt}
	for i := range evaluations {
		if e := &evaluations[i]; e.Spec.EvaluationDefinition == name && e.Spec.Policy != nil && e.Status.EvaluatedAt != nil {
			previous.EvaluatedAt = *e.Status.EvaluatedAt
			previous.Measurements = unchanged(e, spec)
		}
	}
	return previous, nil
}

// facts are the tasks and the evaluations of a delivery, as telemetry tells of them.
func (c checker) facts(ctx context.Context, owner client.Object) (record.Facts, error) {
	evaluations, err := c.evaluationsOf(ctx, owner.GetNamespace(), owner.GetUID())
	if err != nil {
		return record.Facts{}, err
	}
	var tasks lifecyclev1.KeptnTaskList
	if err := c.List(ctx, &tasks, client.InNamespace(owner.GetNamespace()), client.MatchingFields{byOwner: string(owner.GetUID())}); err != nil {
		return record.Facts{}, fmt.Errorf("list tasks: %w", err)
	}
	return record.Facts{Tasks: tasks.Items, Evaluations: evaluations}, nil
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

func (c checker) evaluationsOf(ctx context.Context, namespace string, owner types.UID) ([]lifecyclev1.KeptnEvaluation, error) {
	var found lifecyclev1.KeptnEvaluationList
	if err := c.List(ctx, &found, client.InNamespace(namespace), client.MatchingFields{byOwner: string(owner)}); err != nil {
		return nil, fmt.Errorf("list evaluations: %w", err)
	}
	return found.Items, nil
}
