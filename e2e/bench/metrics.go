package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

const (
	// fetchInterval is how often every KeptnMetric is to be measured.
	fetchInterval = 10 * time.Second
	// firstValues bounds how long it may take until all have a value.
	firstValues = 5 * time.Minute
	// creators is how many KeptnMetrics are created at a time.
	creators = 8
	// variety is the label that tells the KeptnMetrics apart by how they are.
	variety = "bench.keptn.sh/variety"
)

// The varieties of KeptnMetrics.
const (
	identical = "identical" // all ask the same, and its answer stays the same
	constant  = "constant"  // each asks something else, and its answer stays the same
	changing  = "changing"  // each asks something else, and its answer is never the same
)

// A crowd is many KeptnMetrics in a namespace.
type crowd struct {
	*bench
	size      int
	namespace string
}

// keepFresh measures what it takes to keep so many KeptnMetrics fresh, and how old
// their values get.
func keepFresh(size int) func(context.Context, *bench) ([]table, error) {
	return func(ctx context.Context, b *bench) (_ []table, err error) {
		c := crowd{bench: b, size: size, namespace: fmt.Sprintf("metrics-%d", size)}
		if err := c.create(ctx); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.remove(ctx)) }()
		ctx, keptn, err := b.startController(ctx, c.namespace)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, keptn.stop()) }()
		if err := c.settle(ctx); err != nil {
			return nil, err
		}
		cost, err := c.cost(ctx, keptn)
		if err != nil {
			return nil, err
		}
		age, err := c.age(ctx, keptn)
		return []table{cost, age}, err
	}
}

// create makes the KeptnMetrics and their provider.
func (c crowd) create(ctx context.Context) error {
	c.progress.Printf("metrics: creates %d KeptnMetrics", c.size)
	if err := c.provide(ctx, c.namespace); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range c.size {
		kind, query := question(i)
		m := &metricsv1.KeptnMetric{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: metricName(kind, i), Labels: map[string]string{variety: kind}},
			Spec: metricsv1.KeptnMetricSpec{
				Provider: metricsv1.ProviderRef{Name: "prometheus"}, Query: query,
				FetchIntervalSeconds: uint(fetchInterval.Seconds()),
			},
		}
		group.Go(func() error { return c.kube.Create(ctx, m) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create a KeptnMetric: %w", err)
	}
	return nil
}

// provide makes a namespace with the testbed's Prometheus as a provider.
func (b *bench) provide(ctx context.Context, namespace string) error {
	for _, obj := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "prometheus"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: b.bed.prometheusURL},
		},
	} {
		if err := b.kube.Create(ctx, obj); err != nil {
			return fmt.Errorf("prepare the cluster: %w", err)
		}
	}
	return nil
}

// question is what the i-th KeptnMetric asks: every second one the same, every
// fourth one a number of its own, and every fourth one the time of the question, i
// seconds off, so that its value tells its age.
func question(i int) (kind, query string) {
	switch i % 4 {
	case 0, 2:
		return identical, "count(up)"
	case 1:
		return constant, fmt.Sprintf("count(up) + %d", i)
	default:
		return changing, fmt.Sprintf("vector(time() - %d)", i)
	}
}

func metricName(kind string, i int) string { return fmt.Sprintf("%s-%05d", kind, i) }

// remove deletes the KeptnMetrics, also after ctx has ended.
func (c crowd) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeDownTimeout)
	defer cancel()
	if err := c.kube.DeleteAllOf(ctx, &metricsv1.KeptnMetric{}, client.InNamespace(c.namespace)); err != nil {
		return fmt.Errorf("delete the KeptnMetrics: %w", err)
	}
	return nil
}

// settle waits until all have a value, and some time more.
func (c crowd) settle(ctx context.Context) error {
	began := time.Now()
	waiting, cancel := context.WithTimeoutCause(ctx, firstValues, fmt.Errorf("not all KeptnMetrics had a value after %s", firstValues))
	defer cancel()
	for measured := 0; measured < c.size; {
		if err := pause(waiting, statusEvery); err != nil {
			return fmt.Errorf("%w: %d of %d have", err, measured, c.size)
		}
		all, err := c.list(waiting)
		if err != nil {
			return err
		}
		measured = 0
		for i := range all {
			if all[i].Status.Value != "" {
				measured++
			}
		}
	}
	c.progress.Printf("metrics: all have a value after %.0f s", time.Since(began).Seconds())
	return pause(ctx, settling)
}

// list lists the KeptnMetrics, as the API server remembers them.
func (c crowd) list(ctx context.Context, opts ...client.ListOption) ([]metricsv1.KeptnMetric, error) {
	remembered := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}
	var all metricsv1.KeptnMetricList
	if err := c.kube.List(ctx, &all, append(opts, client.InNamespace(c.namespace), remembered)...); err != nil {
		return nil, fmt.Errorf("look at the KeptnMetrics: %w", err)
	}
	return all.Items, nil
}

// A reading is what all that take part have used so far.
type reading struct {
	keptn           usage
	prometheus, api families
}

func (c crowd) read(ctx context.Context, keptn *controller) (r reading, err error) {
	if r.prometheus, err = c.prometheus(ctx); err != nil {
		return r, err
	}
	if r.api, err = c.apiMetrics(ctx); err != nil {
		return r, err
	}
	r.keptn, err = keptn.usage(ctx)
	return r, err
}

// cost is the table of what it takes to keep the KeptnMetrics fresh.
func (c crowd) cost(ctx context.Context, keptn *controller) (table, error) {
	queries := c.size/2 + 1
	t := table{
		title: fmt.Sprintf("%d KeptnMetrics, each measured every %s", c.size, fetchInterval),
		columns: []string{
			"", "CPU per minute", "CPU per refresh", "memory / peak", "queries per second", "API server requests per minute",
			"CPU of the API server", "CPU of Prometheus",
		},
		note: fmt.Sprintf("Half of the KeptnMetrics ask the same, whose answer stays the same; a quarter each ask something of their own whose answer "+
			"stays the same, and something whose answer is another at every instant: %d different queries each %s. Windows of %.0f s, after %.0f s in "+
			"which all had a value. CPU is user and system time, of the API server and Prometheus per minute; queries are what Prometheus counts, requests "+
			"to the API server the controller's own count. A status is written when its value changes, and else every 5 minutes. %s",
			queries, fetchInterval, window.Seconds(), settling.Seconds(), quotedFrom),
	}
	for i := range windows {
		before, err := c.read(ctx, keptn)
		if err != nil {
			return t, err
		}
		if err := pause(ctx, window); err != nil {
			return t, err
		}
		after, err := c.read(ctx, keptn)
		if err != nil {
			return t, err
		}
		t.rows = append(t.rows, append([]string{fmt.Sprintf("Keptn, window %d", i+1)}, c.costOf(before, after)...))
		c.progress.Printf("metrics: %s", strings.Join(t.rows[i], ", "))
	}
	if c.size == quotedSize {
		t.rows = append(t.rows, []string{
			"metrics-operator (quoted)", "3.2 s", "2.7 ms, of 20 per second", "65.0 MB / 65.0 MB", "20.0", "PUT 1200", "12.2 s", "2.2 s",
		})
	}
	return t, nil
}

const (
	// quotedSize is how many KeptnMetrics the quoted measurement had.
	quotedSize = 1_000
	quotedFrom = "Keptn's own metrics-operator is quoted from an earlier measurement of keptn-v2.5.0-6-g40e195d78 on two cores of an AMD EPYC, " +
		"with Prometheus scraping every 5 s."
)

// costOf is what was used between two readings.
func (c crowd) costOf(before, after reading) []string {
	elapsed := after.keptn.at.Sub(before.keptn.at)
	minutes := elapsed.Minutes()
	cpu := after.keptn.cpu - before.keptn.cpu
	refreshes := float64(c.size) * elapsed.Seconds() / fetchInterval.Seconds()
	queries := after.prometheus.queriesTo("/api/v1/query") - before.prometheus.queriesTo("/api/v1/query")
	perMinute := func(seconds float64) string { return fmt.Sprintf("%.1f s", seconds/minutes) }
	return []string{
		perMinute(cpu.Seconds()),
		ms(milliseconds(cpu) / refreshes),
		size(after.keptn.rss) + " / " + size(after.keptn.peak),
		fmt.Sprintf("%.1f", queries/elapsed.Seconds()),
		byMethod(before.keptn.requests, after.keptn.requests, minutes),
		perMinute(after.api.cpu() - before.api.cpu()),
		perMinute(after.prometheus.cpu() - before.prometheus.cpu()),
	}
}

// byMethod is how many requests were made per minute, by method.
func byMethod(before, after map[string]float64, minutes float64) string {
	var made []string
	for _, method := range slices.Sorted(maps.Keys(after)) {
		if n := after[method] - before[method]; n > 0 {
			made = append(made, fmt.Sprintf("%s %.0f", method, n/minutes))
		}
	}
	if len(made) == 0 {
		return "0"
	}
	return strings.Join(made, ", ")
}
