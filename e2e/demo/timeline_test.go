package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// span is a span of the story, in seconds.
func span(id, parent, name string, start, end uint64, code tracepb.Status_StatusCode, says ...string) *tracepb.Span {
	const second = 1_000_000_000
	s := &tracepb.Span{
		SpanId: []byte(id), ParentSpanId: []byte(parent), Name: name, StartTimeUnixNano: (1_700_000_000 + start) * second,
		EndTimeUnixNano: (1_700_000_000 + end) * second, Status: &tracepb.Status{Code: code},
	}
	for _, event := range says {
		s.Events = append(s.Events, &tracepb.Span_Event{Name: event})
	}
	return s
}

const (
	unset  = tracepb.Status_STATUS_CODE_UNSET
	passed = tracepb.Status_STATUS_CODE_OK
	failed = tracepb.Status_STATUS_CODE_ERROR
)

// delivery is a trace as the controller sends it: what ends first comes first.
func delivery() []*tracepb.Span {
	check := span("e", "d", "post-eval", 12, 14, failed)
	check.Attributes = []*commonpb.KeyValue{{
		Key:   "keptn.deployment.evaluation.score",
		Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "2/3"}},
	}}
	root := span("a", "", "checkout", 0, 16, failed)
	root.Status.Message = "too many errors"
	return []*tracepb.Span{
		span("c", "b", "web", 0, 4, passed, "2 pods run", "web has finished"),
		span("b", "a", "AppDeploy", 0, 4, passed, "App Deployment has succeeded", "2 pods run"),
		check,
		span("d", "a", "Evaluations", 12, 16, failed),
		span("s", "a", "AppSoak", 4, 12, unset),
		root,
		span("b", "a", "AppDeploy", 0, 4, passed, "again"),
	}
}

func TestATraceIsDrawnAsATreeInTheOrderOfTime(t *testing.T) {
	want := strings.TrimPrefix(`
checkout      ✗ ████████████████████████████████    16s  too many errors
├ AppDeploy   ✓ ████████                             4s  2 pods run
│ └ web       ✓ ████████                             4s
├ AppSoak               ████████████████             8s
└ Evaluations ✗                         ████████     4s
  └ post-eval ✗                         ████         2s  score 2/3
`, "\n")
	if diff := cmp.Diff(want, strings.Join(timeline(delivery(), plain), "\n")+"\n"); diff != "" {
		t.Error(diff)
	}
}

func TestColoursChangeNothingButColours(t *testing.T) {
	lines := strings.Join(timeline(delivery(), coloured), "\n")
	for _, colour := range []string{green, red, faint} {
		if !strings.Contains(lines, colour) {
			t.Errorf("nothing is painted %q", colour)
		}
		lines = strings.ReplaceAll(lines, colour, "")
	}
	lines = strings.ReplaceAll(lines, reset, "")
	for i, line := range strings.Split(lines, "\n") {
		if diff := cmp.Diff(timeline(delivery(), plain)[i], strings.TrimRight(line, " ")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestATraceFitsAScreen(t *testing.T) {
	spans := []*tracepb.Span{span("root", "", "root", 0, 100, passed)}
	for i := range uint64(100) {
		spans = append(spans, span(fmt.Sprint(i), "root", fmt.Sprintf("phase %02d", i), i, i, passed))
	}
	lines := timeline(spans, plain)
	if len(lines) != maxSpans+1 || !strings.Contains(lines[maxSpans], "81 more") {
		t.Errorf("%d lines, and the last one is %q", len(lines), lines[len(lines)-1])
	}
	if !strings.Contains(lines[1], "▏") {
		t.Errorf("what took no time cannot be seen: %q", lines[1])
	}
}

func TestNothingIsDrawnOfNoTrace(t *testing.T) {
	if lines := timeline(nil, plain); len(lines) != 0 {
		t.Errorf("got %q", lines)
	}
}
