package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// maxSteps is how many samples of a series one query asks for. Prometheus refuses
// more than 11,000.
const maxSteps = 10_000

// A question is asked once. Once it was, either err or result is set.
type question struct {
	record Record
	query  metric.Query // what a provider is asked; unset for a KeptnMetric
	result metric.Result
	err    error // set before it is asked, it says why it cannot be
}

// add plans a question. What the query has is recorded.
func (p *plan) add(record Record, query metric.Query, err error) *question {
	record.Query, record.At, record.From, record.Step = query.Expr, query.At, query.From(), query.Step
	q := &question{record: record, query: query, err: err}
	p.questions = append(p.questions, q)
	return q
}

// ask asks all questions.
func (p *plan) ask(ctx context.Context, sources Sources) {
	var group errgroup.Group
	group.SetLimit(Parallel)
	for _, q := range p.questions {
		group.Go(func() error {
			q.ask(ctx, sources)
			return nil
		})
	}
	_ = group.Wait() // no question returns an error: it keeps it
}

func (q *question) ask(ctx context.Context, sources Sources) {
	if q.err == nil {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(sources.Timeout, DefaultTimeout))
		defer cancel()
		q.result, q.err = q.answer(ctx, sources)
	}
	q.result.Series = slices.DeleteFunc(q.result.Series, func(s metric.Series) bool { return len(s.Samples) == 0 })
	if q.err == nil && len(q.result.Series) == 0 {
		q.err = fmt.Errorf("%w: the query yields no sample", metric.ErrNoData)
	}
	if q.err != nil {
		q.record.fail(q.err)
		return
	}
	q.record.Series = len(q.result.Series)
	q.record.Lines, q.record.Warnings = q.result.Lines, q.result.Warnings
}

func (q *question) answer(ctx context.Context, sources Sources) (metric.Result, error) {
	switch name := q.record.KeptnMetric; {
	case name == "" && sources.Ask == nil:
		return metric.Result{}, errors.New("no provider can be asked here")
	case name == "":
		return q.answerParts(ctx, sources.Ask)
	case sources.KeptnMetric == nil:
		return metric.Result{}, errors.New("no KeptnMetric can be read here")
	default:
		value, at, err := sources.KeptnMetric(ctx, name)
		return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: at, Value: value}}}}}, err
	}
}

// answerParts asks for a long window in parts, of maxSteps each. A part without data
// is no failure as long as another has some.
func (q *question) answerParts(ctx context.Context, ask Ask) (metric.Result, error) {
	parts := partsOf(q.query)
	if len(parts) == 1 {
		return ask(ctx, q.record.Provider, q.query)
	}
	var joined joined
	for _, part := range parts {
		result, err := ask(ctx, q.record.Provider, part)
		if err != nil && !errors.Is(err, metric.ErrNoData) {
			return metric.Result{}, err
		}
		if joined.add(result); joined.samples > connect.MaxSamples {
			return metric.Result{}, fmt.Errorf("%w: the parts of the window yield more than %d samples: aggregate them, or take a longer step", metric.ErrTooManySeries, connect.MaxSamples)
		}
	}
	return joined.result, nil
}

// partsOf are the parts of a query, oldest first. One begins where the one before
// ends.
func partsOf(q metric.Query) []metric.Query {
	longest := maxSteps * q.Step
	if q.Step == 0 || q.Window <= longest {
		return []metric.Query{q}
	}
	var parts []metric.Query
	for from := q.From(); from.Before(q.At); from = from.Add(longest) {
		part := q
		part.Window = min(longest, q.At.Sub(from))
		part.At = from.Add(part.Window)
		parts = append(parts, part)
	}
	return parts
}

// joined is the result of consecutive parts.
type joined struct {
	result metric.Result
	index  map[string]int // of the series with these labels
	// samples is how many there are in all series.
	samples int
}

func (j *joined) add(part metric.Result) {
	if j.index == nil {
		j.index = map[string]int{}
	}
	for _, s := range part.Series {
		key := keyOf(s.Labels)
		i, known := j.index[key]
		if !known {
			i = len(j.result.Series)
			j.index[key] = i
			j.result.Series = append(j.result.Series, metric.Series{Labels: s.Labels})
		}
		all := j.result.Series[i].Samples
		for _, sample := range s.Samples {
			// The sample between two parts is in both.
			if len(all) == 0 || sample.Time.After(all[len(all)-1].Time) {
				all = append(all, sample)
				j.samples++
			}
		}
		j.result.Series[i].Samples = all
	}
	j.result.Warnings = append(j.result.Warnings, part.Warnings...)
}

// keyOf is different for different labels.
func keyOf(labels map[string]string) string {
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&key, "%q=%q,", name, labels[name])
	}
	return key.String()
}

// number is a value as text.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// wholeSeconds is the duration rounded up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
