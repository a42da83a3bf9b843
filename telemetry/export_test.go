package telemetry_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/keptn/gitops/telemetry"
)

// collector is an OTLP collector that keeps what it is sent.
type collector struct {
	collectortrace.UnimplementedTraceServiceServer
	mu       sync.Mutex
	requests []*collectortrace.ExportTraceServiceRequest
}

func (c *collector) Export(_ context.Context, r *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

func startCollector(t *testing.T) (*collector, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &collector{}, grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c, "http://" + listener.Addr().String()
}

func TestTheEnvironmentNamesTheCollector(t *testing.T) {
	collector, endpoint := startCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=eu-1")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off") // is for requests: deliveries are few
	tracer, err := telemetry.NewTracer(t.Context(), "v1.2.3", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if !tracer.Exports() {
		t.Error("it says that it exports nothing")
	}
	tracer.Delivery(t.Context(), delivered(), nil)
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(collector.requests) != 1 || len(collector.requests[0].ResourceSpans) != 1 {
		t.Fatalf("the collector got %v, want one request of one resource", collector.requests)
	}
	sent := collector.requests[0].ResourceSpans[0]
	resource := map[string]string{}
	for _, kv := range sent.Resource.Attributes {
		resource[kv.Key] = kv.Value.GetStringValue()
	}
	for key, want := range map[string]string{
		"service.name": "lifecycle-operator", "service.version": "v1.2.3", "k8s.cluster.name": "eu-1",
	} {
		if resource[key] != want {
			t.Errorf("resource has %s=%q, want %q", key, resource[key], want)
		}
	}
	if got := len(sent.ScopeSpans[0].Spans); got != 4 {
		t.Errorf("the collector got %d spans, want the delivery and its three phases", got)
	}
}

func TestWithoutAnEndpointTracingIsOff(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	tracer, err := telemetry.NewTracer(t.Context(), "v1.2.3", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if tracer.Exports() || (*telemetry.Tracer)(nil).Exports() {
		t.Error("a Tracer that is off says that it exports")
	}
	tracer.Delivery(t.Context(), delivered(), nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracer.Shutdown(ended); err != nil {
		t.Errorf("a Tracer that is off has something to shut down: %v", err)
	}
}

func TestAnEnvironmentThatCannotBeHadIsAnError(t *testing.T) {
	cases := map[string]struct {
		reason   string
		set      map[string]string
		want     string
		mustHide string
	}{
		"NoScheme": {
			"The exporter itself would send to localhost instead.",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "10.0.0.1:4317"},
			"OTEL_EXPORTER_OTLP_ENDPOINT does not parse", "10.0.0.1",
		},
		"Token": {
			"A token in the URL must not be in the error.",
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://u:hunter2"},
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT does not parse", "hunter2",
		},
		"Attributes": {
			"An attribute without a value would take the ones around it along.",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.example.com:4317", "OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name"},
			"OTEL_RESOURCE_ATTRIBUTES", "otel.example.com",
		},
		"HTTP": {
			"Spans sent by gRPC to a port that speaks HTTP would be lost without a word.",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.example.com:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
			`OTEL_EXPORTER_OTLP_PROTOCOL is "http/protobuf"`, "otel.example.com",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for k, v := range tc.set {
				t.Setenv(k, v)
			}
			_, err := telemetry.NewTracer(t.Context(), "v1.2.3", logr.Discard())
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), tc.mustHide) {
				t.Errorf("%s\nerror is %v, want %q in it and not %q", tc.reason, err, tc.want, tc.mustHide)
			}
		})
	}
}

// broken is an exporter that reaches nobody.
type broken struct{ keeping }

func (broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("connection refused")
}

func TestSpansThatCannotBeExportedAreLogged(t *testing.T) {
	var logged []string
	log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
	tracer, err := telemetry.NewTracer(t.Context(), "v1.2.3", log, telemetry.WithSpanExporter(broken{}))
	if err != nil {
		t.Fatal(err)
	}
	tracer.Delivery(t.Context(), failed(), nil)
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(logged) != 1 || !strings.Contains(logged[0], "connection refused") || !strings.Contains(logged[0], `"spans"=2`) {
		t.Errorf("logged %q, want one line with the error and the number of spans", logged)
	}
}

// stuck is an exporter that waits for ever, or until its context ends.
type stuck struct{ keeping }

func (stuck) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestACollectorThatIsStuckHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer, err := telemetry.NewTracer(t.Context(), "v1.2.3", logr.Discard(), telemetry.WithSpanExporter(stuck{}))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 5000 {
			tracer.Delivery(t.Context(), delivered(), nil)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("deliveries were held up for %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tracer.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v, want it to give up when its context ends", err)
		}
		time.Sleep(time.Hour) // of fake time, for the exports to time out
	})
}
