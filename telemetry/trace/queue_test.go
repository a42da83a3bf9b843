package trace_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
	"github.com/keptn/gitops/telemetry/trace"
)

// broken is an exporter that reaches nobody.
type broken struct{ keeping }

func (broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("connection refused")
}

// counted are the spans by what became of them.
func counted(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, isSum := m.Data.(metricdata.Sum[int64])
			if m.Name != "keptn.span.count" || !isSum {
				t.Fatalf("metric %s is no count", m.Name)
			}
			for _, p := range sum.DataPoints {
				outcome, _ := p.Attributes.Value("keptn.span.outcome")
				counts[outcome.AsString()] = p.Value
			}
		}
	}
	return counts
}

func tell(t *testing.T, tracer *trace.Tracer, times int) {
	t.Helper()
	for range times {
		tracer.Delivery(t.Context(), record.OfApp(nil), record.OfApp(recordtest.Failed()), record.Facts{})
	}
}

func TestWhatBecomesOfSpansIsCountedAndFailuresAreLogged(t *testing.T) {
	cases := map[string]struct {
		reason   string
		exporter sdktrace.SpanExporter
		want     map[string]int64
		logged   string
	}{
		"Exported": {"The collector took both spans.", keeping{tracetest.NewInMemoryExporter()}, map[string]int64{"exported": 2}, ""},
		"Failed":   {"The collector was away: both are lost, which is said.", broken{}, map[string]int64{"failed": 2}, `connection refused" "spans"=2`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var logged []string
			log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
			reader := sdkmetric.NewManualReader()
			tracer, err := trace.New(t.Context(), "v1.2.3", log, trace.WithSpanExporter(tc.exporter),
				trace.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
			if err != nil {
				t.Fatal(err)
			}
			tell(t, tracer, 1)
			if err := tracer.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, counted(t, reader)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			if all := strings.Join(logged, "\n"); (all == "") != (tc.logged == "") || !strings.Contains(all, tc.logged) {
				t.Errorf("%s\nlogged %q, want %q", tc.reason, logged, tc.logged)
			}
		})
	}
}

// stuck is an exporter that waits for ever, or until its context ends.
type stuck struct{ keeping }

func (stuck) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestACollectorThatIsStuckHoldsNobodyUpAndTheQueueIsBounded(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1000")
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		tracer, err := trace.New(t.Context(), "v1.2.3", logr.Discard(), trace.WithSpanExporter(stuck{}),
			trace.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		tell(t, tracer, 2500)
		if took := time.Since(began); took != 0 {
			t.Errorf("deliveries were held up for %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tracer.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v, want it to give up when its context ends", err)
		}
		time.Sleep(time.Hour) // of fake time, for the exports to time out
		got := counted(t, reader)
		if got["dropped"] < 4000 || got["failed"] > 1000 {
			t.Errorf("of 5000 spans %v, want 1000 to wait at most and the rest to be dropped", got)
		}
	})
}

func TestATracerThatExportsNothingIsOff(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	off, err := trace.New(t.Context(), "v1.2.3", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, tracer := range []*trace.Tracer{off, nil} {
		if tracer.Exports() {
			t.Error("a Tracer that is off says that it exports")
		}
		tell(t, tracer, 1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := tracer.Shutdown(ended); err != nil {
			t.Errorf("a Tracer that is off has something to shut down: %v", err)
		}
	}
}
