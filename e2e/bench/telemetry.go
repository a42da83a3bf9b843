package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/event"
)

const (
	// toldApps is how many apps are delivered at once, toldRuns how often without
	// telemetry and how often with it.
	toldApps, toldRuns = 100, 5
	// toldRest is how long a controller is measured once all is delivered: longer than
	// anything waits to be sent.
	toldRest = 10 * time.Second
)

// telemetryOverhead measures what it costs to tell everybody of deliveries: so many apps
// are delivered in turn by a controller that tells nobody, and by one that tells all.
func telemetryOverhead(ctx context.Context, b *bench) ([]table, error) {
	if err := b.kubectl(ctx, nil, "apply", "-k", filepath.Join(b.root, "config", "admission")); err != nil {
		return nil, err
	}
	if _, err := b.deliverTold(ctx, "telemetry-first", nil); err != nil { // the API server's first is slower
		return nil, err
	}
	var rounds [][]delivery
	for i := range toldRuns {
		var round []delivery
		for _, kind := range audiences {
			d, err := b.deliverToAll(ctx, fmt.Sprintf("telemetry-%s-%d", kind, i+1), kind)
			if err != nil {
				return telemetryTables(rounds), err
			}
			b.progress.Printf("telemetry: %s", strings.Join(d.toldRow(kind), ", "))
			round = append(round, d)
		}
		rounds = append(rounds, round)
	}
	return telemetryTables(rounds), nil
}

// off is nobody being told; else an audience is told of CloudEvents in a mode.
const off = "off"

// audiences are who is told in turn.
var audiences = []string{off, string(event.Binary), string(event.Batched)}

// deliverToAll delivers the apps with all telemetry on, or off.
func (b *bench) deliverToAll(ctx context.Context, namespace, kind string) (d delivery, err error) {
	if kind == off {
		return b.deliverTold(ctx, namespace, nil)
	}
	told, err := newAudience(ctx, event.Mode(kind))
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, told.close()) }()
	return b.deliverTold(ctx, namespace, told)
}

// deliverTold delivers the apps, in a namespace and by a controller of their own.
func (b *bench) deliverTold(ctx context.Context, name string, told *audience) (d delivery, err error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Annotations: map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled"},
	}}
	d = delivery{size: toldApps, rest: toldRest, told: told}
	err = b.within(ctx, namespace, func() error { return b.deliverIn(ctx, namespace.Name, &d) })
	return d, err
}

// telemetryTables sets deliveries that nobody was told of beside those that all were, in
// rounds of one for each of audiences.
func telemetryTables(rounds [][]delivery) []table {
	if len(rounds) == 0 {
		return nil
	}
	t := table{
		title: fmt.Sprintf("All telemetry, of %d annotated apps applied at once", toldApps),
		columns: []string{
			"telemetry", "all app versions Succeeded", "CPU per app", "requests per app", "events per app", "peak memory",
			"spans per app", "CloudEvents per app", "pushes of metrics", "scrapes", "lost",
		},
		note: fmt.Sprintf("As apps above, %d rounds of one run without and two with telemetry, after one that does not count; each has a namespace and a controller of its own, "+
			"which is measured until %.0f s after the last app was delivered. With telemetry are traces and metrics by OTLP over gRPC to a receiver, metrics every %.0f s "+
			"instead of every 60 s; CloudEvents of all families, posted to a sink in binary or in batched mode; and both pages of metrics scraped every %.0f s. Receiver, sink and scraper are this program's. "+
			"Off is none of that. In the last rows is the median of what each run with telemetry is to that of its round without. Lost are spans and "+
			"CloudEvents that the controller says were not delivered.", len(rounds), toldRest.Seconds(), tellEvery.Seconds(), tellEvery.Seconds()),
	}
	for i, round := range rounds {
		for kind, d := range round {
			t.rows = append(t.rows, d.toldRow(fmt.Sprintf("%s, run %d", audiences[kind], i+1)))
		}
	}
	for kind := 1; kind < len(audiences); kind++ {
		ratio := func(of func(delivery) float64) string {
			ratios := make([]float64, len(rounds))
			for i, round := range rounds {
				ratios[i] = of(round[kind]) / of(round[0])
			}
			return fmt.Sprintf("%.2f [%.2f – %.2f]", median(ratios), slices.Min(ratios), slices.Max(ratios))
		}
		t.rows = append(t.rows, []string{
			audiences[kind] + " / off", "", ratio(delivery.cpuPerApp), ratio(func(d delivery) float64 { return float64(d.audit.total()) }),
			ratio(func(d delivery) float64 { return float64(d.audit.events) }), ratio(func(d delivery) float64 { return d.used.peak }), "", "", "", "", "",
		})
	}
	return []table{t}
}

// cpuPerApp is the controller's CPU time for each app, in milliseconds.
func (d delivery) cpuPerApp() float64 { return milliseconds(d.used.cpu) / float64(d.size) }

// toldRow is the row of one run.
func (d delivery) toldRow(name string) []string {
	perApp := func(n int) string { return fmt.Sprintf("%.1f", float64(n)/float64(d.size)) }
	row := []string{
		name, d.lastOf(d.reached.succeeded), ms(d.cpuPerApp()), perApp(d.audit.total()), perApp(d.audit.events), size(d.used.peak),
	}
	if d.told == nil {
		return append(row, "", "", "", "", "")
	}
	r := d.told.received
	return append(row, perApp(r.spans), perApp(r.events), fmt.Sprint(r.pushes), fmt.Sprint(r.scrapes), fmt.Sprint(r.lost))
}
