package collector_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/keptn/gitops/e2e/internal/collector"
)

// started is a Collector that an exporter reaches by the environment, as the controller does.
func started(t *testing.T) *collector.Collector {
	t.Helper()
	c, err := collector.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.Endpoint())
	return c
}

func TestATraceIsFoundByAnAttributeOfOneOfItsSpans(t *testing.T) {
	c := started(t)
	exporter, err := otlptracegrpc.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	tracer := provider.Tracer("test")
	for _, commit := range []string{"a", "b"} {
		ctx, root := tracer.Start(t.Context(), "delivery of "+commit)
		_, child := tracer.Start(ctx, "check of "+commit,
			oteltrace.WithAttributes(attribute.String("commit", commit), attribute.Int("code", 3), attribute.Float64("ratio", 0.5), attribute.Bool("last", true)))
		child.End()
		root.End()
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := c.Trace("commit", "b")
	var names, values []string
	for _, span := range found {
		names = append(names, span.GetName())
		for _, key := range []string{"commit", "code", "ratio", "last"} {
			values = append(values, collector.Attribute(span, key))
		}
	}
	if diff := cmp.Diff([]string{"check of b", "delivery of b"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b", "3", "0.5", "true", "", "", "", ""}, values); diff != "" {
		t.Error(diff)
	}
	if none := c.Trace("commit", "c"); len(none) != 0 {
		t.Errorf("of a commit that was not delivered there are %d spans", len(none))
	}
	if spans, pushes := c.Received(); spans != 4 || pushes != 0 {
		t.Errorf("%d spans and %d pushes came, want 4 and 0", spans, pushes)
	}
}

func TestPushesOfMetricsAreCounted(t *testing.T) {
	c := started(t)
	exporter, err := otlpmetricgrpc.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(exporter)))
	counter, err := provider.Meter("test").Int64Counter("deliveries")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 1)
	for range 2 {
		if err := provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if spans, pushes := c.Received(); spans != 0 || pushes != 2 {
		t.Errorf("%d spans and %d pushes came, want 0 and 2", spans, pushes)
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	c := started(t)
	if second, err := collector.Start(t.Context(), c.Endpoint()[len("http://"):]); err == nil {
		second.Close()
		t.Error("two listen on one address")
	}
}
