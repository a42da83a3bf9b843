// Package collector takes in what is sent by OTLP over gRPC
// (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc), as a collector does, for the
// demo and the benchmarks. It keeps spans, counts pushes of metrics, and sends nothing on.
package collector

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"sync"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A Collector takes in spans and metrics. Its methods are safe for concurrent use.
type Collector struct {
	collectortrace.UnimplementedTraceServiceServer

	server  *grpc.Server
	address string

	mu     sync.Mutex
	spans  []*tracepb.Span
	pushes int
}

// Start listens on an address, such as 127.0.0.1:0 for any free port, until Close.
func Start(ctx context.Context, address string) (*Collector, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for OTLP: %w", err)
	}
	c := &Collector{server: grpc.NewServer(), address: listener.Addr().String()}
	collectortrace.RegisterTraceServiceServer(c.server, c)
	collectormetrics.RegisterMetricsServiceServer(c.server, metricsService{collector: c})
	go func() { _ = c.server.Serve(listener) }() // it ends with Close
	return c, nil
}

// Endpoint is what OTEL_EXPORTER_OTLP_ENDPOINT has to be set to.
func (c *Collector) Endpoint() string { return "http://" + c.address }

// Close ends it, whoever is sending.
func (c *Collector) Close() { c.server.Stop() }

// Export takes in spans.
func (c *Collector) Export(_ context.Context, r *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// metricsService is the other service, whose method has the same name.
type metricsService struct {
	collectormetrics.UnimplementedMetricsServiceServer

	collector *Collector
}

// Export counts a push.
func (s metricsService) Export(context.Context, *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	s.collector.mu.Lock()
	defer s.collector.mu.Unlock()
	s.collector.pushes++
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

// Received says how many spans have come, and how often metrics were pushed.
func (c *Collector) Received() (spans, pushes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans), c.pushes
}

// Trace returns the spans of the traces that have a span with this attribute, in the
// order in which they came.
func (c *Collector) Trace(key, value string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	traces := map[string]bool{}
	for _, span := range c.spans {
		if Attribute(span, key) == value {
			traces[string(span.GetTraceId())] = true
		}
	}
	var found []*tracepb.Span
	for _, span := range c.spans {
		if traces[string(span.GetTraceId())] {
			found = append(found, span)
		}
	}
	return found
}

// Attribute is an attribute of a span as text; empty where it is absent.
func Attribute(span *tracepb.Span, key string) string {
	for _, kv := range span.GetAttributes() {
		if kv.GetKey() == key {
			return text(kv.GetValue())
		}
	}
	return ""
}

// text writes a plain value as people do.
func text(v *commonpb.AnyValue) string {
	switch value := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return value.StringValue
	case *commonpb.AnyValue_BytesValue:
		return hex.EncodeToString(value.BytesValue)
	case *commonpb.AnyValue_IntValue:
		return fmt.Sprint(value.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return fmt.Sprint(value.DoubleValue)
	case *commonpb.AnyValue_BoolValue:
		return fmt.Sprint(value.BoolValue)
	default:
		return ""
	}
}
