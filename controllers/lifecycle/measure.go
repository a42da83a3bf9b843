package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
)

const (
	// queryTimeout is how long one query may take.
	queryTimeout = 20 * time.Second
	// parallelQueries is how many queries of one evaluation run at a time.
	parallelQueries = 8
	// maxMessage is how much is kept of why a metric has no value, in bytes.
	maxMessage = 500
)

// Measurer asks the providers of a namespace for metrics.
type Measurer struct {
	// Reader reads KeptnMetricsProviders, and Secrets, which it should not cache:
	// a rotated one counts at once.
	Reader client.Reader
}

// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetricsproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// All measures every metric as of now. What cannot be measured is no data, and
// its measurement says why.
func (m *Measurer) All(ctx context.Context, namespace string, metrics []gitopsv1alpha1.Metric, now time.Time) (map[string]policy.Value, []lifecyclev1.Measurement) {
	values := make([]policy.Value, len(metrics))
	measurements := make([]lifecyclev1.Measurement, len(metrics))
	var group errgroup.Group
	group.SetLimit(parallelQueries)
	for i := range metrics {
		group.Go(func() error {
			values[i], measurements[i] = m.one(ctx, namespace, metrics[i], now)
			return nil
		})
	}
	_ = group.Wait() // no measurement returns an error: it is in the measurement
	byName := make(map[string]policy.Value, len(metrics))
	for i := range metrics {
		byName[metrics[i].Name] = values[i]
	}
	return byName, measurements
}

func (m *Measurer) one(ctx context.Context, namespace string, spec gitopsv1alpha1.Metric, now time.Time) (policy.Value, lifecyclev1.Measurement) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	measured := lifecyclev1.Measurement{Name: spec.Name, Query: spec.Query}
	result, err := m.query(ctx, namespace, spec, now)
	if err != nil {
		measured.Message = truncate(err.Error(), maxMessage)
		if errors.Is(err, metric.ErrStale) {
			return policy.Stale(measured.Message), measured
		}
		return policy.NoData(measured.Message), measured
	}
	value, text := valueOf(result)
	measured.Value = text
	measured.Series = int32(len(result.Series)) //nolint:gosec // the provider's limit is far below 2^31
	return value, measured
}

func (m *Measurer) query(ctx context.Context, namespace string, spec gitopsv1alpha1.Metric, now time.Time) (metric.Result, error) {
	if spec.Provider == nil {
		return metric.Result{}, fmt.Errorf("metric %q: KeptnMetric %q cannot be read: give a provider and a query", spec.Name, spec.KeptnMetric.Name)
	}
	querier, err := m.querier(ctx, types.NamespacedName{Namespace: namespace, Name: spec.Provider.Name})
	if err != nil {
		return metric.Result{}, fmt.Errorf("metric %q: %w", spec.Name, err)
	}
	result, err := querier.Query(ctx, spec.Query, now)
	if err != nil {
		return metric.Result{}, fmt.Errorf("metric %q: %w", spec.Name, err)
	}
	return result, nil
}

func (m *Measurer) querier(ctx context.Context, key types.NamespacedName) (metric.Querier, error) {
	var provider metricsv1.KeptnMetricsProvider
	if err := m.Reader.Get(ctx, key, &provider); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("no KeptnMetricsProvider %q in namespace %q: create it there", key.Name, key.Namespace)
		}
		return nil, fmt.Errorf("KeptnMetricsProvider %s: %w", key, err)
	}
	config := metric.Provider{
		Type:                  provider.Spec.Type,
		URL:                   provider.Spec.TargetServer,
		InsecureSkipTLSVerify: provider.Spec.InsecureSkipTLSVerify,
	}
	if err := m.authenticate(ctx, &provider, &config); err != nil {
		return nil, fmt.Errorf("KeptnMetricsProvider %q: %w", key.Name, err)
	}
	return metric.New(config)
}

// authenticate adds the credentials that the provider's secret holds: user and
// password, else a bearer token at the named key.
func (m *Measurer) authenticate(ctx context.Context, provider *metricsv1.KeptnMetricsProvider, config *metric.Provider) error {
	ref := provider.Spec.SecretKeyRef
	if ref.Name == "" {
		return nil
	}
	var secret corev1.Secret
	err := m.Reader.Get(ctx, types.NamespacedName{Namespace: provider.Namespace, Name: ref.Name}, &secret)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("no Secret %q in namespace %q: create it, or take secretKeyRef away", ref.Name, provider.Namespace)
	}
	if err != nil {
		return fmt.Errorf("secret %q: %w", ref.Name, err)
	}
	user, hasUser := secret.Data["user"]
	password, hasPassword := secret.Data["password"]
	token, hasToken := secret.Data[ref.Key]
	switch {
	case hasUser && hasPassword:
		config.User, config.Password = string(user), string(password)
	case hasToken:
		config.BearerToken = strings.TrimSpace(string(token))
	default:
		return fmt.Errorf("secret %q holds neither the keys user and password, nor a token at key %q", ref.Name, ref.Key)
	}
	return nil
}

// valueOf turns a provider's answer into what a policy reads, and into text. A
// value of several series has no text.
func valueOf(r metric.Result) (policy.Value, string) {
	series := make([]policy.Series, len(r.Series))
	for i, s := range r.Series {
		series[i] = policy.Series{Labels: s.Labels, Value: s.Value}
	}
	if len(series) == 1 {
		return policy.Vector(series), strconv.FormatFloat(series[0].Value, 'g', -1, 64)
	}
	return policy.Vector(series), ""
}

// baselineValues turns recorded measurements back into values.
func baselineValues(measured []lifecyclev1.Measurement) map[string]policy.Value {
	values := make(map[string]policy.Value, len(measured))
	for _, m := range measured {
		if v, err := strconv.ParseFloat(m.Value, 64); err == nil {
			values[m.Name] = policy.Number(v)
		}
	}
	return values
}

func truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return head(text, n) + "…"
}
