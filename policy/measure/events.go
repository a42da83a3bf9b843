package measure

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// Parts of an objective that are asked for.
const (
	partGood  = "good"
	partBad   = "bad"
	partTotal = "total"
	partValue = "value"
)

// finestStep is the shortest time between two samples of an objective's window, and
// samplesPerWindow about how many there are otherwise.
const (
	finestStep       = 15 * time.Second
	samplesPerWindow = 1440
)

// SampleStep is the time between two samples of an objective's window: 15s at least,
// and in whole seconds so that there are 1,441 at most. A day then has one a minute,
// and 30 days one each half an hour.
func SampleStep(window time.Duration) time.Duration {
	return max(wholeSeconds(window/samplesPerWindow), finestStep)
}

// sampled is a window as it is asked for by samples: of whole steps, so that the newest
// sample is that of its end. What is less than a step at its begin is left out, and a
// window that is shorter than a step is one of its own.
func sampled(q metric.Query, window time.Duration) metric.Query {
	q.Step = min(SampleStep(window), window)
	q.Window = window.Truncate(q.Step)
	return q
}

// ratioEvents plans to count the events of a ratio over a window that ends now.
func (p *plan) ratioEvents(s v1alpha1.SLO, window time.Duration) func() slo.Count {
	part, query, of := someOf(s.Ratio)
	some, all := p.counted(s, part, query, window), p.counted(s, partTotal, s.Ratio.Total, window)
	return func() slo.Count {
		n, err := some.events()
		total, totalErr := all.events()
		if totalErr != nil {
			return slo.NoCount(missing(partTotal, totalErr))
		}
		if err != nil {
			return slo.NoCount(missing(part, err))
		}
		return of(n, total)
	}
}

// someOf is which events a ratio counts beside all of them.
func someOf(r *v1alpha1.RatioIndicator) (part, query string, of func(n, total float64) slo.Count) {
	if r.Bad != "" {
		return partBad, r.Bad, slo.BadOf
	}
	return partGood, r.Good, slo.GoodOf
}

// missing says why there is no number of good, bad or all events.
func missing(part string, err error) string {
	text := truncated(fmt.Sprintf("%s: %v", part, err))
	if part != partTotal && errors.Is(err, metric.ErrNoData) {
		text += `; where no such event ever happened, let the query yield 0, as Prometheus does with "or vector(0)"`
	}
	return text
}

// A counted is a question for a number of events over a window.
type counted struct {
	*question
	form form
}

// A form is what the samples of a question for events mean.
type form int

const (
	// inWindow samples are the number of events in the window: the query reads it.
	inWindow form = iota
	// growing samples are those of a counter. What it counted between the last
	// sample before a reset and the reset is lost, as between two scrapes.
	growing
	// sinceLast samples are the number of events since the one before.
	sinceLast
)

// counted plans to ask for the number of events over a window. A query that reads the
// window is asked as of now, and the others for the samples of the window.
func (p *plan) counted(s v1alpha1.SLO, part, query string, window time.Duration) counted {
	text, form, err := p.render(query, s.Ratio.Counter, window)
	q := metric.Query{Expr: text, At: p.subject.Now}
	if form != inWindow {
		q = sampled(q, window)
	}
	record := Record{For: SLO, Name: s.Name, Part: part, Provider: s.Ratio.Provider.Name}
	return counted{p.add(record, q, err), form}
}

// render is the query with the window in it, and what its samples then mean.
func (p *plan) render(query string, counter bool, window time.Duration) (string, form, error) {
	form, data := sinceLast, p.subject.Query
	data.Window = slo.Notation(window)
	switch {
	case policy.ReadsWindow(query):
		form = inWindow
	case counter:
		form = growing
	}
	text, err := policy.RenderQuery(query, data)
	if err != nil {
		return query, form, fmt.Errorf("%w: %w", metric.ErrBadQuery, err)
	}
	return text, form, nil
}

// events is the number of events that the answer tells, of all series together. The
// sample at the begin of the window belongs to what was before it.
func (c counted) events() (float64, error) {
	if c.err != nil {
		return 0, c.err
	}
	n := 0.0
	for _, s := range c.result.Series {
		switch c.form {
		case inWindow:
			n += s.Last().Value
		case growing:
			n += metric.Increase(s.Samples)
		case sinceLast:
			for _, sample := range s.Samples {
				if sample.Time.After(c.query.From()) {
					n += sample.Value
				}
			}
		}
	}
	c.record.Value = number(n)
	return n, nil
}

// thresholdSamples plans to count the samples of a value over a window that ends now.
func (p *plan) thresholdSamples(s v1alpha1.SLO, window time.Duration) func() slo.Count {
	q := p.value(s, sampled(metric.Query{At: p.subject.Now}, window))
	return func() slo.Count {
		if q.err != nil {
			return slo.NoCount(missing(partValue, q.err))
		}
		counts := compared(s.Threshold, q.result.Series, func(at time.Time) int {
			if at.After(q.query.From()) {
				return 0
			}
			return -1
		}, 1)
		q.tell(counts)
		return counts[0]
	}
}

// value plans to ask for the value of a threshold.
func (p *plan) value(s v1alpha1.SLO, q metric.Query) *question {
	var err error
	if q.Expr, err = policy.RenderQuery(s.Threshold.Query, p.subject.Query); err != nil {
		q.Expr, err = s.Threshold.Query, fmt.Errorf("%w: %w", metric.ErrBadQuery, err)
	}
	return p.add(Record{For: SLO, Name: s.Name, Part: partValue, Provider: s.Threshold.Provider.Name}, q, err)
}

// compared counts the samples that are as they should be, in the n slices that
// sliceOf tells; -1 is none of them. A NaN is no evidence, and counts neither way.
func compared(t *v1alpha1.ThresholdIndicator, series []metric.Series, sliceOf func(time.Time) int, n int) []slo.Count {
	counts := make([]slo.Count, n)
	for _, s := range series {
		for _, sample := range s.Samples {
			i := sliceOf(sample.Time)
			if i < 0 || i >= n || math.IsNaN(sample.Value) {
				continue
			}
			counts[i].Total++
			if holds(t.Op, sample.Value, t.Value) {
				counts[i].Good++
			}
		}
	}
	for i := range counts {
		if counts[i].Total == 0 {
			counts[i] = slo.NoCount("value: no sample is a number")
		}
	}
	return counts
}

// holds is whether a value compares as it should.
func holds(op string, value, limit float64) bool {
	switch op {
	case "lt":
		return value < limit
	case "lte":
		return value <= limit
	case "gt":
		return value > limit
	default: // gte, the last that the API knows
		return value >= limit
	}
}

// tell records how many samples were good.
func (q *question) tell(counts []slo.Count) {
	var all slo.Count
	for _, c := range counts {
		if c.Missing == "" {
			all = all.Plus(c)
		}
	}
	q.record.Value = number(all.Good) + "/" + number(all.Total)
}
