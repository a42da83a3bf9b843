package metrics

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/poll"
)

// reads is a reading of one series.
func reads(at time.Time, values ...float64) poll.Reading {
	samples := make([]metric.Sample, len(values))
	for i, v := range values {
		samples[i] = metric.Sample{Time: at, Value: v}
	}
	return poll.Reading{At: at, Result: metric.Result{Series: []metric.Series{{Samples: samples}}}}
}

func named(name string) *metricsv1.KeptnMetric {
	return &metricsv1.KeptnMetric{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
}

func keyOf(m *metricsv1.KeptnMetric) types.NamespacedName {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Name}
}

func TestWhatIsServedIsTheNewerOfReadingAndStatus(t *testing.T) {
	read, before, after := time.Unix(100, 5e8), metav1.Unix(100, 0), metav1.Unix(101, 0)
	cases := map[string]struct {
		reason  string
		window  *metricsv1.RangeSpec
		reading poll.Reading
		status  metricsv1.KeptnMetricStatus
		want    string
		at      time.Time
	}{
		"Reading":  {"What was read is newer than what was written.", nil, reads(read, 2), metricsv1.KeptnMetricStatus{Value: "1", LastUpdated: before}, "2", read},
		"Status":   {"After a change of leader another process may have written since.", nil, reads(read, 2), metricsv1.KeptnMetricStatus{Value: "1", LastUpdated: after}, "1", after.Time},
		"Reducer":  {"Several samples become one value as the spec says.", &metricsv1.RangeSpec{Aggregation: metricsv1.AggregationMax}, reads(read, 2, 7, 3), metricsv1.KeptnMetricStatus{}, "7", read},
		"NoAnswer": {"A question that failed leaves the value that there was.", nil, poll.Reading{At: read, Err: errors.New("down")}, metricsv1.KeptnMetricStatus{Value: "1", LastUpdated: before}, "1", before.Time},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, v := named("errors"), NewValues(nil)
			m.Status = c.status
			v.expect(keyOf(m), c.window)
			v.read(keyOf(m), c.reading)
			if got := v.of(m); got.Text != c.want || !got.Time.Equal(c.at) {
				t.Errorf("%s served %q of %s, want %q of %s", c.reason, got.Text, got.Time, c.want, c.at)
			}
		})
	}
}

func TestAForgottenMetricIsNotRemembered(t *testing.T) {
	m, v := named("errors"), NewValues(nil)
	v.expect(keyOf(m), nil)
	v.forget(keyOf(m))
	v.read(keyOf(m), reads(time.Unix(100, 0), 2)) // of a question that was under way
	if got := v.of(m); got.HasValue || len(v.newest) != 0 {
		t.Errorf("served %+v after it was forgotten", got)
	}
}

func TestAReadingIsServedAtOnceAndWrittenAfterAllElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, other := named("errors"), named("latency")
		r := &MetricReconciler{Values: NewValues(nil)}
		r.poller = poll.New(func(context.Context, target, metric.Query) (metric.Result, error) {
			return reads(time.Now(), 2).Result, nil
		}, r.wake)
		var waiting queue = priorityqueue.New[reconcile.Request](t.Name())
		defer waiting.ShutDown()
		r.queue.Store(&waiting)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = r.poller.Run(ctx) }()

		r.Values.expect(keyOf(m), nil)
		r.poller.Follow(keyOf(m), poll.Subject[target]{Expr: "errors", Interval: time.Hour}, time.Time{})
		synctest.Wait()
		if got := r.Values.of(m); got.Text != "2" {
			t.Errorf("served %q before its status is written, want 2", got.Text)
		}
		ordered, _ := waiting.(priorityqueue.PriorityQueue[reconcile.Request])
		ordered.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, reconcile.Request{NamespacedName: keyOf(other)})
		for _, want := range []*metricsv1.KeptnMetric{other, m} {
			synctest.Wait()
			got, _ := waiting.Get()
			waiting.Done(got)
			if got.NamespacedName != keyOf(want) {
				t.Errorf("the turn is %s's, want %s's: one that is not measured yet must not wait for what others read", got, keyOf(want))
			}
		}
	})
}
