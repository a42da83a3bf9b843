package measure_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
)

func TestTheSamplesOfAllPartsAreLimited(t *testing.T) {
	long := query("long", "up")
	long.Window = &v1alpha1.Window{Duration: duration(90 * 24 * time.Hour), Step: duration(time.Minute)}
	parts := 0
	ask := func(_ context.Context, _ string, q metric.Query) (metric.Result, error) {
		parts++
		samples := make([]metric.Sample, 400_000)
		for i := range samples {
			samples[i] = metric.Sample{Time: q.At.Add(time.Duration(i-len(samples)+1) * time.Millisecond)}
		}
		return metric.Result{Series: []metric.Series{{Samples: samples}}}, nil
	}
	got := measure.All(t.Context(), measure.Subject{Spec: v1alpha1.SLOPolicySpec{Metrics: []v1alpha1.Metric{long}}, Now: now}, measure.Sources{Ask: ask, Timeout: time.Hour})
	if r := got.Records[0]; parts != 3 || r.Reason != "TooManySeries" || !strings.Contains(r.Message, "more than 1000000 samples") {
		t.Errorf("asked %d times, %s, %q, want the third part of 400,000 samples to be one too many", parts, r.Reason, r.Message)
	}
}
