package metrics

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy/metric/poll"
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
	window *metricsv1.RangeSpec // what makes a value of a reading
	value  string
	at     time.Time
}

var _ serving.Source = (*Values)(nil)

// NewValues returns what reads statuses by the reader, which should cache them.
func NewValues(r client.Reader) *Values {
	return &Values{reader: r, newest: map[types.NamespacedName]measured{}}
}

// expect says how the values of a KeptnMetric are read from now on.
func (v *Values) expect(key types.NamespacedName, window *metricsv1.RangeSpec) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.newest[key]
	known.window = window
	v.newest[key] = known
}

// read remembers the value of a reading. One without a value, or of a KeptnMetric
// that is not expected, changes nothing.
func (v *Values) read(key types.NamespacedName, reading poll.Reading) {
	v.mu.RLock()
	known, ok := v.newest[key]
	v.mu.RUnlock()
	if !ok {
		return
	}
	value, err := valueOf(known.window, reading)
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok = v.newest[key]; ok {
		known.value, known.at = value, reading.At
		v.newest[key] = known
	}
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

// of is the newest value of a KeptnMetric. While queries fail it stays, and so does
// its time.
func (v *Values) of(m *metricsv1.KeptnMetric) serving.Value {
	v.mu.RLock()
	newest := v.newest[client.ObjectKeyFromObject(m)]
	v.mu.RUnlock()
	if newest.at.IsZero() || m.Status.ErrMsg == "" && newest.at.Before(m.Status.LastUpdated.Time) {
		newest = stored(m)
	}
	value := serving.Value{Namespace: m.Namespace, Name: m.Name, Labels: m.Labels, Text: newest.value, Time: newest.at}
	if !newest.at.After(m.Status.LastUpdated.Time) {
		value.Reason = m.Status.ErrMsg
	}
	number, err := strconv.ParseFloat(newest.value, 64)
	value.Value, value.HasValue = number, err == nil
	return value
}

// stored is the value in a status. Where the newest query failed, it was measured
// before it began to fail.
func stored(m *metricsv1.KeptnMetric) measured {
	at := m.Status.LastUpdated.Time
	ready := condition.Of(m, meta.ReadyCondition)
	if m.Status.ErrMsg != "" && ready != nil && ready.LastTransitionTime.Time.Before(at) {
		at = ready.LastTransitionTime.Time
	}
	return measured{value: m.Status.Value, at: at}
}
