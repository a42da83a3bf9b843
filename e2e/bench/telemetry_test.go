package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/telemetry/event"
)

func TestNobodyIsToldWithoutAnAudience(t *testing.T) {
	var nobody *audience
	if diff := cmp.Diff(settings{}, nobody.settings(), cmp.AllowUnexported(settings{})); diff != "" {
		t.Error(diff)
	}
	nobody.scrape(t.Context(), nil)()
	if err := nobody.account(t.Context(), nil); err != nil {
		t.Error(err)
	}
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector", "PATH=/bin"}
	if diff := cmp.Diff([]string{"PATH=/bin"}, untold(env)); diff != "" {
		t.Error(diff)
	}
}

func TestAControllerThatTellsSomebodyNothingIsNotMeasured(t *testing.T) {
	a, err := newAudience(t.Context(), event.Binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "# TYPE keptn_span_count_total counter\nkeptn_span_count_total{keptn_span_outcome=\"exported\"} 7\n"+
			"keptn_span_count_total{keptn_span_outcome=\"failed\"} 1\nkeptn_span_count_total{keptn_span_outcome=\"dropped\"} 2\n"+
			"# TYPE keptn_cloudevent_count_total counter\nkeptn_cloudevent_count_total{keptn_cloudevent_outcome=\"posted\"} 9\n"+
			"keptn_cloudevent_count_total{keptn_cloudevent_outcome=\"dropped\"} 4\nkeptn_cloudevent_count_total{keptn_cloudevent_outcome=\"givenup\"} 8\n")
	}))
	defer served.Close()
	response, err := http.Post(a.sinkURL, "application/cloudevents+json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	err = a.account(t.Context(), &controller{metrics: served.URL})
	if err == nil || !strings.Contains(err.Error(), "spans:0") {
		t.Errorf("got %v, want an error that says what did not come", err)
	}
	if diff := cmp.Diff(received{events: 1, lost: 15}, a.received, cmp.AllowUnexported(received{})); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfABatchAreCountedOneByOne(t *testing.T) {
	for body, want := range map[string]int64{"[]": 0, `[{"id":"1"},{"id":"2"}]`: 2, "no batch": 0} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/cloudevents-batch+json")
		if got := eventsIn(r); got != want {
			t.Errorf("%s: %d events, want %d", body, got, want)
		}
	}
}

func TestEachRunWithTelemetryIsComparedWithThatOfItsRoundWithout(t *testing.T) {
	ran := func(cpu time.Duration, told *audience) delivery {
		d := delivery{size: 10, told: told, audit: audit{requests: map[string]int{"patch pods": 20}, events: 5}}
		d.used.cpu, d.used.peak = cpu, 1e8
		return d
	}
	told := &audience{received: received{spans: 40, events: 70, pushes: 12, scrapes: 6}}
	got := telemetryTables([][]delivery{
		{ran(100*time.Millisecond, nil), ran(110*time.Millisecond, told), ran(100*time.Millisecond, told)},
		{ran(300*time.Millisecond, nil), ran(300*time.Millisecond, told), ran(300*time.Millisecond, told)},
		{ran(200*time.Millisecond, nil), ran(240*time.Millisecond, told), ran(210*time.Millisecond, told)},
	})[0]
	if diff := cmp.Diff([]string{"binary / off", "", "1.10 [1.00 – 1.20]", "1.00 [1.00 – 1.00]", "1.00 [1.00 – 1.00]", "1.00 [1.00 – 1.00]", "", "", "", "", ""}, got.rows[9]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"binary, run 1", "0 of 10", "11.0 ms", "2.0", "0.5", "100.0 MB", "4.0", "7.0", "12", "6", "0"}, got.rows[1]); diff != "" {
		t.Error(diff)
	}
	if ratio := got.rows[10]; ratio[0] != "batched / off" || ratio[2] != "1.00 [1.00 – 1.05]" {
		t.Errorf("the other mode has a row of its own: %q", ratio)
	}
	for _, row := range got.rows {
		if len(row) != len(got.columns) {
			t.Errorf("a row of %d cells, and there are %d columns: %q", len(row), len(got.columns), row)
		}
	}
	if none := telemetryTables(nil); len(none) != 0 {
		t.Errorf("of no run there is %v", none)
	}
}
