package evaluation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/analysis"
)

const (
	// recently is the window that is judged where no rollout says which.
	recently = 5 * time.Minute
	// shortestWindow is how long a rollout has to be over for what came since to be
	// judged.
	shortestWindow = time.Minute
	// maxName is the longest name that Kubernetes takes, in bytes.
	maxName = 253
)

// analyse has the AnalysisDefinition judged by an Analysis, and follows that.
func (r *Reconciler) analyse(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) error {
	begin(e, now)
	ref := *e.Spec.AnalysisDefinition
	if ref.Namespace != "" && ref.Namespace != e.Namespace && ref.Namespace != r.OwnNamespace {
		end(e, now, policy.Inconclusive, fmt.Sprintf("the AnalysisDefinition %q of namespace %s is out of reach: one of namespace %s can be named",
			ref.Name, ref.Namespace, strings.Join(r.namespaces(e.Namespace), " or ")))
		return nil
	}
	var found metricsv1.Analysis
	key := types.NamespacedName{Namespace: e.Namespace, Name: analysisName(e)}
	err := r.Get(ctx, key, &found, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		err = r.createAnalysis(ctx, e, now)
	case err != nil:
		return fmt.Errorf("get Analysis %s: %w", key, err)
	case !metav1.IsControlledBy(&found, e):
		end(e, now, policy.Inconclusive, fmt.Sprintf("there is an Analysis %q already that was not made for this evaluation: delete it, and evaluate again", key.Name))
		return nil
	}
	if apierrors.IsInvalid(err) {
		end(e, now, policy.Inconclusive, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	e.Status.AnalysisName = key.Name
	follow(e, &found, now)
	return nil
}

// createAnalysis creates the Analysis. That it is there already is news that the
// cache will have soon.
func (r *Reconciler) createAnalysis(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) error {
	a := analysisOf(e, now)
	if err := apply.Own(e, a, r.Scheme()); err != nil {
		return err
	}
	return client.IgnoreAlreadyExists(r.Create(ctx, a, client.FieldOwner(fieldOwner)))
}

// analysisName is the name of an evaluation's Analysis: no two evaluations have the
// same, also if one takes the name of another that is gone.
func analysisName(e *lifecyclev1.KeptnEvaluation) string {
	sum := sha256.Sum256([]byte(e.UID))
	digest := hex.EncodeToString(sum[:])[:10]
	kept := e.Name[:min(len(e.Name), maxName-1-len(digest))]
	return strings.TrimRight(kept, "-.") + "-" + digest
}

// analysisOf is the Analysis of an evaluation that begins now.
func analysisOf(e *lifecyclev1.KeptnEvaluation, now time.Time) *metricsv1.Analysis {
	ref := *e.Spec.AnalysisDefinition
	return &metricsv1.Analysis{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: analysisName(e)},
		Spec: metricsv1.AnalysisSpec{
			AnalysisDefinition: metricsv1.ObjectReference{Name: ref.Name, Namespace: ref.Namespace},
			Timeframe:          timeframeOf(e, now),
			Args:               argsOf(e),
		},
	}
}

// timeframeOf is the window that is judged: after a rollout all that came since, if
// that is long enough, else what came recently.
func timeframeOf(e *lifecyclev1.KeptnEvaluation, now time.Time) metricsv1.Timeframe {
	rollout := e.Spec.Rollout
	if e.Spec.Type == lifecyclev1.PostDeploymentEvaluationCheckType && rollout != nil && rollout.FinishedAt != nil &&
		now.Sub(rollout.FinishedAt.Time) >= shortestWindow {
		return metricsv1.Timeframe{From: *rollout.FinishedAt, To: metav1.NewTime(now)}
	}
	return metricsv1.Timeframe{Recent: metav1.Duration{Duration: recently}}
}

// argsOf are what the queries of templates can read: app, workload, version (that of
// the workload where one is evaluated), environment and commit, each where it is
// known.
func argsOf(e *lifecyclev1.KeptnEvaluation) map[string]string {
	args := map[string]string{
		"app":      e.Spec.AppName,
		"workload": e.Spec.Workload,
		"version":  cmp.Or(e.Spec.WorkloadVersion, e.Spec.AppVersion),
	}
	if rollout := e.Spec.Rollout; rollout != nil {
		args["environment"] = rollout.Environment
	}
	if commit := e.Spec.Commit; commit != nil {
		args["commit"] = commit.SHA
	}
	for name, value := range args {
		if value == "" {
			delete(args, name)
		}
	}
	return args
}

// follow says of the evaluation what its Analysis says of itself.
func follow(e *lifecyclev1.KeptnEvaluation, a *metricsv1.Analysis, now time.Time) {
	if a.Status.State != metricsv1.StateCompleted {
		message := cmp.Or(a.Status.Message, "begins")
		proceed(e, lifecyclev1.StateProgressing, reasonAnalysing, fmt.Sprintf("Analysis %s: %s", e.Status.AnalysisName, message))
		return
	}
	verdict := policy.Fail
	switch {
	case a.Status.Pass:
		verdict = policy.Pass
	case a.Status.Warning:
		verdict = policy.Warning
	}
	var result analysis.Result
	if json.Unmarshal([]byte(a.Status.Raw), &result) == nil { // else its message has to do
		scored(&e.Status, result)
	}
	end(e, now, verdict, a.Status.Message)
}

// scored records the score of an Analysis, and what each objective added to it.
func scored(s *lifecyclev1.KeptnEvaluationStatus, r analysis.Result) {
	s.Score, s.MaxScore = decimal(r.TotalScore), decimal(r.MaximumScore)
	s.EvaluationStatus = make(map[string]lifecyclev1.EvaluationStatusItem, len(r.ObjectiveResults))
	for i := range r.ObjectiveResults {
		o := &r.ObjectiveResults[i]
		item := lifecyclev1.EvaluationStatusItem{Status: lifecyclev1.StateFailed, Message: condition.Bounded(o.Error, maxPart)}
		if o.Error == "" {
			item.Value = decimal(o.Value)
			item.Message = fmt.Sprintf("value '%s' has %s points", item.Value, decimal(o.Score))
		}
		switch {
		case o.Result.Pass:
			item.Status = lifecyclev1.StateSucceeded
		case o.Result.Warning:
			item.Status = lifecyclev1.StateWarning
		}
		s.EvaluationStatus[free(s.EvaluationStatus, analysis.Key(o.Objective.AnalysisValueTemplateRef))] = item
	}
}

// decimal is a number as people write it.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
