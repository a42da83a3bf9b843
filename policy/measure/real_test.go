package measure_test

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/prometheus"
)

// realPrometheus is a Prometheus that holds what is written as OpenMetrics
// (https://prometheus.io/docs/prometheus/latest/storage/#backfilling-from-openmetrics-format).
func realPrometheus(t *testing.T, openMetrics string) metric.Querier {
	t.Helper()
	for _, name := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on PATH", name)
		}
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"prometheus.yml": "global: {}\n", "history": openMetrics} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	backfill := exec.CommandContext(t.Context(), "promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=48h", filepath.Join(dir, "history"), data)
	if out, err := backfill.CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // Prometheus listens there next
	serve(t, exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address))
	q, err := prometheus.New(connect.Server{
		Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: "http://" + address},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// serve runs a Prometheus until the test ends, and returns once it answers.
func serve(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, and says so
	})
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Server is ready to receive web requests") {
			go func() {
				for lines.Scan() { // else it would block on its own log
				}
			}()
			return
		}
		said.WriteString(lines.Text() + "\n")
	}
	t.Fatalf("prometheus did not start:\n%s", said.String())
}

// TestARealPrometheusTellsWhatARolloutBurned: of 100 requests a minute none failed but
// since the rollout, 3 of 100. In a day 144 may: 10 minutes of it are 30 of these 144.
func TestARealPrometheusTellsWhatARolloutBurned(t *testing.T) {
	t.Parallel()
	now := epoch.Add(2 * day)
	began := now.Add(-10 * time.Minute)
	var requests, errors strings.Builder
	requests.WriteString("# TYPE requests counter\n")
	errors.WriteString("# TYPE errors counter\n")
	for i := range 2*24*60 + 1 {
		at := epoch.Add(time.Duration(i) * time.Minute)
		failed := 3 * max(int(at.Sub(began)/time.Minute), 0)
		fmt.Fprintf(&requests, "requests_total{app=\"checkout\"} %d %d\n", 100*i, at.Unix())
		fmt.Fprintf(&errors, "errors_total{app=\"checkout\"} %d %d\n", failed, at.Unix())
	}
	q := realPrometheus(t, requests.String()+errors.String()+"# EOF\n")
	ask := func(ctx context.Context, _ string, query metric.Query) (metric.Result, error) {
		return q.Query(ctx, query)
	}

	window := ratio("", "sum(increase(errors_total[{{.window}}]))", "sum(increase(requests_total[{{.window}}]))", false)
	counter := ratio("", "sum(errors_total)", "sum(requests_total)", true)
	slices := window
	slices.Timeslices = &v1alpha1.Timeslices{Target: new(98.0)}
	composite := v1alpha1.SLO{Composite: []v1alpha1.SLOPart{{SLO: "availability"}, {SLO: "counter"}}}
	spec := v1alpha1.SLOPolicySpec{
		SLOs:  []v1alpha1.SLO{window, counter, slices, composite},
		Rules: []v1alpha1.Rule{{Name: "little-burned", Expression: "slo.availability.burned < 0.2"}},
	}
	for i, name := range []string{"availability", "counter", "uptime", "composite"} {
		spec.SLOs[i].Name, spec.SLOs[i].Objective, spec.SLOs[i].Window = name, 99.9, &v1alpha1.SLOWindow{Rolling: "1d"}
	}
	measured := measure.All(t.Context(), measure.Subject{Spec: spec, Now: now, RolloutStarted: began}, measure.Sources{Ask: ask})
	// Prometheus extrapolates a window's increase to its ends, by a minute of a day. Of
	// 1,440 minutes 1.44 may be bad, and 10 were; of two objectives that are alike the
	// composite is like each.
	for name, want := range map[string]float64{"availability": 30.0 / 144, "counter": 30.0 / 144, "uptime": 10 / 1.44, "composite": 30.0 / 144} {
		got := measured.SLOs[name]
		if got.Burned == nil || math.Abs(*got.Burned/want-1) > 0.002 {
			t.Errorf("%s burned %v (%s %s), want %v", name, shown(got.Burned), got.Missing, got.MissingBurned, want)
		}
	}
	compiled, err := policy.Compile("checkout", spec)
	if err != nil {
		t.Fatal(err)
	}
	verdict := compiled.Evaluate(t.Context(), policy.Input{SLOs: measured.SLOs})
	const want = "little-burned 20.83% ≥ 20%; burned 694.44% of uptime's budget, 20.83% of availability's and some of 2 more"
	if got := verdict.Summary(140); verdict.Result != policy.Fail || got != want {
		t.Errorf("%s: %q, want %q", verdict.Result, got, want)
	}
}
