package measure

import (
	"errors"
	"fmt"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// maxSlices is how many slices of time are asked for: a quarter of a year has fewer
// minutes.
const maxSlices = 150_000

// A grid is consecutive slices of time, of which the last is complete.
type grid struct {
	from  time.Time // where the first begins
	slice time.Duration
	n     int // slices
	whole int // the last so many are those of the SLO's window
}

// gridOf are the complete slices of the span, and those before it that a window of a
// burn rate reaches. Slices of a rolling window begin at multiples of their length
// since the year 1, as whole minutes and hours do in UTC; a calendar's begin with its
// window.
func gridOf(s span, slice time.Duration, windows []time.Duration) grid {
	end := s.now.Truncate(slice)
	whole := int(s.length() / slice)
	if s.whole > 0 {
		whole = int(s.now.Sub(s.from) / slice)
		end = s.from.Add(time.Duration(whole) * slice)
	}
	n := whole
	for _, window := range windows {
		n = max(n, int(window/slice))
	}
	return grid{from: end.Add(-time.Duration(n) * slice), slice: slice, n: n, whole: whole}
}

// end is the end of the last slice.
func (g grid) end() time.Time { return g.from.Add(g.length()) }

func (g grid) length() time.Duration { return time.Duration(g.n) * g.slice }

// within is how many of the slices begin at that instant or later.
func (g grid) within(from time.Time) int {
	return min(int(max(g.end().Sub(from), 0)/g.slice), g.whole)
}

// index is that of the slice that a sample belongs to: the one that ends with it. It
// is -1 for a sample at the begin of the first.
func (g grid) index(at time.Time) int {
	since := at.Sub(g.from)
	if since <= 0 {
		return -1
	}
	return int((since - 1) / g.slice)
}

// planSlices plans to count slices of time over the window and those of the burn
// rates. All of them are answered by the same samples, one for each slice.
func (p *plan) planSlices(o *objective) error {
	slice, target := time.Minute, o.fraction
	if given := o.spec.Timeslices.Duration; given != "" {
		var err error
		if slice, err = slo.ParsePeriod(given); err != nil {
			return fmt.Errorf("timeslices.duration: %w", err)
		}
	}
	if given := o.spec.Timeslices.Target; given != nil {
		target = slo.Fraction(*given)
	}
	g := gridOf(o.span, slice, o.windows)
	switch {
	case g.n == 0:
		return errors.New("no slice of time is complete yet")
	case g.n > maxSlices:
		return fmt.Errorf("%d slices of %s are more than %d: take longer ones", g.n, slo.Notation(slice), maxSlices)
	}
	period := float64(o.span.whole / slice) // slices of a calendar's window
	if o.span.whole > 0 {
		o.span.budget = o.span.whole
	}
	slices := p.slices(o.spec, g)
	var all []slo.Count
	over := func(n int) slo.Count { return slo.Slices(all[g.n-n:], target) }
	since := p.sinceRollout(func(began time.Time) func() slo.Count {
		return func() slo.Count { return over(g.within(began)) }
	})
	o.count = func() counts {
		all = slices()
		c := counts{whole: over(g.whole), windows: make(map[time.Duration]slo.Count, len(o.windows)), since: since()}
		if period > 0 {
			c.whole = c.whole.OfAll(period)
		}
		for _, window := range o.windows {
			c.windows[window] = over(int(window / slice))
		}
		return c
	}
	return nil
}

// slices plans to count what is good in each slice.
func (p *plan) slices(s v1alpha1.SLO, g grid) func() []slo.Count {
	if s.Threshold != nil {
		return p.thresholdSlices(s, g)
	}
	return p.ratioSlices(s, g)
}

// thresholdSlices plans to count the samples of each slice: one a minute, or one where
// a slice is no multiple of it.
func (p *plan) thresholdSlices(s v1alpha1.SLO, g grid) func() []slo.Count {
	step := g.slice
	if g.slice%time.Minute == 0 {
		step = time.Minute
	}
	q := p.value(s, metric.Query{At: g.end(), Window: g.length(), Step: step})
	return func() []slo.Count {
		if q.err != nil {
			return unknownSlices(g.n, missing(partValue, q.err))
		}
		counts := compared(s.Threshold, q.result.Series, g.index, g.n)
		q.tell(counts)
		return counts
	}
}

// ratioSlices plans to count the events of each slice.
func (p *plan) ratioSlices(s v1alpha1.SLO, g grid) func() []slo.Count {
	part, query, of := someOf(s.Ratio)
	some, all := p.sliced(s, part, query, g), p.sliced(s, partTotal, s.Ratio.Total, g)
	return func() []slo.Count {
		n, err := some.slices(g)
		total, totalErr := all.slices(g)
		if totalErr != nil {
			return unknownSlices(g.n, missing(partTotal, totalErr))
		}
		if err != nil {
			return unknownSlices(g.n, missing(part, err))
		}
		counts := make([]slo.Count, g.n)
		for i := range counts {
			if n[i].known && total[i].known {
				counts[i] = of(n[i].events, total[i].events)
				continue
			}
			counts[i] = slo.NoCount("no slice of time has data of both queries")
		}
		return counts
	}
}

// sliced plans to ask for the number of events in each slice: of a query that reads
// the window as of the end of each, and of the others by their samples.
func (p *plan) sliced(s v1alpha1.SLO, part, query string, g grid) counted {
	text, form, err := p.render(query, s.Ratio.Counter, g.slice)
	q := metric.Query{Expr: text, At: g.end(), Window: g.length(), Step: g.slice}
	record := Record{For: SLO, Name: s.Name, Part: part, Provider: s.Ratio.Provider.Name}
	return counted{p.add(record, q, err), form}
}

// A sliceCount is the number of events in a slice, if it is known.
type sliceCount struct {
	events float64
	known  bool
}

// slices are the numbers of events that the answer tells of each slice, of all series
// together.
func (c counted) slices(g grid) ([]sliceCount, error) {
	if c.err != nil {
		return nil, c.err
	}
	counts := make([]sliceCount, g.n)
	for _, s := range c.result.Series {
		c.addTo(counts, s.Samples, g)
	}
	n := 0.0
	for _, count := range counts {
		n += count.events
	}
	c.record.Value = number(n)
	return counts, nil
}

// addTo adds the events that the samples of a series tell. A counter tells those of a
// slice only if it was also read in the one before, or at its begin.
func (c counted) addTo(counts []sliceCount, samples []metric.Sample, g grid) {
	for k, sample := range samples {
		i, events := g.index(sample.Time), sample.Value
		switch {
		case i < 0 || i >= len(counts),
			c.form == growing && (k == 0 || i-g.index(samples[k-1].Time) > 1):
			continue
		case c.form == growing:
			events = metric.Increase(samples[k-1 : k+1])
		}
		counts[i].events += events
		counts[i].known = true
	}
}

// unknownSlices are n slices without data.
func unknownSlices(n int, reason string) []slo.Count {
	counts := make([]slo.Count, n)
	for i := range counts {
		counts[i] = slo.NoCount(reason)
	}
	return counts
}
