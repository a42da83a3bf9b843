package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/metric"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

// collector is an OTLP collector that keeps what it is sent, by gRPC or HTTP.
type collector struct {
	collectortrace.UnimplementedTraceServiceServer

	mu      sync.Mutex
	spans   []string
	metrics map[string][]*metricspb.Metric
	service string
}

// Export takes spans.
func (c *collector) Export(_ context.Context, r *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		for _, kv := range resource.Resource.Attributes {
			if kv.Key == "service.name" {
				c.service = kv.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, span.Name)
			}
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// metricsCollector is the collector's other service.
type metricsCollector struct {
	collectormetrics.UnimplementedMetricsServiceServer

	*collector
}

// Export takes metrics.
func (c metricsCollector) Export(_ context.Context, r *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				c.metrics[m.Name] = append(c.metrics[m.Name], m)
			}
		}
	}
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

func startGRPC(t *testing.T) (*collector, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &collector{metrics: map[string][]*metricspb.Metric{}}, grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, c)
	collectormetrics.RegisterMetricsServiceServer(server, metricsCollector{collector: c})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c, "http://" + listener.Addr().String()
}

func startHTTP(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{metrics: map[string][]*metricspb.Metric{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s is %q: %v", r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		switch r.URL.Path {
		case "/v1/traces":
			request := &collectortrace.ExportTraceServiceRequest{}
			err = proto.Unmarshal(body, request)
			_, _ = c.Export(r.Context(), request)
		case "/v1/metrics":
			request := &collectormetrics.ExportMetricsServiceRequest{}
			err = proto.Unmarshal(body, request)
			_, _ = metricsCollector{collector: c}.Export(r.Context(), request)
		default:
			err = errors.New("no such path")
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	return c, server.URL
}

func newTeller(t *testing.T, o telemetry.Options) *telemetry.Teller {
	t.Helper()
	o.Version, o.Registerer = "v1.2.3", prometheus.NewRegistry()
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	teller, err := telemetry.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return teller
}

// tellAll tells of one change of each kind.
func tellAll(t *testing.T, teller *telemetry.Teller) {
	t.Helper()
	task, evaluation := recordtest.Task(), recordtest.Evaluation()
	teller.App(t.Context(), nil, recordtest.Delivered(), record.Facts{Evaluations: []lifecyclev1.KeptnEvaluation{evaluation}})
	teller.Workload(t.Context(), nil, recordtest.Workload(), recordtest.Delivered(), record.Facts{Tasks: []lifecyclev1.KeptnTask{task}})
	teller.Task(t.Context(), nil, &task)
	teller.Evaluation(t.Context(), nil, &evaluation)
	teller.KubernetesEvent(t.Context(), event.Told{Phase: "App Deployment", State: "Started", At: recordtest.At(0).Time})
	teller.Incident(t.Context(), event.Incident{ID: "1", Namespace: "shop", StartedAt: recordtest.At(0).Time})
}

func TestACollectorGetsTracesAndMetricsByEitherProtocol(t *testing.T) {
	for name, tc := range map[string]struct {
		reason   string
		start    func(*testing.T) (*collector, string)
		protocol string
	}{
		"gRPC": {"The default, as Keptn's.", startGRPC, ""},
		"HTTP": {"For collectors behind a proxy.", startHTTP, "http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			collector, endpoint := tc.start(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", tc.protocol)
			t.Setenv("OTEL_TRACES_SAMPLER", "always_off") // is for requests: deliveries are few
			teller := newTeller(t, telemetry.Options{})
			teller.Observe(metric.Sources{KeptnMetrics: func(context.Context) ([]metric.Measured, error) {
				return []metric.Measured{
					{Series: "checkout_p95", Namespace: "shop", Name: "checkout-p95", Value: 0.25},
					{Series: "checkout_p95", Namespace: "blog", Name: "checkout-p95", Value: 0.5},
				}, nil
			}})
			if !teller.Traces() {
				t.Errorf("%s\nit says that it exports no traces", tc.reason)
			}
			tellAll(t, teller)
			if err := teller.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			collector.mu.Lock()
			defer collector.mu.Unlock()
			want := []string{
				"AppDeploy", "AppSoak", "AppPostDeployEvaluations", "post-eval-checkout-slo-1", "checkout-4b825dc-1a2b3c4d",
				"checkout-web/WorkloadPreDeployTasks", "pre-migrate-1", "checkout-web-1.2",
			}
			if diff := cmp.Diff(want, collector.spans); diff != "" || collector.service != "lifecycle-operator" {
				t.Errorf("%s\nspans of %s, -want +got:\n%s", tc.reason, collector.service, diff)
			}
			for _, name := range []string{"keptn.app.count", "keptn.deployment.count", "keptn.task.duration", "keptn.evaluation.count", "keptn.lead_time", "keptn_lifecycle_active", "checkout_p95"} {
				if len(collector.metrics[name]) == 0 {
					t.Errorf("%s\nthe collector got no %s", tc.reason, name)
				}
			}
			points := collector.metrics["checkout_p95"][0].GetGauge().GetDataPoints()
			if len(points) != 2 || points[0].GetAsDouble() != 0.25 || points[0].Attributes[1].Value.GetStringValue() != "shop" || points[0].TimeUnixNano == 0 {
				t.Errorf("%s\nthe KeptnMetrics are %v", tc.reason, points)
			}
		})
	}
}

func TestACollectorThatIsDownDelaysNothingAndIsSaid(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // nobody is there
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ci:hunter2@"+listener.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
	var mu sync.Mutex
	var logged []string
	teller := newTeller(t, telemetry.Options{Log: funcr.New(func(prefix, args string) {
		mu.Lock()
		defer mu.Unlock()
		logged = append(logged, prefix+" "+args)
	}, funcr.Options{})})
	tellAll(t, teller)
	_ = teller.Shutdown(t.Context()) // what it says is in the log as well
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(logged, "\n")
	for _, want := range []string{`traces `, `"spans"=8`, `metrics `, "OTEL_METRICS_EXPORTER=none"} {
		if !strings.Contains(all, want) {
			t.Errorf("logged\n%s\nwant %q in it", all, want)
		}
	}
	if strings.Contains(all, "hunter2") {
		t.Errorf("logged a password:\n%s", all)
	}
}

func TestOnlyTheFamiliesThatAreAskedForAreSent(t *testing.T) {
	for name, tc := range map[string]struct {
		reason   string
		families []telemetry.Family
		want     map[string]int
	}{
		"Default":  {"Our own, as always.", nil, map[string]int{"sh.keptn": 5 + 3 + 2 + 2}},
		"Keptn":    {"One for each Kubernetes event.", []telemetry.Family{telemetry.FamilyKeptn}, map[string]int{"App Deployment": 1}},
		"CDEvents": {"A deployment, two tests, an incident.", []telemetry.Family{telemetry.FamilyCDEvents}, map[string]int{"dev.cdevents": 4}},
		"All": {
			"They go side by side.", []telemetry.Family{telemetry.FamilyDelivery, telemetry.FamilyKeptn, telemetry.FamilyCDEvents},
			map[string]int{"sh.keptn": 12, "App Deployment": 1, "dev.cdevents": 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			got := map[string]int{}
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				e, err := cloudevents.NewEventFromHTTPRequest(r)
				if err != nil {
					t.Errorf("not a CloudEvent: %v", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, family := range []string{"sh.keptn", "App Deployment", "dev.cdevents"} {
					if strings.HasPrefix(e.Type(), family+".") {
						got[family]++
					}
				}
			}))
			defer receiver.Close()
			teller := newTeller(t, telemetry.Options{CloudEvents: telemetry.CloudEvents{Endpoint: receiver.URL, Families: tc.families}})
			tellAll(t, teller)
			drain(t, teller)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// drain sends all that waits.
func drain(t *testing.T, teller *telemetry.Teller) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := teller.Start(ctx); err != nil {
		t.Error(err)
	}
}

// receiving is a receiver of CloudEvents, and the types of what it gets.
func receiving(t *testing.T) (url string, types <-chan string) {
	t.Helper()
	got := make(chan string, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Ce-Type") }))
	t.Cleanup(receiver.Close)
	return receiver.URL, got
}

func TestAReplicaThatStandsByTellsOfTheIncidentsThatItTakesIn(t *testing.T) {
	url, got := receiving(t)
	teller := newTeller(t, telemetry.Options{CloudEvents: telemetry.CloudEvents{Endpoint: url, Families: []telemetry.Family{telemetry.FamilyCDEvents}}})
	// A manager starts at once what needs no election, and all else where it leads.
	runnable, ok := any(teller).(interface{ NeedLeaderElection() bool })
	if !ok || runnable.NeedLeaderElection() {
		t.Fatal("the queue waits for the replica to lead")
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = teller.Start(ctx) })
	defer running.Wait()
	defer stop()
	teller.Incident(t.Context(), event.Incident{ID: "1", Namespace: "shop", StartedAt: recordtest.At(0).Time})
	select {
	case kind := <-got:
		if !strings.HasPrefix(kind, "dev.cdevents.incident.detected.") {
			t.Errorf("got %s", kind)
		}
	case <-time.After(time.Minute): // it would be for good
		t.Error("the incident stays in the queue")
	}
}

func TestWhatIsToldWhileAllElseStopsIsSent(t *testing.T) {
	url, got := receiving(t)
	teller := newTeller(t, telemetry.Options{CloudEvents: telemetry.CloudEvents{Endpoint: url, Families: []telemetry.Family{telemetry.FamilyCDEvents}}})
	drain(t, teller) // a manager stops it first
	teller.Incident(t.Context(), event.Incident{ID: "1", Namespace: "shop", StartedAt: recordtest.At(0).Time})
	if err := teller.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if len(got) != 1 {
		t.Errorf("%d events are sent, want the one of the incident", len(got))
	}
}

func TestFluxIsToldOfDeliveries(t *testing.T) {
	var mu sync.Mutex
	var got []string
	controller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e eventv1.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Errorf("no event: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e.InvolvedObject.Kind+" "+e.Reason)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer controller.Close()
	teller := newTeller(t, telemetry.Options{FluxAddress: controller.URL})
	tellAll(t, teller)
	drain(t, teller)
	if diff := cmp.Diff([]string{"KeptnAppVersion Progressing", "KeptnAppVersion Warning"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNobodyIsToldByNil(t *testing.T) {
	for name, teller := range map[string]*telemetry.Teller{"nil": nil, "no parts": {}} {
		t.Run(name, func(t *testing.T) {
			tellAll(t, teller)
			teller.Observe(metric.Sources{})
			if teller.Traces() {
				t.Error("it says that it exports traces")
			}
			drain(t, teller)
			if err := teller.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if got := teller.LogValues(record.OfApp(recordtest.Delivered())); !slices.Equal(got, []any{"commit", recordtest.SHA}) {
				t.Errorf("log values %v, want the commit alone", got)
			}
		})
	}
}

func TestWhatCannotBeHadIsAnErrorThatQuotesNoSecret(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		set    map[string]string
		o      telemetry.Options
		want   string
	}{
		"Traces":      {"An address without a scheme.", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "s3cr3t:4317"}, telemetry.Options{}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		"Metrics":     {"The same for metrics.", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "s3cr3t:4317"}, telemetry.Options{}, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"},
		"Attributes":  {"One without a value.", map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name"}, telemetry.Options{}, "OTEL_RESOURCE_ATTRIBUTES"},
		"CloudEvents": {"No web address.", nil, telemetry.Options{CloudEvents: telemetry.CloudEvents{Endpoint: "amqp://s3cr3t"}}, "endpoint of CloudEvents"},
		"Flux":        {"No web address.", nil, telemetry.Options{FluxAddress: "notification-controller.s3cr3t"}, "endpoint of events for Flux"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tc.set {
				t.Setenv(k, v)
			}
			tc.o.Registerer, tc.o.Log = prometheus.NewRegistry(), logr.Discard()
			_, err := telemetry.New(t.Context(), tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s\nNew = %v, want %q in it and no secret", tc.reason, err, tc.want)
			}
		})
	}
}

func TestFamiliesAreReadFromAList(t *testing.T) {
	for list, want := range map[string][]telemetry.Family{
		"delivery":             {telemetry.FamilyDelivery},
		"keptn, cdevents":      {telemetry.FamilyKeptn, telemetry.FamilyCDEvents},
		"delivery,keptn,other": nil,
		"":                     nil,
	} {
		got, err := telemetry.ParseFamilies(list)
		if diff := cmp.Diff(want, got); diff != "" || (err != nil) != (want == nil) {
			t.Errorf("ParseFamilies(%q): %v, -want +got:\n%s", list, err, diff)
		}
	}
}

func TestLogsAreTiedToTheTraceAndTheCommit(t *testing.T) {
	_, endpoint := startGRPC(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)
	teller := newTeller(t, telemetry.Options{})
	defer func() { _ = teller.Shutdown(t.Context()) }()
	parts := strings.Split(telemetry.Traceparent(recordtest.UID), "-")
	want := []any{"trace_id", parts[1], "span_id", parts[2], "commit", recordtest.SHA}
	if diff := cmp.Diff(want, teller.LogValues(record.OfApp(recordtest.Delivered()))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTraceparentsByTheUIDAreThoseOfTheRecord(t *testing.T) {
	d := record.OfApp(recordtest.Delivered())
	if got := telemetry.Traceparent(recordtest.UID); got != d.Traceparent() {
		t.Errorf("Traceparent = %s, want %s", got, d.Traceparent())
	}
	if got := telemetry.PhaseTraceparent(recordtest.UID, lifecyclev1.PhaseAppDeploy); got != d.PhaseTraceparent(lifecyclev1.PhaseAppDeploy) {
		t.Errorf("PhaseTraceparent = %s, want %s", got, d.PhaseTraceparent(lifecyclev1.PhaseAppDeploy))
	}
}

func TestFactsAreAskedForByKind(t *testing.T) {
	before := recordtest.Workload()
	before.Status.Phases = nil
	if !telemetry.AppNeedsFacts(nil, recordtest.Delivered()) || telemetry.AppNeedsFacts(nil, recordtest.Failed()) {
		t.Error("an app's evaluation is not asked for, or a rollout's")
	}
	if !telemetry.WorkloadNeedsFacts(before, recordtest.Workload()) || telemetry.WorkloadNeedsFacts(recordtest.Workload(), recordtest.Workload()) {
		t.Error("a workload's task is not asked for, or again")
	}
	if !telemetry.Ended(nil, recordtest.Delivered()) || telemetry.Ended(recordtest.Delivered(), recordtest.Delivered()) {
		t.Error("a delivery does not end, or ends twice")
	}
}

func TestAReceiverThatIsAwayDelaysNoTeller(t *testing.T) {
	teller := newTeller(t, telemetry.Options{CloudEvents: telemetry.CloudEvents{Endpoint: "http://127.0.0.1:1"}, FluxAddress: "http://127.0.0.1:1"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 { // more than the queues hold
			tellAll(t, teller)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute): // it would be for good
		t.Error("telling waits for the receiver")
	}
}
