package config_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keptn/gitops/config/grafana"
	"github.com/keptn/gitops/config/metricstest"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/telemetry/record"
)

// exported are the series that there are: by name their labels, and of each its values.
type exported map[string]map[string][]string

// ofTarget are labels that Prometheus adds.
func ofTarget() []string { return []string{"job", "instance", "namespace", "pod"} }

func exports(t *testing.T) exported {
	t.Helper()
	all := exported{}
	for _, family := range metricstest.Gather(t) {
		labels := map[string][]string{}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		for _, name := range ofTarget() {
			labels[name] = nil
		}
		if family.GetType() != dto.MetricType_HISTOGRAM {
			all[family.GetName()] = labels
			continue
		}
		for _, part := range []string{"_sum", "_count", "_bucket"} {
			all[family.GetName()+part] = maps.Clone(labels)
		}
		all[family.GetName()+"_bucket"]["le"] = nil
	}
	return all
}

// fewValues are labels all of whose values there are, so that one that is misspelled
// shows.
var fewValues = regexp.MustCompile(`(_status|_outcome|^name|^quantile)$`)

// problems are what is wrong with an expression, and with labels that are read of its
// result.
func (e exported) problems(text string, read ...string) []string {
	found, err := readPromQL(text)
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	if len(found.selectors) == 0 {
		all = append(all, fmt.Sprintf("%q asks for no metric", text))
	}
	joined := strings.Contains(text, " on (") // on labels: the first has all that shows
	for i, s := range found.selectors {
		labels, known := e[s.metric]
		if !known {
			all = append(all, fmt.Sprintf("%q: there is no metric %s", text, s.metric))
			continue
		}
		for _, label := range slices.Concat(found.labels, read) {
			if _, has := labels[label]; !has && (i == 0 || !joined) {
				all = append(all, fmt.Sprintf("%q: %s has no label %s", text, s.metric, label))
			}
		}
		for _, m := range s.matchers {
			values, has := labels[m.label]
			if !has {
				all = append(all, fmt.Sprintf("%q: %s has no label %s", text, s.metric, m.label))
			}
			for value := range strings.SplitSeq(m.value, "|") {
				if fewValues.MatchString(m.label) && !slices.ContainsFunc(values, regexp.MustCompile("^(?:"+value+")$").MatchString) {
					all = append(all, fmt.Sprintf("%q: %s of %s is never %q, only %q", text, m.label, s.metric, value, values))
				}
			}
		}
	}
	return all
}

func TestAMetricOrALabelOfAnotherNameShows(t *testing.T) {
	all := exports(t)
	for name, c := range map[string]struct{ reason, text, legend string }{
		"metric":    {"Keptn's boards forgot _total", `sum(keptn_task_count)`, ""},
		"histogram": {"and the unit", `rate(keptn_task_duration_bucket[5m])`, ""},
		"matcher":   {"it would never match", `keptn_app_active{app="cart"}`, ""},
		"value":     {"states are written with a capital", `keptn_app_count_total{keptn_deployment_app_status="succeeded"}`, ""},
		"group":     {"all would be one", `sum by (app) (keptn_app_active)`, ""},
		"legend":    {"it would be empty", `keptn_app_active`, "app"},
		"le":        {"only buckets have it", `sum by (le) (keptn_app_duration_seconds_sum)`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if len(all.problems(c.text, slices.DeleteFunc([]string{c.legend}, func(l string) bool { return l == "" })...)) == 0 {
				t.Errorf("%s is taken for right, although %s", c.text, c.reason)
			}
		})
	}
}

func TestPrometheusScrapesTheControllerAndItsShardsOnce(t *testing.T) {
	type serviceMonitor struct {
		APIVersion, Kind string
		Metadata         map[string]any
		Spec             struct {
			Selector  metav1.LabelSelector
			Endpoints []struct {
				Port, Interval string
				HonorLabels    bool
			}
		}
	}
	monitors := find[serviceMonitor](t, "prometheus", "ServiceMonitor")
	if len(monitors) != 1 {
		t.Fatalf("%d ServiceMonitors", len(monitors))
	}
	selector, err := metav1.LabelSelectorAsSelector(&monitors[0].Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	scraped := map[string]bool{}
	for _, e := range monitors[0].Spec.Endpoints {
		scraped[e.Port] = true
	}
	for dir, want := range map[string][]string{"manager": {"metrics", "keptn-metrics"}, "shard": {"metrics"}} {
		var got []string
		for _, service := range find[corev1.Service](t, dir, "Service") {
			if !selector.Matches(labels.Set(service.Labels)) {
				continue
			}
			for _, p := range service.Spec.Ports {
				if scraped[p.Name] {
					got = append(got, p.Name)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ports that are scraped (-want +got):\n%s", dir, diff)
		}
	}
}

// A prometheusRule is the object of that kind.
type prometheusRule struct {
	APIVersion, Kind string
	Metadata         map[string]any
	Spec             struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
}

// A shard exports what every controller does, but for the name of its lease.
func TestAShardDoesNotHideThatTheControllerIsAway(t *testing.T) {
	want := `absent(leader_election_master_status{name="` + metricstest.Lease + `"})`
	var got string
	for _, r := range find[prometheusRule](t, "prometheus", "PrometheusRule")[0].Spec.Groups[0].Rules {
		if r.Alert == "KeptnControllerDown" {
			got = r.Expr
		}
	}
	if got != want {
		t.Errorf("the alert asks for %s, not for %s", got, want)
	}
}

func TestTheLeaseIsTheOneThatTheControllerHolds(t *testing.T) {
	if lease := shard.Shard("").Lease(); lease != metricstest.Lease {
		t.Errorf("the controller holds the lease %s, and boards and rules are tested with %s", lease, metricstest.Lease)
	}
}

// A rule is one of the Prometheus Operator's.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// inText are the labels that a text of an alert fills in.
var inText = regexp.MustCompile(`\$labels\.([a-z_]+)`)

func TestRulesAskForMetricsThatThereAre(t *testing.T) {
	all := exports(t)
	for _, file := range find[prometheusRule](t, "prometheus", "PrometheusRule") {
		for _, group := range file.Spec.Groups {
			for _, r := range group.Rules {
				var read []string
				for _, text := range r.Annotations {
					for _, m := range inText.FindAllStringSubmatch(text, -1) {
						read = append(read, m[1])
					}
				}
				for _, problem := range all.problems(r.Expr, read...) {
					t.Errorf("%s%s: %s", r.Record, r.Alert, problem)
				}
				if r.Record != "" { // the rules after it can ask for it
					found, _ := readPromQL(r.Expr)
					all[r.Record] = map[string][]string{}
					for _, label := range found.labels {
						all[r.Record][label] = all[found.selectors[0].metric][label]
					}
				} else if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
					t.Errorf("%s says not how bad it is, or what it is", r.Alert)
				}
			}
		}
	}
}

var (
	inLegend = regexp.MustCompile(`{{([a-z_]+)}}`)
	ofLabels = regexp.MustCompile(`^label_values\((.+), ([a-z_]+)\)$`)
	variable = regexp.MustCompile(`\$([a-z]+)`)
)

func TestBoardsAskForMetricsThatThereAre(t *testing.T) {
	all := exports(t)
	for _, b := range grafana.Boards() {
		chosen := []string{}
		check := func(text string, read ...string) {
			for _, problem := range all.problems(text, read...) {
				t.Errorf("%s: %s", b.UID, problem)
			}
			for _, m := range variable.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(chosen, m[1]) {
					t.Errorf("%s: %q asks for what is chosen as %s, which nobody can", b.UID, text, m[1])
				}
			}
		}
		for _, v := range b.Variables {
			m := ofLabels.FindStringSubmatch(v.Query)
			if m == nil {
				t.Errorf("%s: %q lists no values of a label", b.UID, v.Query)
				continue
			}
			check(m[1], m[2])
			chosen = append(chosen, v.Name)
		}
		for _, p := range b.Panels {
			for _, q := range p.Queries {
				var read []string
				for _, m := range inLegend.FindAllStringSubmatch(q.Legend, -1) {
					read = append(read, m[1])
				}
				check(q.Expr, read...)
			}
		}
	}
}

func TestBoardsFindTracesByTheAttributesOfSpans(t *testing.T) {
	want := map[string]string{
		"keptn-applications": string(record.AppName), "keptn-workloads": string(record.WorkloadName),
		"keptn-overview": "", "keptn-dora": "",
	}
	for _, b := range grafana.Boards() {
		if got := b.Traces.Key; got != want[b.UID] {
			t.Errorf("%s searches by %q, spans have %q", b.UID, got, want[b.UID])
		}
	}
	if got := exports(t)["target_info"]["service_name"]; !slices.Contains(got, grafana.Service) {
		t.Errorf("Jaeger is asked for %s, which is called %q", grafana.Service, got)
	}
}

func TestBoardsAreAsTheTableHasThem(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range grafana.Boards() {
		want, err := b.File()
		if err != nil {
			t.Fatal(err)
		}
		file := b.UID + ".json"
		if got, err := os.ReadFile(filepath.Join("grafana", file)); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what the table makes; run go run ./config/grafana/gen config/grafana", file)
		}
		uids[file] = true
	}
	mounted := map[string]bool{}
	for _, m := range find[struct {
		APIVersion, Kind string
		Metadata         struct {
			Name   string
			Labels map[string]string
		}
		Data map[string]string
	}](t, "grafana", "ConfigMap") {
		if m.Metadata.Labels["grafana_dashboard"] != "1" {
			t.Errorf("the sidecar does not find %s, of labels %v", m.Metadata.Name, m.Metadata.Labels)
		}
		for file, text := range m.Data {
			if mounted[file] = true; !json.Valid([]byte(text)) || !uids[file] {
				t.Errorf("%s of %s is no board", file, m.Metadata.Name)
			}
		}
	}
	if !maps.Equal(mounted, uids) {
		t.Errorf("boards %v, of which the sidecar finds %v", uids, mounted)
	}
}

// levelOf is the number of the step that a number is on.
func levelOf(steps []grafana.Step, x float64) string {
	color := steps[0].Color
	for _, s := range steps[1:] {
		if x >= s.From {
			color = s.Color
		}
	}
	return color
}

func TestColoursAreTheLevelsOf2024(t *testing.T) {
	colors := map[dora.Level]string{dora.Elite: "green", dora.High: "blue", dora.Medium: "yellow", dora.Low: "red"}
	check := func(what string, steps []grafana.Step, shown float64, m dora.Metrics, level func(dora.Bands) dora.Level) {
		bands, err := m.Bands(dora.Report2024)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := levelOf(steps, shown), level(bands); got != colors[want] {
			t.Errorf("%s %v is %s, but %s", what, shown, got, want)
		}
	}
	for _, days := range []int{7, 30, 90} { // the windows that a status has
		for n := 1; n <= 200; n++ {
			perDay, rate := float64(n)/float64(days), float64(n)/200
			check("frequency", grafana.FrequencySteps(), rounded(perDay), dora.Metrics{Deployments: n, DeploymentsPerDay: perDay},
				func(b dora.Bands) dora.Level { return b.DeploymentFrequency })
			check("fail rate", grafana.FailRateSteps(), rounded(rate), dora.Metrics{ChangeFailRate: &rate},
				func(b dora.Bands) dora.Level { return b.ChangeFailRate })
		}
	}
	for _, at := range []float64{3600, 86400, 604800, 2592000} {
		for _, seconds := range []float64{at - 1, at, at + 1} {
			var m dora.Metrics
			m.LeadTime.P50Seconds, m.Recovery.P50Seconds = &seconds, &seconds
			check("lead time", grafana.LeadTimeSteps(), seconds, m, func(b dora.Bands) dora.Level { return b.LeadTime })
			check("recovery", grafana.RecoverySteps(), seconds, m, func(b dora.Bands) dora.Level { return b.Recovery })
		}
	}
}

// rounded is a number as a status has it.
func rounded(x float64) float64 {
	var y float64
	if _, err := fmt.Sscanf(fmt.Sprintf("%.4f", x), "%g", &y); err != nil {
		return x
	}
	return y
}
