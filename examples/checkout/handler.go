package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newHandler serves the shop, its health and its metrics. draw yields numbers
// from 0 up to 1, not included; a request fails where it is below the ratio.
func newHandler(s settings, draw func() float64) http.Handler {
	registry := prometheus.NewRegistry()
	labels := prometheus.Labels{"app": s.app}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered, by status code.", ConstLabels: labels,
	}, []string{"code"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time taken by requests.", ConstLabels: labels,
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, nil)
	registry.MustRegister(requests, duration, collectors.NewGoCollector())
	// Both series exist from the start: a service without errors has 0 of them.
	requests.WithLabelValues("200")
	requests.WithLabelValues("500")

	shop := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait(r, s.latency); draw() < s.errorRatio {
			http.Error(w, "the till is jammed", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "thank you for your order")
	})
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", promhttp.InstrumentHandlerCounter(requests,
		promhttp.InstrumentHandlerDuration(duration, shop)))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// wait takes the time, or less where the client goes away.
func wait(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
