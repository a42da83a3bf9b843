package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// servedEvery is the pause between two looks at what is served.
	servedEvery = time.Second
	// statusEvery is that between two looks at the statuses, which cost the API
	// server more.
	statusEvery = 5 * time.Second
)

// Ages are in seconds.
type ages []float64

// age is the table of how old the values are that one can have.
func (c crowd) age(ctx context.Context, keptn *controller) (table, error) {
	t := table{
		title:   fmt.Sprintf("The age of %d KeptnMetrics", c.size),
		columns: []string{"value", "median", "p90", "p99", "most", "ages seen"},
		note: fmt.Sprintf("The values are those of the quarter of KeptnMetrics that ask for the time of the question: the age is from there to when the answer "+
			"with the value begins to come, in another window of %.0f s. What is served is the controller's `/metrics`, asked for %s after each answer; the "+
			"statuses are listed every %s, and their ages are from when the list is here. %s Its ages are those of status.lastUpdated, which has whole seconds.",
			window.Seconds(), servedEvery, statusEvery, quotedFrom),
	}
	served, written, err := c.watchAges(ctx, keptn)
	if err != nil {
		return t, err
	}
	t.rows = [][]string{append([]string{"Keptn, served"}, served.row()...), append([]string{"Keptn, `status.value`"}, written.row()...)}
	if c.size == quotedSize {
		t.rows = append(t.rows, []string{"metrics-operator, status (quoted)", "25.7 s", "45.7 s", "50.1 s", "51 s", ""})
	}
	return t, nil
}

func (a ages) row() []string {
	var row []string
	for _, q := range []float64{0.5, 0.9, 0.99, 1} {
		row = append(row, fmt.Sprintf("%.1f s", quantile(a, q)))
	}
	return append(row, strconv.Itoa(len(a)))
}

// watchAges looks at what is served and at the statuses for a window.
func (c crowd) watchAges(ctx context.Context, keptn *controller) (served, written ages, err error) {
	end := time.Now().Add(window)
	for next := time.Now(); time.Now().Before(end); {
		told, at, err := scrapeAt(ctx, http.DefaultClient, keptn.values)
		if err != nil {
			return nil, nil, err
		}
		seen, err := c.agesServed(told, at)
		if err != nil {
			return nil, nil, err
		}
		served = append(served, seen...)
		if !time.Now().Before(next) {
			if seen, err = c.agesWritten(ctx); err != nil {
				return nil, nil, err
			}
			written = append(written, seen...)
			next = time.Now().Add(statusEvery)
		}
		if err := pause(ctx, servedEvery); err != nil {
			return nil, nil, err
		}
	}
	return served, written, nil
}

// agesServed are the ages of all values that tell theirs.
func (c crowd) agesServed(told families, at time.Time) (ages, error) {
	var all ages
	for i := range c.size {
		kind, _ := question(i)
		if kind != changing {
			continue
		}
		family := told[strings.ReplaceAll(metricName(kind, i), "-", "_")]
		if len(family.GetMetric()) != 1 {
			return nil, fmt.Errorf("KeptnMetric %s is not served", metricName(kind, i))
		}
		all = append(all, ageOf(family.GetMetric()[0].GetGauge().GetValue(), i, at))
	}
	return all, nil
}

// agesWritten are the same of the values in statuses.
func (c crowd) agesWritten(ctx context.Context) (ages, error) {
	items, err := c.list(ctx, client.MatchingLabels{variety: changing})
	if err != nil {
		return nil, err
	}
	at := time.Now()
	all := make(ages, len(items))
	for i := range items {
		value, err := strconv.ParseFloat(items[i].Status.Value, 64)
		n, errName := strconv.Atoi(strings.TrimPrefix(items[i].Name, changing+"-"))
		if err := errors.Join(err, errName); err != nil {
			return nil, fmt.Errorf("KeptnMetric %s: %w", items[i].Name, err)
		}
		all[i] = ageOf(value, n, at)
	}
	return all, nil
}

// ageOf is how old the value of the i-th question is.
func ageOf(value float64, i int, at time.Time) float64 {
	return float64(at.UnixMilli())/1e3 - value - float64(i)
}
