package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy/analysis"
	"github.com/keptn/gitops/policy/metric"
)

// parallelQueries is how many queries of one Analysis run at a time.
const parallelQueries = 16

// errForeign is a reference that leaves its namespace.
var errForeign = errors.New("references to other namespaces are switched off by the controller's flag --no-cross-namespace-refs")

// values asks for the value of each objective that is not known from an earlier
// try, and notes all of them in the status, those that failed with why.
func (r *AnalysisReconciler) values(ctx context.Context, a *metricsv1.Analysis, d *metricsv1.AnalysisDefinition) map[metricsv1.ObjectReference]analysis.Value {
	stored := make([]metricsv1.ProviderResult, len(d.Spec.Objectives))
	var group errgroup.Group
	group.SetLimit(parallelQueries)
	for i, o := range d.Spec.Objectives {
		known, ok := a.Status.StoredValues[analysis.Key(o.AnalysisValueTemplateRef)]
		if ok && known.Objective == o.AnalysisValueTemplateRef && known.ErrMsg == "" {
			stored[i] = known
			continue
		}
		group.Go(func() error {
			stored[i] = r.value(ctx, a, d.Namespace, o.AnalysisValueTemplateRef)
			return nil
		})
	}
	_ = group.Wait() // no value returns an error: it is in the value
	values := make(map[metricsv1.ObjectReference]analysis.Value, len(stored))
	a.Status.StoredValues = make(map[string]metricsv1.ProviderResult, len(stored))
	for _, s := range stored {
		values[s.Objective] = analysis.ParseValue(s)
		a.Status.StoredValues[analysis.Key(s.Objective)] = s
	}
	return values
}

// value asks for the value of one template.
func (r *AnalysisReconciler) value(ctx context.Context, a *metricsv1.Analysis, namespace string, ref metricsv1.ObjectReference) metricsv1.ProviderResult {
	stored := metricsv1.ProviderResult{Objective: ref}
	query, number, err := r.measure(ctx, a, namespace, ref)
	stored.Query = query
	if err != nil {
		stored.ErrMsg = condition.Bounded(err.Error(), maxMessage)
		return stored
	}
	stored.Value = strconv.FormatFloat(number, 'f', -1, 64)
	return stored
}

// measure asks the template's query over the Analysis's window. Templates and
// providers that name no namespace are in the definition's.
func (r *AnalysisReconciler) measure(ctx context.Context, a *metricsv1.Analysis, namespace string, ref metricsv1.ObjectReference) (query string, number float64, err error) {
	template, err := r.template(ctx, namespace, ref)
	if err != nil {
		return "", 0, err
	}
	query, err = analysis.Render(template.Spec.Query, a.Spec.Args)
	if err != nil {
		return template.Spec.Query, 0, fmt.Errorf("AnalysisValueTemplate %q: %w", ref.Name, err)
	}
	from, err := r.key(template.Spec.Provider, namespace)
	if err != nil {
		return query, 0, err
	}
	window := a.Status.Timeframe
	q := metric.Query{Expr: query, At: window.To.Time, Window: window.To.Sub(window.From.Time), Args: providerArgs(a.Spec.Args)}
	if template.Spec.Aggregation != "" {
		q.Step = stepOf(template)
	}
	result, err := r.Providers.Query(ctx, from, q)
	if err != nil {
		return query, 0, err
	}
	number, err = result.Reduce(metric.Reducer(template.Spec.Aggregation))
	return query, number, err
}

// providerArgs are the args that a provider itself reads: elastic's. The others are
// in the query; with them Analyses that ask the same would not share a question.
func providerArgs(args map[string]string) map[string]string {
	read := map[string]string{}
	for _, name := range []string{"metricPath", "index"} {
		if value, ok := args[name]; ok {
			read[name] = value
		}
	}
	return read
}

// defaultStep is the time between two samples that are aggregated.
const defaultStep = time.Minute

func stepOf(t *metricsv1.AnalysisValueTemplate) time.Duration {
	if step := t.Spec.Step; step != nil && step.Duration > 0 {
		return step.Duration
	}
	return defaultStep
}

// template is the AnalysisValueTemplate that a definition in the namespace names.
func (r *AnalysisReconciler) template(ctx context.Context, namespace string, ref metricsv1.ObjectReference) (*metricsv1.AnalysisValueTemplate, error) {
	key, err := r.key(ref, namespace)
	if err != nil {
		return nil, err
	}
	var found metricsv1.AnalysisValueTemplate
	err = r.Get(ctx, key, &found)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("no AnalysisValueTemplate %q in namespace %q: create it there", key.Name, key.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("AnalysisValueTemplate %s: %w", key, err)
	}
	return &found, nil
}

// key is what a reference from a namespace means.
func (r *AnalysisReconciler) key(ref metricsv1.ObjectReference, namespace string) (types.NamespacedName, error) {
	key := types.NamespacedName{Namespace: cmp.Or(ref.Namespace, namespace), Name: ref.Name}
	if key.Namespace != namespace && !r.Foreign {
		return key, fmt.Errorf("%q in namespace %q: %w", key.Name, key.Namespace, errForeign)
	}
	return key, nil
}
