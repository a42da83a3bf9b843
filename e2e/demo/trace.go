package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/keptn/gitops/e2e/internal/collector"
	"github.com/keptn/gitops/e2e/stage"
)

const (
	// hostIP names this machine as the cluster's pods see it.
	hostIP = "TESTBED_HOST_IP"
	// endpoint has the controller send what it tells of deliveries.
	endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	// revision is the attribute that names a span's commit.
	revision = "vcs.ref.head.revision"
)

// collect has the controller send its traces here, to this machine as pods see it.
func collect(ctx context.Context, n *narrator, host string) (*collector.Collector, error) {
	c, err := collector.Start(ctx, net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	if err := setEnv(ctx, endpoint+"="+c.Endpoint()); err != nil {
		c.Close()
		return nil, err
	}
	n.say("it sends traces: kubectl set env deployment/keptn-controller %s=%s", endpoint, c.Endpoint())
	return c, nil
}

// forget has the controller send its traces nowhere again.
func forget(ctx context.Context) error {
	return setEnv(context.WithoutCancel(ctx), endpoint+"-")
}

// setEnv sets a variable of the controller, or removes it, and waits until it runs so.
func setEnv(ctx context.Context, change string) error {
	const controller = "deployment/keptn-controller"
	if err := stage.Kubectl(ctx, os.Stderr, "--namespace", "keptn-system", "set", "env", controller, change); err != nil {
		return err
	}
	return stage.Kubectl(ctx, os.Stderr, "--namespace", "keptn-system", "rollout", "status", controller, "--timeout", "5m")
}

// trace shows the trace of a commit.
func (s *story) trace(ctx context.Context, n *narrator, told outcome) error {
	if s.traces == nil {
		return nil
	}
	n.chapter("The trace of “" + told.message + "”")
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the trace has not come"))
	defer cancel()
	spans, err := s.whole(ctx, told.sha)
	if err != nil {
		return fmt.Errorf("show the trace of %.7s: %w", told.sha, err)
	}
	n.trace(spans)
	return nil
}

// whole waits for the trace of a commit: its root comes last.
func (s *story) whole(ctx context.Context, sha string) ([]*tracepb.Span, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		spans := s.traces.Trace(revision, sha)
		if slices.ContainsFunc(spans, func(span *tracepb.Span) bool { return len(span.GetParentSpanId()) == 0 }) {
			return spans, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
