// Command checkout is a small shop service whose error ratio and latency are
// set from outside, so that a rollout of it can be made good or bad at will.
//
// It serves GET / and /healthz, and Prometheus metrics at /metrics:
// http_requests_total{app,code} and http_request_duration_seconds{app}. It is
// configured by environment variables:
//
//	ADDRESS      address to listen on; default :8080
//	APP          value of the label app; default checkout
//	ERROR_RATIO  share of the requests that are answered with 500, from 0 to 1; default 0
//	LATENCY      time that every request takes, as 250ms; default 0
//	SELF_LOAD    requests per second that it sends to itself; default 0
//
// It keeps nothing and calls nobody but itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// shutdownTimeout is how long open requests are waited for at the end.
const shutdownTimeout = 10 * time.Second

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log, os.Getenv)
	stop()
	if err != nil {
		log.Error("checkout ends", "error", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, log *slog.Logger, getenv func(string) string) error {
	s, err := readSettings(getenv)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen on ADDRESS %q: %w", s.address, err)
	}
	server := &http.Server{
		Handler:           newHandler(s, rand.Float64),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go load(ctx, "http://"+loopback(listener.Addr())+"/", s.selfLoad)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.Info("checkout serves", "address", listener.Addr().String(),
		"errorRatio", s.errorRatio, "latency", s.latency, "selfLoad", s.selfLoad)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("end open requests: %w", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// loopback is where a listener is reached from the same machine.
func loopback(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// load sends requests to url until the context ends. Their answers are counted
// where they are served.
func load(ctx context.Context, url string, perSecond float64) {
	if perSecond == 0 {
		return
	}
	ticker := time.NewTicker(time.Duration(min(float64(time.Second)/perSecond, float64(time.Hour))))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			go get(ctx, url)
		}
	}
}

// get sends one request; an answer that does not come is not counted by anyone.
func get(ctx context.Context, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
	}
}
