package evaluation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

// A querier answers every query.
type querier func(q metric.Query) (float64, error)

// Query implements metric.Querier.
func (f querier) Query(_ context.Context, q metric.Query) (metric.Result, error) {
	value, err := f(q)
	if err != nil {
		return metric.Result{}, err
	}
	return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: q.At, Value: value}}}}}, nil
}

// A cluster has an evaluation e in namespace shop, a provider p, and a clock.
type cluster struct {
	client.Client
	*evaluation.Reconciler

	clock   *clocktesting.FakeClock
	events  *events.FakeRecorder
	metrics keptnMetrics
}

// newCluster has an evaluation of a policy.
func newCluster(t *testing.T, spec *gitopsv1alpha1.SLOPolicySpec, answer querier) *cluster {
	t.Helper()
	return newClusterOf(t, lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: "checkout", Policy: spec}, answer)
}

// newClusterOf has an evaluation, and other objects.
func newClusterOf(t *testing.T, spec lifecyclev1.KeptnEvaluationSpec, answer querier, others ...client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(metricsv1.AddToScheme(scheme), lifecyclev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	e := &lifecyclev1.KeptnEvaluation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e", UID: "1"},
		Spec:       spec,
	}
	p := &metricsv1.KeptnMetricsProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"},
		Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: "http://p", Limits: &metricsv1.ProviderLimits{QueriesPerSecond: 100_000}},
	}
	c := &cluster{clock: clocktesting.NewFakeClock(noon()), events: events.NewFakeRecorder(100), metrics: keptnMetrics{}}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(e, p).WithObjects(others...).
		WithStatusSubresource(e, &metricsv1.Analysis{}).
		WithIndex(e, evaluation.ByDefinition, evaluation.DefinitionOf).Build()
	c.restart(t, answer)
	return c
}

// restart replaces the reconciler by one that remembers nothing.
func (c *cluster) restart(t *testing.T, answer querier) {
	t.Helper()
	open := func(connect.Server) (metric.Querier, error) { return answer, nil }
	providers, err := provider.New(c, fabric.New(open), c.clock, provider.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Reconciler = &evaluation.Reconciler{
		Client: c.Client, Clock: c.clock, Events: c.events, Providers: providers, Metrics: c.metrics, OwnNamespace: "keptn",
	}
}

// keptnMetrics are the newest values of KeptnMetrics.
type keptnMetrics map[types.NamespacedName]serving.Value

// Get implements evaluation.MetricReader.
func (m keptnMetrics) Get(_ context.Context, name types.NamespacedName) (serving.Value, error) {
	value, ok := m[name]
	if !ok {
		return serving.Value{}, apierrors.NewNotFound(schema.GroupResource{}, name.Name)
	}
	return value, nil
}

// told are the events so far, each as <type> <reason> <note>.
func (c *cluster) told() []string {
	var all []string
	for {
		select {
		case event := <-c.events.Events:
			all = append(all, event)
		default:
			return all
		}
	}
}

// reconcile reconciles once, and returns the evaluation and when to look again.
func (c *cluster) reconcile(t *testing.T) (*lifecyclev1.KeptnEvaluation, time.Duration) {
	t.Helper()
	var e lifecyclev1.KeptnEvaluation
	key := types.NamespacedName{Namespace: "shop", Name: "e"}
	if err := c.Client.Get(t.Context(), key, &e); err != nil {
		t.Fatal(err)
	}
	result, err := c.Reconcile(t.Context(), &e)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Get(t.Context(), key, &e); err != nil {
		t.Fatal(err)
	}
	return &e, result.RequeueAfter
}
