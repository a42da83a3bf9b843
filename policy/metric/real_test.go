package metric_test

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

	"golang.org/x/crypto/bcrypt"

	"github.com/keptn/gitops/policy/metric"
)

// realPrometheus is the address of a real Prometheus: the testbed's, or one that
// is started here and asks for the user and password in p.
func realPrometheus(t *testing.T) (p metric.Provider) {
	t.Helper()
	if url := os.Getenv("TESTBED_PROMETHEUS_URL"); url != "" {
		return metric.Provider{Type: "prometheus", URL: url}
	}
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("there is no prometheus on PATH, and TESTBED_PROMETHEUS_URL is not set")
	}
	p = metric.Provider{Type: "prometheus", User: "keptn", Password: "right"}
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte(p.Password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "prometheus.yml"), "global: {}\n")
	write(t, filepath.Join(dir, "web.yml"), fmt.Sprintf("basic_auth_users: {%s: %q}\n", p.User, hash))
	address := freeAddress(t)
	p.URL = "http://" + address
	start(t, exec.Command(binary,
		"--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--web.config.file="+filepath.Join(dir, "web.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address))
	return p
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

func TestARealPrometheusAnswers(t *testing.T) {
	p := realPrometheus(t)
	q := querier(t, p)
	now := time.Now()
	values := map[string]float64{
		"vector(3)":     3,
		"1 + 1":         2,
		"vector(0) / 0": math.NaN(),
		"vector(1) / 0": math.Inf(1),
	}
	for query, want := range values {
		result, err := q.Query(t.Context(), query, now)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		got, ok := result.Scalar()
		if !ok || got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%s = %v, want %v", query, got, want)
		}
		if age := now.Sub(result.Series[0].Time).Abs(); age > time.Second {
			t.Errorf("%s: the sample is %s off the queried instant", query, age)
		}
	}
	both, err := q.Query(t.Context(), `label_replace(vector(1), "pod", "a", "", "") or label_replace(vector(2), "pod", "b", "", "")`, now)
	if err != nil || len(both.Series) != 2 || both.Series[0].Labels["pod"] == both.Series[1].Labels["pod"] {
		t.Errorf("two series: %v, %v", both, err)
	}
}

func TestARealPrometheusRefuses(t *testing.T) {
	p := realPrometheus(t)
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
			if _, err := querier(t, p).Query(t.Context(), tc.query, time.Now()); !errors.Is(err, tc.want) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
		})
	}
	t.Run("Password", func(t *testing.T) {
		if p.User == "" {
			t.Skip("the testbed's Prometheus asks for no password")
		}
		p.Password = "wrong"
		if _, err := querier(t, p).Query(t.Context(), "1", time.Now()); !errors.Is(err, metric.ErrUnauthorized) {
			t.Errorf("error %v, want ErrUnauthorized", err)
		}
	})
}
