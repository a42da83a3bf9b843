// Package otlp makes what OpenTelemetry's environment variables ask for: exporters of
// spans and of metrics by OTLP, over gRPC or HTTP, and the description of this program
// that goes with both (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
//
// It does not use OpenTelemetry's autoexport, since that changes the default protocol
// under a collector that is already configured, logs and serves more than is asked for,
// and says of a wrong variable neither its name nor what to write. No error of this
// package quotes an endpoint: it may hold a password.
package otlp

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// serviceName is Keptn's, so that dashboards that look its telemetry up still find it.
const serviceName = "lifecycle-operator"

// The protocols.
const (
	grpc         = "grpc"
	httpProtobuf = "http/protobuf"
)

// A signal is one kind of telemetry, in the words of the variables.
type signal struct {
	// name is part of the variables' names.
	name string
	// pulled are exporters that others serve, and for which nothing is pushed.
	pulled []string
}

var (
	spans   = signal{name: "TRACES"}
	metrics = signal{name: "METRICS", pulled: []string{"prometheus"}}
)

// Spans returns the exporter of spans that the environment asks for, or nil where it
// asks for none: there is one where OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, or OTEL_TRACES_EXPORTER is otlp, unless that
// is none or OTEL_SDK_DISABLED is true. The protocol is OTEL_EXPORTER_OTLP_PROTOCOL or
// OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, grpc (the default, as Keptn's) or http/protobuf;
// all other variables OTEL_EXPORTER_OTLP_* are heeded as documented.
func Spans(ctx context.Context) (sdktrace.SpanExporter, error) {
	protocol, err := spans.protocol()
	var exporter sdktrace.SpanExporter
	switch {
	case err != nil || protocol == "":
		return nil, err
	case protocol == httpProtobuf:
		exporter, err = otlptracehttp.New(ctx)
	default:
		exporter, err = otlptracegrpc.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("set up the OTLP exporter of traces: %w", err)
	}
	return exporter, nil
}

// Metrics is [Spans] for metrics, with METRICS in place of TRACES. For the value
// prometheus of OTEL_METRICS_EXPORTER there is no exporter either: Prometheus comes for
// its metrics itself.
func Metrics(ctx context.Context) (sdkmetric.Exporter, error) {
	protocol, err := metrics.protocol()
	var exporter sdkmetric.Exporter
	switch {
	case err != nil || protocol == "":
		return nil, err
	case protocol == httpProtobuf:
		exporter, err = otlpmetrichttp.New(ctx)
	default:
		exporter, err = otlpmetricgrpc.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("set up the OTLP exporter of metrics: %w", err)
	}
	return exporter, nil
}

// protocol is what a signal is sent by; empty where it is not sent.
func (s signal) protocol() (string, error) {
	endpointName, endpoint := firstSet("OTEL_EXPORTER_OTLP_"+s.name+"_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	wanted, err := s.wanted(endpoint != "")
	if err != nil || !wanted {
		return "", err
	}
	// The exporter would log this, and send to localhost instead. The error is
	// left out: it quotes what may be a password.
	if u, err := url.Parse(endpoint); err != nil || endpoint != "" && u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s does not parse as a URL; write it as http://host:4317 or https://host:4317", endpointName)
	}
	name, protocol := firstSet("OTEL_EXPORTER_OTLP_"+s.name+"_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	switch protocol {
	case "":
		return grpc, nil
	case grpc, httpProtobuf:
		return protocol, nil
	default:
		return "", fmt.Errorf("%s is %q; write %s (the default, port 4317 of a collector) or %s (port 4318)", name, protocol, grpc, httpProtobuf)
	}
}

// wanted says whether a signal is to be sent at all.
func (s signal) wanted(endpoint bool) (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	variable := "OTEL_" + s.name + "_EXPORTER"
	value := os.Getenv(variable)
	if value == "" {
		return endpoint, nil
	}
	wanted := false
	for name := range strings.SplitSeq(value, ",") {
		switch name = strings.TrimSpace(name); {
		case name == "otlp":
			wanted = true
		case name == "none" || slices.Contains(s.pulled, name):
		default:
			return false, fmt.Errorf("%s is %q; write %s", variable, value, strings.Join(append([]string{"otlp", "none"}, s.pulled...), " or "))
		}
	}
	return wanted, nil
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

// Resource describes this program to OpenTelemetry. What the environment says
// (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) goes first.
func Resource(ctx context.Context, version string) (*resource.Resource, error) {
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
