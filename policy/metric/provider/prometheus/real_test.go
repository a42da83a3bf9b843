package prometheus_test

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/bcrypt"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// realPrometheus is a real Prometheus: the testbed's, or one that is started here
// and asks for a user and a password.
func realPrometheus(t *testing.T) connect.Server {
	t.Helper()
	if url := os.Getenv("TESTBED_PROMETHEUS_URL"); url != "" {
		return serverAt(url)
	}
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("there is no prometheus on PATH, and TESTBED_PROMETHEUS_URL is not set")
	}
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "prometheus.yml"), "global: {}\n")
	write(t, filepath.Join(dir, "web.yml"), fmt.Sprintf("basic_auth_users: {keptn: %q}\n", hash))
	address := freeAddress(t)
	start(t, exec.Command(binary,
		"--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--web.config.file="+filepath.Join(dir, "web.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address))
	s := serverAt("http://" + address)
	s.Secret = connect.Secret{"user": []byte("keptn"), "password": []byte("right")}
	return s
}

// start runs a Prometheus until the test ends, and returns once it is ready.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("stopping prometheus: %v", err)
		}
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

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// oneOf asks for the value of the only series.
func oneOf(t *testing.T, q metric.Querier, query metric.Query) metric.Sample {
	t.Helper()
	result, err := q.Query(t.Context(), query)
	if err != nil || len(result.Series) != 1 {
		t.Fatalf("%s: %d series, %v, want one", query.Expr, len(result.Series), err)
	}
	return result.Series[0].Last()
}

func TestARealPrometheusAnswers(t *testing.T) {
	q := querier(t, realPrometheus(t))
	now := time.Now().Truncate(time.Second)
	for query, want := range map[string]float64{
		"vector(3)":      3,
		"1 + 1":          2,
		"vector(0) / 0":  math.NaN(),
		"vector(1) / 0":  math.Inf(1),
		"vector(time())": float64(now.Unix()),
	} {
		got := oneOf(t, q, metric.Query{Expr: query, At: now})
		if !cmp.Equal(got.Value, want, cmpopts.EquateNaNs()) || !got.Time.Equal(now) {
			t.Errorf("%s = %v, want %v at %v", query, got, want, now)
		}
	}
	both, err := q.Query(t.Context(), metric.Query{Expr: `label_replace(vector(1), "pod", "a", "", "") or label_replace(vector(2), "pod", "b", "", "")`, At: now})
	if err != nil || len(both.Series) != 2 || both.Series[0].Labels["pod"] == both.Series[1].Labels["pod"] {
		t.Errorf("two series: %v, %v", both, err)
	}
}

func TestARealPrometheusAnswersAWindow(t *testing.T) {
	q := querier(t, realPrometheus(t))
	now := time.Now().Truncate(time.Second)
	window := metric.Query{Expr: "vector(time())", At: now, Window: time.Hour}
	if got := oneOf(t, q, window); got.Value != float64(now.Unix()) || !got.Time.Equal(now) {
		t.Errorf("the window's value is %v, want that of its end, %v", got, now)
	}
	window.Step = 20 * time.Minute
	result, err := q.Query(t.Context(), window)
	if err != nil || len(result.Series) != 1 || len(result.Series[0].Samples) != 4 {
		t.Fatalf("an hour each 20 minutes: %v, %v, want 4 samples", result, err)
	}
	for i, s := range result.Series[0].Samples {
		if want := now.Add(time.Duration(i-3) * window.Step); !s.Time.Equal(want) || s.Value != float64(want.Unix()) {
			t.Errorf("sample %d is %v, want %v", i, s, want)
		}
	}
	stale := metric.Query{Expr: fmt.Sprintf("vector(1) and vector(time()) < %d", now.Unix()), At: now, Window: time.Hour}
	if got := oneOf(t, q, stale); !got.Time.Equal(now.Add(-time.Minute)) {
		t.Errorf("a series that ended within the window has the time %v, want that of its last sixtieth", got.Time)
	}
}

func TestARealPrometheusRefuses(t *testing.T) {
	s := realPrometheus(t)
	cases := map[string]struct {
		reason, query string
		want          error
	}{
		"NoData":    {"Nothing is scraped by that name.", "keptn_there_is_no_such_metric", metric.ErrNoData},
		"Syntax":    {"A query that does not parse.", "sum(", metric.ErrBadQuery},
		"Duplicate": {"A match of many to many.", `vector(1) + on() (label_replace(vector(1), "a", "b", "", "") or vector(2))`, metric.ErrBadQuery},
		"Range":     {"A range vector.", "up[5m]", metric.ErrBadQuery},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := querier(t, s).Query(t.Context(), metric.Query{Expr: tc.query, At: time.Now()}); !errors.Is(err, tc.want) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
		})
	}
	t.Run("Password", func(t *testing.T) {
		if s.Secret == nil {
			t.Skip("the testbed's Prometheus asks for no password")
		}
		s.Secret = connect.Secret{"user": []byte("keptn"), "password": []byte("wrong")}
		if _, err := querier(t, s).Query(t.Context(), instant()); !errors.Is(err, metric.ErrUnauthorized) {
			t.Errorf("error %v, want ErrUnauthorized", err)
		}
	})
}
