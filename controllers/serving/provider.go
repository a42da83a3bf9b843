package serving

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// wildcard stands for all namespaces and for all metrics in a path of the custom
// metrics API.
const wildcard = "*"

// resources are what a path may call KeptnMetrics: the name under which Keptn has
// always served them, and the one that a HorizontalPodAutoscaler makes of the
// apiVersion and kind of its describedObject.
var resources = []schema.GroupResource{
	{Group: "metrics.sh", Resource: "keptnmetrics"},
	{Group: metricsv1.GroupVersion.Group, Resource: "keptnmetrics"},
}

// Provider answers the custom metrics API of Kubernetes from a Source. A KeptnMetric
// is an object with one metric, called as it is itself.
//
// A KeptnMetric without a usable number is not found, and the error says why: told
// of an error, a HorizontalPodAutoscaler keeps the replicas there are, where a zero
// would have it go down to its minimum.
type Provider struct {
	// base is for ListAllMetrics, which is given no context.
	base   context.Context
	source Source
	log    logr.Logger
}

var _ provider.CustomMetricsProvider = &Provider{}

// NewProvider returns a Provider that lists all metrics as long as ctx lasts.
func NewProvider(ctx context.Context, source Source, log logr.Logger) *Provider {
	return &Provider{base: ctx, source: source, log: log}
}

// GetMetricByName implements provider.CustomMetricsProvider. Which metric of the
// KeptnMetric is asked for makes no difference, since it has but one.
func (p *Provider) GetMetricByName(
	ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, selector labels.Selector,
) (*custom_metrics.MetricValue, error) {
	missing := provider.NewMetricNotFoundForError(info.GroupResource, info.Metric, name.Name)
	if !slices.Contains(resources, info.GroupResource) || name.Namespace == "" || name.Namespace == wildcard {
		return nil, missing
	}
	v, err := p.source.Get(ctx, name)
	if apierrors.IsNotFound(err) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("read KeptnMetric %s: %w", name, err)
	}
	if !selector.Matches(labels.Set(v.Labels)) {
		return nil, provider.NewMetricNotFoundForSelectorError(info.GroupResource, info.Metric, name.Name, selector)
	}
	found, err := metricValue(v)
	if err != nil {
		missing.ErrStatus.Message += ": " + err.Error()
		return nil, missing
	}
	return found, nil
}

// GetMetricBySelector implements provider.CustomMetricsProvider. KeptnMetrics
// without a usable number are left out. No namespace, or "*", means all of them,
// which only those may ask for who may read custom metrics in the whole cluster.
func (p *Provider) GetMetricBySelector(
	ctx context.Context, namespace string, selector labels.Selector, info provider.CustomMetricInfo, metricSelector labels.Selector,
) (*custom_metrics.MetricValueList, error) {
	if !slices.Contains(resources, info.GroupResource) {
		return nil, provider.NewMetricNotFoundForSelectorError(info.GroupResource, info.Metric, wildcard, selector)
	}
	if namespace == wildcard {
		namespace = metav1.NamespaceAll
	}
	values, err := p.source.List(ctx, namespace, selector)
	if err != nil {
		return nil, fmt.Errorf("list KeptnMetrics: %w", err)
	}
	slices.SortFunc(values, func(a, b Value) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	list := &custom_metrics.MetricValueList{Items: []custom_metrics.MetricValue{}}
	for _, v := range values {
		if info.Metric != wildcard && info.Metric != v.Name || !metricSelector.Matches(labels.Set(v.Labels)) {
			continue
		}
		if found, err := metricValue(v); err == nil {
			list.Items = append(list.Items, *found)
		}
	}
	return list, nil
}

// ListAllMetrics implements provider.CustomMetricsProvider: it names every
// KeptnMetric once for each way to call it, also those without a value yet.
func (p *Provider) ListAllMetrics() []provider.CustomMetricInfo {
	values, err := p.source.List(p.base, metav1.NamespaceAll, labels.Everything())
	if err != nil {
		p.log.Error(err, "KeptnMetrics are missing in the discovery of custom metrics")
		return nil
	}
	names := map[string]bool{}
	for _, v := range values {
		names[v.Name] = true
	}
	var all []provider.CustomMetricInfo
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, r := range resources {
			all = append(all, provider.CustomMetricInfo{GroupResource: r, Namespaced: true, Metric: name})
		}
	}
	return all
}

// metricValue is a value as the custom metrics API has it. The error says why a
// value has no form there.
func metricValue(v Value) (*custom_metrics.MetricValue, error) {
	number, err := quantity(v)
	if err != nil {
		return nil, err
	}
	identifier := custom_metrics.MetricIdentifier{Name: v.Name}
	if len(v.Labels) > 0 {
		identifier.Selector = &metav1.LabelSelector{MatchLabels: v.Labels}
	}
	return &custom_metrics.MetricValue{
		DescribedObject: custom_metrics.ObjectReference{
			APIVersion: metricsv1.GroupVersion.String(), Kind: "KeptnMetric", Namespace: v.Namespace, Name: v.Name,
		},
		Metric:    identifier,
		Timestamp: metav1.NewTime(v.Time),
		Value:     number,
	}, nil
}

// limit is the largest number that is handed on as it is: autoscalers calculate in
// thousandths with 64 bits, and take what does not fit for zero.
const limit = 9e15

// quantity is a number as Kubernetes writes it, rounded up to billionths. What is
// beyond the limit becomes the limit.
func quantity(v Value) (resource.Quantity, error) {
	switch {
	case !v.HasValue && v.Reason != "":
		return resource.Quantity{}, fmt.Errorf("it has no value: %s", v.Reason)
	case !v.HasValue && v.Text != "":
		return resource.Quantity{}, fmt.Errorf("its value %q is no number", v.Text)
	case !v.HasValue:
		return resource.Quantity{}, fmt.Errorf("it has no value yet")
	case math.IsNaN(v.Value) || math.IsInf(v.Value, 0):
		return resource.Quantity{}, fmt.Errorf("its value is %v, which nothing can be scaled by", v.Value)
	}
	number := max(-limit, min(limit, v.Value))
	return resource.ParseQuantity(strconv.FormatFloat(number, 'f', -1, 64))
}
