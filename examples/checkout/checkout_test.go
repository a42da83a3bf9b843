package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheShareOfFailedRequestsIsTheErrorRatio(t *testing.T) {
	cases := map[string]struct {
		reason string
		ratio  float64
		draw   float64
		want   int
	}{
		"Never":  {"Without a ratio no request fails, whatever is drawn.", 0, 0, http.StatusOK},
		"Always": {"A ratio of 1 fails every request.", 1, 0.999, http.StatusInternalServerError},
		"Below":  {"A draw below the ratio fails.", 0.3, 0.29, http.StatusInternalServerError},
		"At":     {"The ratio itself is outside: [0, 0.3) is 30 percent.", 0.3, 0.3, http.StatusOK},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHandler(settings{app: "checkout", errorRatio: tc.ratio}, func() float64 { return tc.draw })
			if got := answer(h, "/").Code; got != tc.want {
				t.Errorf("%s\nGET / = %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

func TestMetricsCountRequestsByAppAndCode(t *testing.T) {
	draws := []float64{0, 0.9, 0.9}
	h := newHandler(settings{app: "cart", errorRatio: 0.5}, func() float64 {
		d := draws[0]
		draws = draws[1:]
		return d
	})
	before := answer(h, "/metrics").Body.String()
	wantLine(t, before, `http_requests_total{app="cart",code="500"} 0`)
	for range 3 {
		answer(h, "/")
	}
	after := answer(h, "/metrics").Body.String()
	wantLine(t, after, `http_requests_total{app="cart",code="200"} 2`)
	wantLine(t, after, `http_requests_total{app="cart",code="500"} 1`)
	wantLine(t, after, `http_request_duration_seconds_count{app="cart"} 3`)
}

func TestEveryRequestTakesTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(settings{app: "checkout", latency: 250 * time.Millisecond}, func() float64 { return 0 })
		start := time.Now()
		answer(h, "/")
		if got := time.Since(start); got != 250*time.Millisecond {
			t.Errorf("GET / took %s", got)
		}
		start = time.Now()
		answer(h, "/healthz")
		if got := time.Since(start); got != 0 {
			t.Errorf("GET /healthz took %s: a slow shop is not a dead one", got)
		}
	})
}

func TestSelfLoadMovesTheMetrics(t *testing.T) {
	served := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case served <- r.URL.Path:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go load(ctx, server.URL+"/", maxSelfLoad)
	for range 3 {
		if got := <-served; got != "/" {
			t.Errorf("sent a request to %q", got)
		}
	}
}

func TestItEndsInOrderWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, slog.New(slog.NewTextHandler(pw, nil)), env{"ADDRESS": "127.0.0.1:0"}.get)
		pw.Close()
	}()
	first := make([]byte, 512)
	if _, err := pr.Read(first); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestSettingsAreReadFromTheEnvironment(t *testing.T) {
	cases := map[string]struct {
		reason string
		env    env
		want   settings
		err    string
	}{
		"Defaults": {"Nothing set is a healthy, quick and quiet shop.",
			nil, settings{address: ":8080", app: "checkout"}, ""},
		"All": {"Every variable is used.",
			env{"ADDRESS": ":1", "APP": "cart", "ERROR_RATIO": "0.3", "LATENCY": "250ms", "SELF_LOAD": "5"},
			settings{":1", "cart", 0.3, 250 * time.Millisecond, 5}, ""},
		"RatioAbove1":  {"A percentage is a mistake.", env{"ERROR_RATIO": "30"}, settings{}, "ERROR_RATIO"},
		"RatioNaN":     {"NaN is a number to ParseFloat, and no share.", env{"ERROR_RATIO": "NaN"}, settings{}, "ERROR_RATIO"},
		"LoadNegative": {"A ticker panics on it.", env{"SELF_LOAD": "-1"}, settings{}, "SELF_LOAD"},
		"LatencyBare":  {"A number without a unit is ambiguous.", env{"LATENCY": "250"}, settings{}, "LATENCY"},
		"LatencyBelow": {"Time does not run backwards.", env{"LATENCY": "-1s"}, settings{}, "LATENCY"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := readSettings(tc.env.get)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if (err != nil) != (tc.err != "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%s\nerror %v, want one with %q", tc.reason, err, tc.err)
			}
		})
	}
}

type env map[string]string

func (e env) get(name string) string { return e[name] }

func answer(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w
}

func wantLine(t *testing.T, metrics, line string) {
	t.Helper()
	if !strings.Contains("\n"+metrics, "\n"+line+"\n") {
		t.Errorf("metrics lack the line %s:\n%s", line, metrics)
	}
}
