package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

const (
	// analysed is the namespace of the Analyses.
	analysed = "analysed"
	// analysesPerRun is how many Analyses are applied at once, objectives how many
	// values each judges, and analysisRuns how often that is measured.
	analysesPerRun, objectives, analysisRuns = 50, 10, 5
	// betweenRuns is how long a run's windows are older than those of the next.
	betweenRuns = 10 * time.Second
	// runTimeout bounds one run.
	runTimeout = time.Minute
)

// analyses measures how long it takes from kubectl apply to the verdicts of many
// Analyses that judge the same.
func analyses(ctx context.Context, b *bench) (_ []table, err error) {
	if err := b.defineAnalysis(ctx); err != nil {
		return nil, err
	}
	ctx, keptn, err := b.startController(ctx, analysed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, keptn.stop()) }()
	t := table{
		title:   fmt.Sprintf("%d Analyses of %d objectives, applied at once", analysesPerRun, objectives),
		columns: []string{"", "`kubectl apply`", "all completed after its begin", "after its end", "queries", "CPU", "memory / peak", "API server requests"},
		note: fmt.Sprintf("One AnalysisDefinition with %d AnalysisValueTemplates, `recent: 5m`; each run applies another %d Analyses, in one file. When they are "+
			"completed is when a watch has told so of the last. CPU is the controller's user and system time, queries are those that Prometheus counts "+
			"for a window of time (`query_range`). %s", objectives, analysesPerRun, quotedFrom),
	}
	for run := range analysisRuns {
		if err := pause(ctx, betweenRuns); err != nil {
			return nil, err
		}
		row, err := b.analyse(ctx, keptn, run)
		if err != nil {
			return nil, err
		}
		t.rows = append(t.rows, append([]string{fmt.Sprintf("Keptn, run %d", run+1)}, row...))
		b.progress.Printf("analyses: %s", strings.Join(t.rows[run], ", "))
	}
	t.rows = append(t.rows, []string{"metrics-operator, 3 runs (quoted)", "1.07 s to 1.36 s", "1.66 s to 2.33 s", "0.58 s to 1.26 s", "500", "0.34 s to 0.45 s", "66.0 MB peak", "PUT 50"})
	return []table{t}, nil
}

// defineAnalysis makes what all Analyses judge.
func (b *bench) defineAnalysis(ctx context.Context) error {
	if err := b.provide(ctx, analysed); err != nil {
		return err
	}
	definition := &metricsv1.AnalysisDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: analysed, Name: "bench"},
		Spec:       metricsv1.AnalysisDefinitionSpec{TotalScore: metricsv1.TotalScore{PassPercentage: 90, WarningPercentage: 75}},
	}
	objects := []client.Object{definition}
	for i := range objectives {
		template := &metricsv1.AnalysisValueTemplate{
			ObjectMeta: metav1.ObjectMeta{Namespace: analysed, Name: fmt.Sprintf("value-%d", i)},
			Spec: metricsv1.AnalysisValueTemplateSpec{
				Provider: metricsv1.ObjectReference{Name: "prometheus"}, Query: fmt.Sprintf("count(up) + %d", i),
			},
		}
		objects = append(objects, template)
		definition.Spec.Objectives = append(definition.Spec.Objectives, metricsv1.Objective{
			AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: template.Name},
		})
	}
	for _, obj := range objects {
		if err := b.kube.Create(ctx, obj); err != nil {
			return fmt.Errorf("define what is analysed: %w", err)
		}
	}
	return nil
}

// analyse applies Analyses and follows them to their verdicts.
func (b *bench) analyse(ctx context.Context, keptn *controller, run int) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runTimeout, fmt.Errorf("not all Analyses were completed after %s", runTimeout))
	defer cancel()
	verdicts, err := b.verdicts(ctx, run)
	if err != nil {
		return nil, err
	}
	prometheus, err := b.prometheus(ctx)
	if err != nil {
		return nil, err
	}
	before, err := keptn.usage(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.apply(ctx, manifests(run)); err != nil {
		return nil, err
	}
	applied := time.Now()
	var completed time.Time
	select {
	case completed = <-verdicts:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := pause(ctx, time.Second); err != nil { // for events, and requests still to be counted
		return nil, err
	}
	after, err := keptn.usage(ctx)
	if err != nil {
		return nil, err
	}
	asked, err := b.prometheus(ctx)
	if err != nil {
		return nil, err
	}
	const handler = "/api/v1/query_range"
	return []string{
		seconds(applied.Sub(began)), seconds(completed.Sub(began)), seconds(completed.Sub(applied)),
		fmt.Sprintf("%.0f", asked.queriesTo(handler)-prometheus.queriesTo(handler)),
		seconds(after.cpu - before.cpu), size(after.rss) + " / " + size(after.peak),
		byMethod(before.requests, after.requests, 1),
	}, nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// runLabel says of an Analysis to which run it belongs.
const runLabel = "bench.keptn.sh/run"

// manifests are the Analyses of a run.
func manifests(run int) []byte {
	var text bytes.Buffer
	for i := range analysesPerRun {
		fmt.Fprintf(&text, `---
apiVersion: metrics.keptn.sh/v1
kind: Analysis
metadata: {namespace: %s, name: run-%d-%02d, labels: {%s: "%d"}}
spec:
  timeframe: {recent: 5m}
  analysisDefinition: {name: bench}
`, analysed, run, i, runLabel, run)
	}
	return text.Bytes()
}

// apply runs kubectl apply.
func (b *bench) apply(ctx context.Context, text []byte, flags ...string) error {
	return b.kubectl(ctx, text, append([]string{"apply", "-f", "-"}, flags...)...)
}

// verdicts tells when all Analyses of a run are completed. It tells nothing if ctx,
// or the watch, ends before.
func (b *bench) verdicts(ctx context.Context, run int) (<-chan time.Time, error) {
	events, err := b.kube.Watch(ctx, &metricsv1.AnalysisList{}, client.InNamespace(analysed), client.MatchingLabels{runLabel: fmt.Sprint(run)})
	if err != nil {
		return nil, fmt.Errorf("watch the Analyses: %w", err)
	}
	all := make(chan time.Time, 1)
	go func() {
		defer events.Stop()
		completed := map[string]bool{}
		for event := range events.ResultChan() {
			a, ok := event.Object.(*metricsv1.Analysis)
			if !ok || a.Status.State != metricsv1.StateCompleted {
				continue
			}
			if completed[a.Name] = true; len(completed) == analysesPerRun {
				all <- time.Now()
				return
			}
		}
	}()
	return all, nil
}
