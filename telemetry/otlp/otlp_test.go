package otlp_test

import (
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/keptn/gitops/telemetry/otlp"
)

// clean takes all variables away that a developer's machine may have.
func clean(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
	} {
		t.Setenv(name, "")
	}
}

func TestTheEnvironmentSaysWhatIsExported(t *testing.T) {
	const grpc, http, none = "grpc", "http", "none"
	cases := map[string]struct {
		reason         string
		set            map[string]string
		spans, metrics string
	}{
		"Nothing":      {"Nobody asked for anything.", nil, none, none},
		"Endpoint":     {"A collector takes both, by gRPC as always.", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317"}, grpc, grpc},
		"TracesOnly":   {"An endpoint of traces is none of metrics.", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://otel:4317"}, grpc, none},
		"MetricsOnly":  {"And the other way round.", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://otel:4317"}, none, grpc},
		"HTTP":         {"The protocol of both.", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, http, http},
		"OneByHTTP":    {"The signal's own protocol goes first.", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"}, grpc, http},
		"NoTraces":     {"Who wants none gets none.", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_TRACES_EXPORTER": "none"}, none, grpc},
		"PulledOnly":   {"Prometheus comes by itself.", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_METRICS_EXPORTER": "prometheus"}, grpc, none},
		"PulledAndNot": {"Both can be had.", map[string]string{"OTEL_METRICS_EXPORTER": "prometheus, otlp"}, none, grpc},
		"AskedFor":     {"The default endpoint is on this host.", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, grpc, none},
		"Disabled":     {"All of it is off.", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_SDK_DISABLED": "True"}, none, none},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for k, v := range tc.set {
				t.Setenv(k, v)
			}
			spans, err := otlp.Spans(t.Context())
			if got := kind(spans); err != nil || !strings.Contains(got, tc.spans) {
				t.Errorf("%s\nspans go by %s, %v, want %s", tc.reason, got, err, tc.spans)
			}
			metrics, err := otlp.Metrics(t.Context())
			if got := kind(metrics); err != nil || !strings.Contains(got, tc.metrics) {
				t.Errorf("%s\nmetrics go by %s, %v, want %s", tc.reason, got, err, tc.metrics)
			}
		})
	}
}

// kind says how an exporter sends, by its type or by what it logs of itself.
func kind(exporter any) string {
	switch e := exporter.(type) {
	case nil:
		return "none"
	case interface{ MarshalLog() any }:
		if said := fmt.Sprintf("%+v", e.MarshalLog()); strings.Contains(said, "otlphttp") || strings.Contains(said, "http") {
			return "http"
		}
		return fmt.Sprintf("%T grpc", exporter)
	default:
		return fmt.Sprintf("%T", exporter)
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
		"HostForScheme": {
			"A host and a port look like a URL whose scheme is the host.",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "otel-collector:4317"},
			"OTEL_EXPORTER_OTLP_ENDPOINT does not parse", "otel-collector",
		},
		"Token": {
			"A token in the URL must not be in the error.",
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://u:hunter2", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://u:hunter2"},
			"ENDPOINT does not parse", "hunter2",
		},
		"Protocol": {
			"JSON is one that collectors take, and we do not send.",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.example.com:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
			`OTEL_EXPORTER_OTLP_PROTOCOL is "http/json"; write grpc`, "otel.example.com",
		},
		"Exporter": {
			"What is misspelt would else be off without a word.",
			map[string]string{"OTEL_TRACES_EXPORTER": "oltp", "OTEL_METRICS_EXPORTER": "oltp"},
			`_EXPORTER is "oltp"; write otlp or none`, "hunter2",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for k, v := range tc.set {
				t.Setenv(k, v)
			}
			_, spansErr := otlp.Spans(t.Context())
			_, metricsErr := otlp.Metrics(t.Context())
			for signal, err := range map[string]error{"traces": spansErr, "metrics": metricsErr} {
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), tc.mustHide) {
					t.Errorf("%s\nerror for %s is %v, want %q in it and not %q", tc.reason, signal, err, tc.want, tc.mustHide)
				}
			}
		})
	}
}

func TestTheResourceIsThisProgramUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	clean(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=eu-1")
	res, err := otlp.Resource(t.Context(), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[attribute.Key]string{
		"service.name": "lifecycle-operator", "service.version": "v1.2.3", "k8s.cluster.name": "eu-1",
	} {
		if got, _ := res.Set().Value(key); got.AsString() != want {
			t.Errorf("%s is %q, want %q", key, got.AsString(), want)
		}
	}
	t.Setenv("OTEL_SERVICE_NAME", "keptn")
	if res, err = otlp.Resource(t.Context(), "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	if got, _ := res.Set().Value("service.name"); got.AsString() != "keptn" {
		t.Errorf("service.name is %q, want what the environment says", got.AsString())
	}
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name")
	if _, err := otlp.Resource(t.Context(), "v1.2.3"); err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES") {
		t.Errorf("an attribute without a value is %v, want an error that names the variable", err)
	}
}
