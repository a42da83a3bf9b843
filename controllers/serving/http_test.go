package serving_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/serving"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// answer is what a server says.
type answer struct {
	Status            int
	ContentType, Body string
}

// ask asks a server that serves o.
func ask(t *testing.T, source serving.Source, o serving.Options, method, path string) answer {
	t.Helper()
	handler, err := serving.NewHandler(source, o, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	contentType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return answer{response.StatusCode, contentType, string(body)}
}

func TestAValueIsServedAsJSON(t *testing.T) {
	source := values{
		{Namespace: "shop", Name: "p95", HasValue: true, Value: 4, Text: "4.0"},
		{Namespace: "shop", Name: "text", Text: "many"},
		{Namespace: "shop", Name: "new"},
	}
	both := serving.Options{JSON: true, Metrics: true}
	const asJSON, asText = "application/json", "text/plain"
	cases := map[string]struct {
		reason       string
		source       serving.Source
		options      serving.Options
		method, path string
		want         answer
	}{
		"Value":     {"The value is the text of the status.", source, both, "GET", "/api/v1/metrics/shop/p95", answer{200, asJSON, `{"metric":"p95","namespace":"shop","value":"4.0"}` + "\n"}},
		"Text":      {"JSON has room for what is no number.", source, both, "GET", "/api/v1/metrics/shop/text", answer{200, asJSON, `{"metric":"text","namespace":"shop","value":"many"}` + "\n"}},
		"Head":      {"HEAD is GET without a body.", source, both, "HEAD", "/api/v1/metrics/shop/p95", answer{200, asJSON, ""}},
		"Missing":   {"There is no such KeptnMetric.", source, both, "GET", "/api/v1/metrics/other/p95", answer{404, asText, "there is no KeptnMetric other/p95\n"}},
		"New":       {"An empty value would be taken for one.", source, both, "GET", "/api/v1/metrics/shop/new", answer{404, asText, "KeptnMetric shop/new has no value yet\n"}},
		"Broken":    {"A failure of ours is no 404, and its cause is nobody's business.", broken{}, both, "GET", "/api/v1/metrics/shop/p95", answer{500, asText, "KeptnMetric shop/p95 cannot be read\n"}},
		"Post":      {"Nothing can be changed.", source, both, "POST", "/api/v1/metrics/shop/p95", answer{405, asText, "Method Not Allowed\n"}},
		"JSONOff":   {"JSON can be switched off.", source, serving.Options{Metrics: true}, "GET", "/api/v1/metrics/shop/p95", answer{404, asText, "404 page not found\n"}},
		"GaugesOff": {"Gauges can be switched off.", source, serving.Options{JSON: true}, "GET", "/metrics", answer{404, asText, "404 page not found\n"}},
		"Delete":    {"Nor can gauges.", source, both, "DELETE", "/metrics", answer{405, asText, "Method Not Allowed\n"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ask(t, tc.source, tc.options, tc.method, tc.path)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestValuesAreServedAsGauges(t *testing.T) {
	result := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "keptn_analysis_result", Help: "Achieved percentage."}, []string{"name"})
	result.WithLabelValues("checkout").Set(90)
	const ofOthers = "# HELP keptn_analysis_result Achieved percentage.\n# TYPE keptn_analysis_result gauge\nkeptn_analysis_result{name=\"checkout\"} 90\n"
	cases := map[string]struct {
		reason     string
		source     serving.Source
		collectors []prometheus.Collector
		want       answer
	}{
		"Plain": {
			"The help is the name of the KeptnMetric.",
			values{measuredValue("shop", "latency", 4.5, nil)}, nil,
			answer{200, "text/plain", "# HELP latency latency\n# TYPE latency gauge\nlatency{name=\"latency\",namespace=\"shop\"} 4.5\n"},
		},
		"Namespaces": {
			"The same name in two namespaces is two samples.",
			values{measuredValue("shop", "p95", 2, nil), measuredValue("cart", "p95", 1, nil)}, nil,
			answer{200, "text/plain", "# HELP p95 p95\n# TYPE p95 gauge\np95{name=\"p95\",namespace=\"cart\"} 1\np95{name=\"p95\",namespace=\"shop\"} 2\n"},
		},
		"SameGauge": {
			"Two names that become one share its gauge, and the scrape is whole.",
			values{measuredValue("shop", "p-95", 1, nil), measuredValue("shop", "p.-95", 2, nil), measuredValue("cart", "p-95", 3, nil)}, nil,
			answer{200, "text/plain", "# HELP p_95 p-95, p.-95\n# TYPE p_95 gauge\n" +
				"p_95{name=\"p-95\",namespace=\"cart\"} 3\np_95{name=\"p-95\",namespace=\"shop\"} 1\np_95{name=\"p.-95\",namespace=\"shop\"} 2\n"},
		},
		"Digit": {
			"A gauge's name does not begin with a digit.",
			values{measuredValue("shop", "5xx-rate", 1, nil)}, nil,
			answer{200, "text/plain", "# HELP _5xx_rate 5xx-rate\n# TYPE _5xx_rate gauge\n_5xx_rate{name=\"5xx-rate\",namespace=\"shop\"} 1\n"},
		},
		"NoValue": {
			"What has no number has no sample: a zero would be a lie.",
			values{{Namespace: "shop", Name: "new"}, {Namespace: "shop", Name: "text", Text: "many"}}, nil,
			answer{200, "text/plain", ""},
		},
		"Others": {
			"Other collectors are served beside.",
			values{measuredValue("shop", "latency", 4.5, nil)}, []prometheus.Collector{result},
			answer{200, "text/plain", ofOthers + "# HELP latency latency\n# TYPE latency gauge\nlatency{name=\"latency\",namespace=\"shop\"} 4.5\n"},
		},
		"TakenName": {
			"A KeptnMetric that takes another's name breaks nothing.",
			values{measuredValue("shop", "keptn-analysis-result", 1, nil)}, []prometheus.Collector{result},
			answer{200, "text/plain", ofOthers},
		},
		"Broken": {
			"What others have is served without a source.",
			broken{}, []prometheus.Collector{result},
			answer{200, "text/plain", ofOthers},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ask(t, tc.source, serving.Options{Metrics: true, Collectors: tc.collectors}, http.MethodGet, "/metrics")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestOtherRoutesAreServedBeside(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	o := serving.Options{Metrics: true, Routes: []guard.Route{
		{Pattern: "POST /hello", Handler: hello},
		{Pattern: "POST /closed", Handler: hello, Auth: func(*http.Request) ([]guard.Credential, error) { return nil, nil }},
	}}
	for path, want := range map[string]int{"/hello": 200, "/closed": 401, "/metrics": 405} {
		if got := ask(t, values{}, o, http.MethodPost, path); got.Status != want {
			t.Errorf("%s: got %+v, want %d", path, got, want)
		}
	}
}

func TestGaugesGoWithTheirMetrics(t *testing.T) {
	source := values{measuredValue("shop", "latency", 4.5, nil)}
	handler, err := serving.NewHandler(&source, serving.Options{Metrics: true}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	scrape := func() string {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return recorder.Body.String()
	}
	if got := scrape(); !strings.Contains(got, "latency{") {
		t.Fatalf("before it is deleted: %q", got)
	}
	source = nil
	if got := scrape(); got != "" {
		t.Errorf("after it was deleted: %q", got)
	}
}

func TestCollectorsThatContradictEachOtherAreRefusedAtTheStart(t *testing.T) {
	gauge := func(help string) prometheus.Collector {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "same", Help: help})
	}
	_, err := serving.NewHandler(values{}, serving.Options{Metrics: true, Collectors: []prometheus.Collector{gauge("a"), gauge("b")}}, logr.Discard())
	if err == nil {
		t.Error("one of them would never be seen")
	}
}
