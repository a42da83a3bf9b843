package telemetry

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// endpointVariables name the endpoint of traces, the first that is set.
func endpointVariables() []string {
	return []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}
}

func endpointInEnvironment() bool {
	_, endpoint := firstSet(endpointVariables()...)
	return endpoint != ""
}

// exporterFromEnvironment returns the OTLP exporter that OTEL_EXPORTER_OTLP_*
// asks for.
func exporterFromEnvironment(ctx context.Context) (sdktrace.SpanExporter, error) {
	name, endpoint := firstSet(endpointVariables()...)
	// The exporter would log this, and send to localhost instead. The error is
	// left out: it quotes what may be a password.
	if _, err := url.Parse(endpoint); err != nil {
		return nil, fmt.Errorf("%s does not parse as a URL; write it as http://host:4317 or https://host:4317", name)
	}
	name, protocol := firstSet("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if protocol != "" && protocol != "grpc" {
		return nil, fmt.Errorf("%s is %q, and traces are sent by grpc only; unset it, and use the collector's gRPC port (4317)", name, protocol)
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the OTLP exporter of traces: %w", err)
	}
	return exporter, nil
}

// firstSet returns the first environment variable with a value.
func firstSet(names ...string) (name, value string) {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// newResource describes this program to OpenTelemetry. What the environment says
// (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) goes first.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(serviceName), semconv.ServiceVersion(version)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("describe the service to OpenTelemetry (see OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	return res, nil
}

// loggingExporter logs exports that failed, which the SDK would hand to a handler
// that is global to the process.
type loggingExporter struct {
	sdktrace.SpanExporter
	log logr.Logger
}

func (e loggingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.Error(err, "Could not export spans; they are lost", "spans", len(spans))
	}
	return nil
}
