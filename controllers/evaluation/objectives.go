package evaluation

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy"
)

const (
	// defaultRetries and defaultRetryInterval are what the API sets where nothing is
	// said.
	defaultRetries       = 10
	defaultRetryInterval = 5 * time.Second
	// minRetryInterval is how often at most an evaluation looks: KeptnMetrics are
	// measured no more often.
	minRetryInterval = time.Second
)

// maxMessage is how much is kept of why an objective is not met, in bytes.
const maxMessage = 1 << 10

// look looks once at the objectives of a KeptnEvaluationDefinition that are not met
// yet, where it is time to, and returns when it is again.
func (r *Reconciler) look(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) (time.Duration, error) {
	definition, err := r.definition(ctx, e)
	if apierrors.IsNotFound(err) {
		begin(e, now)
		state := lifecyclev1.StatePending
		if e.Status.RetryCount > 0 {
			state = lifecyclev1.StateProgressing
		}
		proceed(e, state, reasonNotFound, fmt.Sprintf("no KeptnEvaluationDefinition %q in namespace %s: create it there",
			e.Spec.EvaluationDefinition, strings.Join(r.namespaces(e.Namespace), " or ")))
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("KeptnEvaluationDefinition %q: %w", e.Spec.EvaluationDefinition, err)
	}
	looks, interval := retriesOf(e.Spec.EvaluationRetries, definition.Spec.EvaluationRetries)
	if last := e.Status.EvaluatedAt; last != nil {
		if early := last.Add(interval).Sub(now); early > 0 {
			return early, nil
		}
	}
	items, unmet, err := r.items(ctx, e, definition.Spec.Objectives)
	if err != nil {
		return 0, err
	}
	begin(e, now)
	s := &e.Status
	at := metav1.NewTime(now)
	s.EvaluatedAt = &at
	s.RetryCount++
	s.EvaluationStatus = items
	settle(e, now, unmet, looks)
	if s.OverallStatus.Completed() {
		return 0, nil
	}
	return interval, nil
}

// settle decides from what was found: all objectives met end the evaluation, and so
// does the last look.
func settle(e *lifecyclev1.KeptnEvaluation, now time.Time, unmet []string, looks int) {
	s := &e.Status
	if len(unmet) == 0 {
		end(e, now, policy.Pass, fmt.Sprintf("%d of %d objectives met", len(s.EvaluationStatus), len(s.EvaluationStatus)))
		return
	}
	why := make([]string, len(unmet))
	for i, name := range unmet {
		why[i] = name + ": " + strings.Join(strings.Fields(s.EvaluationStatus[name].Message), " ")
	}
	found := condition.Bounded(fmt.Sprintf("%d of %d objectives not met, look %d of %d: %s",
		len(unmet), len(s.EvaluationStatus), s.RetryCount, looks, strings.Join(why, "; ")), maxSummary)
	if s.RetryCount >= looks {
		end(e, now, policy.Fail, found)
		return
	}
	proceed(e, lifecyclev1.StateProgressing, reasonNotMet, found)
}

// exhausted says whether an evaluation of objectives ended since it had looked as
// often as it may.
func exhausted(e *lifecyclev1.KeptnEvaluation) bool {
	return e.Spec.Policy == nil && e.Spec.AnalysisDefinition == nil && e.Status.OverallStatus == lifecyclev1.StateFailed
}

// retriesOf is how often an evaluation looks, which is once at least, and how long
// it waits in between: what it says itself, and where that is the API's default
// what its definition says.
func retriesOf(own, definition lifecyclev1.EvaluationRetries) (looks int, interval time.Duration) {
	looks, interval = own.Retries, own.RetryInterval.Duration
	if looks == defaultRetries {
		looks = definition.Retries
	}
	if interval == 0 || interval == defaultRetryInterval {
		interval = definition.RetryInterval.Duration
	}
	return max(looks, 1), max(interval, minRetryInterval)
}

// namespaces are where is looked for what an evaluation of a namespace names, in
// that order.
func (r *Reconciler) namespaces(own string) []string {
	if r.OwnNamespace == "" || r.OwnNamespace == own {
		return []string{own}
	}
	return []string{own, r.OwnNamespace}
}

// definition is the KeptnEvaluationDefinition that an evaluation names. It is not to
// be changed.
func (r *Reconciler) definition(ctx context.Context, e *lifecyclev1.KeptnEvaluation) (*lifecyclev1.KeptnEvaluationDefinition, error) {
	var err error
	for _, namespace := range r.namespaces(e.Namespace) {
		found := &lifecyclev1.KeptnEvaluationDefinition{}
		key := types.NamespacedName{Namespace: namespace, Name: e.Spec.EvaluationDefinition}
		if err = r.Get(ctx, key, found, client.UnsafeDisableDeepCopy); !apierrors.IsNotFound(err) {
			return found, err
		}
	}
	return nil, err
}

// items are what is found of each objective, and the names of those that are not
// met, in the definition's order. An objective that was met is not looked at again.
//
// An objective is named as its KeptnMetric. Where another one has that name already
// it is named <metric> <target>, or <namespace>/<metric> <target> if it says which
// namespace.
func (r *Reconciler) items(ctx context.Context, e *lifecyclev1.KeptnEvaluation, objectives []lifecyclev1.Objective) (
	items map[string]lifecyclev1.EvaluationStatusItem, unmet []string, err error,
) {
	items = make(map[string]lifecyclev1.EvaluationStatusItem, len(objectives))
	for _, o := range objectives {
		ref := o.KeptnMetricRef
		full := ref.Name + " " + o.EvaluationTarget
		if ref.Namespace != "" {
			full = ref.Namespace + "/" + full
		}
		name := free(items, ref.Name, full)
		item := e.Status.EvaluationStatus[name]
		if !isMet(item, o.EvaluationTarget) {
			value, problem, err := r.newest(ctx, ref, e.Namespace)
			if err != nil {
				return nil, nil, err
			}
			item = compared(o.EvaluationTarget, value, problem)
		}
		items[name] = item
		if !item.Status.Passed() {
			unmet = append(unmet, name)
		}
	}
	return items, unmet, nil
}

// free is the first of the names that is not taken, or the last of them with a
// number.
func free[T any](taken map[string]T, names ...string) string {
	for _, name := range names {
		if _, ok := taken[name]; !ok {
			return name
		}
	}
	for n := 2; ; n++ {
		name := fmt.Sprintf("%s #%d", names[len(names)-1], n)
		if _, ok := taken[name]; !ok {
			return name
		}
	}
}

// newest is the newest value of the KeptnMetric that an objective names, as text, or
// what is wrong with it, in Keptn's words.
func (r *Reconciler) newest(ctx context.Context, ref lifecyclev1.KeptnMetricReference, own string) (value serving.Value, problem string, err error) {
	namespaces := r.namespaces(own)
	if ref.Namespace != "" {
		namespaces = []string{ref.Namespace}
	}
	for _, namespace := range namespaces {
		value, err = r.Metrics.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return value, "", fmt.Errorf("KeptnMetric %s/%s: %w", namespace, ref.Name, err)
		}
		return value, problemOf(value, ref.Name), nil
	}
	return serving.Value{}, apierrors.NewNotFound(metricsv1.GroupVersion.WithResource("keptnmetrics").GroupResource(), ref.Name).Error(), nil
}

// problemOf says why a KeptnMetric has no value to compare; it is empty where it has.
func problemOf(v serving.Value, name string) string {
	switch {
	case v.Text == "" && v.Reason != "":
		return fmt.Sprintf("empty value for: %s: %s", name, v.Reason)
	case v.Text == "":
		return "empty value for: " + name
	case v.Reason != "":
		return fmt.Sprintf("no value since %s for: %s: %s", v.Time.UTC().Format(time.RFC3339), name, v.Reason)
	case !v.HasValue || math.IsNaN(v.Value) || math.IsInf(v.Value, 0):
		return fmt.Sprintf("value '%s' of %s is not a number", v.Text, name)
	default:
		return ""
	}
}

// compared is what is found of an objective that has this target, of a value that may
// have a problem.
func compared(text string, value serving.Value, problem string) lifecyclev1.EvaluationStatusItem {
	item := lifecyclev1.EvaluationStatusItem{
		Value: condition.Bounded(value.Text, maxPart), Status: lifecyclev1.StateFailed,
	}
	wanted, err := parseTarget(text)
	switch {
	case err != nil:
		item.Message = err.Error()
	case problem != "":
		item.Message = condition.Bounded(problem, maxMessage)
	case wanted.met(value.Value):
		item.Status, item.Message = lifecyclev1.StateSucceeded, metMessage(item.Value, text)
	default:
		item.Message = fmt.Sprintf("value '%s' did not meet objective '%s'", item.Value, text)
	}
	return item
}

// metMessage is Keptn's message of an objective that is met.
func metMessage(value, target string) string {
	return fmt.Sprintf("value '%s' met objective '%s'", value, target)
}

// isMet says whether an objective was met when it was looked at last. One that has
// another target since was not.
func isMet(item lifecyclev1.EvaluationStatusItem, target string) bool {
	return item.Status.Passed() && item.Message == metMessage(item.Value, target)
}
