package metrics

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/serving"
)

// Values are the newest values of KeptnMetrics. Where this process measures, they
// are newer than the objects' statuses, which are written only where a value
// changed; else they are what the statuses say.
type Values struct {
	reader client.Reader
	mu     sync.RWMutex
	newest map[types.NamespacedName]measured
}

// A measured value is what was measured, and when.
type measured struct {
	value string
	at    time.Time
}

var _ serving.Source = (*Values)(nil)

// NewValues returns what reads statuses by the reader, which should cache them.
func NewValues(r client.Reader) *Values {
	return &Values{reader: r, newest: map[types.NamespacedName]measured{}}
}

// set remembers a value.
func (v *Values) set(key types.NamespacedName, value string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.newest[key] = measured{value, at}
}

// forget forgets the value of a KeptnMetric that is gone.
func (v *Values) forget(key types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.newest, key)
}

// Get implements serving.Source.
func (v *Values) Get(ctx context.Context, key types.NamespacedName) (serving.Value, error) {
	var m metricsv1.KeptnMetric
	if err := v.reader.Get(ctx, key, &m); err != nil {
		return serving.Value{}, err
	}
	return v.of(&m), nil
}

// List implements serving.Source.
func (v *Values) List(ctx context.Context, namespace string, selector labels.Selector) ([]serving.Value, error) {
	var list metricsv1.KeptnMetricList
	err := v.reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list KeptnMetrics: %w", err)
	}
	values := make([]serving.Value, len(list.Items))
	for i := range list.Items {
		values[i] = v.of(&list.Items[i])
	}
	return values, nil
}

// of is the newest value of a KeptnMetric.
func (v *Values) of(m *metricsv1.KeptnMetric) serving.Value {
	v.mu.RLock()
	newest, ok := v.newest[client.ObjectKeyFromObject(m)]
	v.mu.RUnlock()
	if !ok || newest.at.Before(m.Status.LastUpdated.Time) {
		newest = measured{m.Status.Value, m.Status.LastUpdated.Time}
	}
	value := serving.Value{Namespace: m.Namespace, Name: m.Name, Labels: m.Labels, Text: newest.value, Time: newest.at, Reason: m.Status.ErrMsg}
	number, err := strconv.ParseFloat(newest.value, 64)
	value.Value, value.HasValue = number, err == nil
	return value
}
