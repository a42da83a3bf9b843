package measure_test

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// epoch is where the traffic begins.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// A traffic is how many events there were from the epoch to the end of each minute;
// those of a minute come with its end.
type traffic struct{ bad, total []float64 }

// newTraffic are the events of some days: by day 6,000 a minute, by night 60, of which
// broken says how many are bad.
func newTraffic(days int, broken func(at time.Time) float64) traffic {
	tr := traffic{bad: []float64{0}, total: []float64{0}}
	for i := range days * 24 * 60 {
		at := epoch.Add(time.Duration(i) * time.Minute)
		total := 60.0
		if h := at.Hour(); h >= 8 && h < 18 {
			total = 6000
		}
		tr.total = append(tr.total, tr.total[i]+total)
		tr.bad = append(tr.bad, tr.bad[i]+math.Round(total*broken(at)))
	}
	return tr
}

// between are the events of the minutes that end in (from, to].
func between(sums []float64, from, to time.Time) float64 {
	return sums[minute(sums, to)] - sums[minute(sums, from)]
}

// minute is how many minutes are complete.
func minute(sums []float64, at time.Time) int {
	return min(max(int(at.Sub(epoch)/time.Minute), 0), len(sums)-1)
}

var inWindow = regexp.MustCompile(`^(\w+)\[(\w+)\]$`)

// A server answers queries about its traffic by a pure function of the query:
//
//	bad[5m]      the bad events of 5 minutes
//	bad          those since the sample before
//	bad_counter  those since the epoch, of two pods, of which one restarts each week
//
// and the same for good and total; failing are the queries that it cannot answer.
type server struct {
	traffic traffic
	failing map[string]error

	mu    sync.Mutex
	asked []metric.Query
}

func (s *server) ask(ctx context.Context, provider string, q metric.Query) (metric.Result, error) {
	s.mu.Lock()
	s.asked = append(s.asked, q)
	s.mu.Unlock()
	if err := s.failing[q.Expr]; err != nil {
		return metric.Result{}, err
	}
	if err := s.failing[provider]; err != nil {
		return metric.Result{}, err
	}
	times := []time.Time{q.At}
	if q.Step > 0 {
		times = nil
		for at := q.From(); !at.After(q.At); at = at.Add(q.Step) {
			times = append(times, at)
		}
	}
	count, err := s.counter(q)
	if err != nil {
		return metric.Result{}, err
	}
	var result metric.Result
	for _, pod := range []string{"a", "b"} {
		one := metric.Series{Labels: map[string]string{"pod": pod}}
		for _, at := range times {
			one.Samples = append(one.Samples, metric.Sample{Time: at, Value: count(pod, at)})
		}
		result.Series = append(result.Series, one)
	}
	return result, ctx.Err()
}

// counter is what a query counts of one pod up to an instant. Each has half of all.
func (s *server) counter(q metric.Query) (func(pod string, at time.Time) float64, error) {
	name, length := q.Expr, q.Step
	if m := inWindow.FindStringSubmatch(name); m != nil {
		var err error
		if length, err = slo.ParsePeriod(v1alpha1.Period(m[2])); err != nil {
			return nil, err
		}
		name = m[1]
	}
	name, growing := strings.CutSuffix(name, "_counter")
	if !slices.Contains([]string{"bad", "good", "total"}, name) {
		return nil, fmt.Errorf("%w: there is no %q", metric.ErrBadQuery, name)
	}
	return func(pod string, at time.Time) float64 {
		from := at.Add(-length)
		switch {
		case growing && pod == "b":
			const week = 7 * 24 * time.Hour
			from = epoch.Add(at.Sub(epoch.Add(1)).Truncate(week))
		case growing:
			from = epoch
		}
		switch bad, total := between(s.traffic.bad, from, at)/2, between(s.traffic.total, from, at)/2; name {
		case "bad":
			return bad
		case "good":
			return total - bad
		default:
			return total
		}
	}, nil
}
