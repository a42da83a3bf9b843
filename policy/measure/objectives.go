package measure

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

// An objective is an SLO with the questions for it. Either unknown says why it cannot
// be measured, or it is a composite, or count counts once the questions are answered.
type objective struct {
	spec     v1alpha1.SLO
	fraction float64
	span     span
	windows  []time.Duration
	unknown  error
	count    func() counts
}

// counts are what was counted of an objective: over its window, over those of the
// burn rates, and since the rollout began.
type counts struct {
	whole   slo.Count
	windows map[time.Duration]slo.Count
	since   *slo.Count // nil where no rollout began
}

// state is that of the objective, as it was counted.
func (c counts) state(o *objective) slo.State {
	s := slo.Of(o.fraction, o.span.budget, c.whole, c.windows)
	if c.since == nil {
		return s
	}
	return s.WithBurned(*c.since)
}

// A span is the time that an error budget is counted over, up to now.
type span struct {
	from, now time.Time
	// budget is the length that the state's Period tells: of the window, or of a
	// calendar's part up to now.
	budget time.Duration
	// whole is the length of a calendar's whole window; 0 for a rolling one.
	whole time.Duration
}

// length is the time up to now, in whole seconds, one at least.
func (s span) length() time.Duration { return max(s.now.Sub(s.from), time.Second) }

// since is how much of the span there has been since an instant.
func (s span) since(at time.Time) time.Duration { return min(s.now.Sub(at), s.length()) }

// objectives plans the questions for all SLOs.
func (p *plan) objectives() []*objective {
	windows := burnWindows(p.subject.Spec.SLOs, p.subject.BurnWindows)
	objectives := make([]*objective, len(p.subject.Spec.SLOs))
	for i, s := range p.subject.Spec.SLOs {
		o := &objective{spec: s, fraction: slo.Fraction(s.Objective), windows: windows[s.Name]}
		o.unknown = p.plan(o)
		objectives[i] = o
	}
	return objectives
}

// burnWindows are the windows of burn rates of every SLO, in their order: those of
// its own, and those of the composites that it is part of.
func burnWindows(slos []v1alpha1.SLO, read map[string][]time.Duration) map[string][]time.Duration {
	windows := make(map[string][]time.Duration, len(slos))
	// Composites stand below their parts.
	for _, s := range slices.Backward(slos) {
		all := slices.Concat(windows[s.Name], read[s.Name])
		slices.Sort(all)
		windows[s.Name] = slices.Compact(all)
		for _, part := range s.Composite {
			windows[part.SLO] = slices.Concat(windows[part.SLO], windows[s.Name])
		}
	}
	return windows
}

// plan plans the questions for an objective. The error says why it cannot be measured.
func (p *plan) plan(o *objective) error {
	switch {
	case o.spec.OpenSLO != "" && o.spec.Objective == 0:
		return fmt.Errorf("the OpenSLO document %q was not resolved", o.spec.OpenSLO)
	case o.fraction <= 0 || o.fraction >= 1:
		return fmt.Errorf("an objective of %v%% leaves no error budget, or nothing else: it has to be between 0 and 100", o.spec.Objective)
	case o.spec.Window == nil:
		return errors.New("it has no window")
	}
	from, to, err := slo.Bounds(*o.spec.Window, p.subject.Now)
	if err != nil {
		return fmt.Errorf("window: %w", err)
	}
	o.span = span{from: from, now: p.subject.Now}
	o.span.budget = o.span.length()
	if o.spec.Window.Calendar != "" {
		o.span.whole = to.Sub(from)
	}
	switch {
	case o.spec.Composite != nil:
		return nil
	case o.spec.Ratio == nil && o.spec.Threshold == nil:
		return errors.New("it has neither of ratio, threshold and composite")
	case o.spec.Timeslices != nil:
		return p.planSlices(o)
	default:
		p.planEvents(o)
		return nil
	}
}

// planEvents plans to count events, or samples, over the window, those of the burn
// rates, and since the rollout began. Windows of one length are asked about once.
func (p *plan) planEvents(o *objective) {
	planned := map[time.Duration]func() slo.Count{}
	over := func(window time.Duration) func() slo.Count {
		if planned[window] == nil {
			planned[window] = p.events(o.spec, window)
		}
		return planned[window]
	}
	whole := over(o.span.length())
	for _, window := range o.windows {
		over(window)
	}
	since := p.sinceRollout(func(began time.Time) func() slo.Count { return over(o.span.since(began)) })
	o.count = func() counts {
		c := counts{whole: whole(), windows: make(map[time.Duration]slo.Count, len(o.windows)), since: since()}
		for _, window := range o.windows {
			c.windows[window] = planned[window]()
		}
		return c
	}
}

// sinceRollout plans to count what there was since the rollout began, by plan, where
// it did.
func (p *plan) sinceRollout(plan func(began time.Time) func() slo.Count) func() *slo.Count {
	switch began := p.subject.RolloutStarted; {
	case began.IsZero():
		return func() *slo.Count { return nil }
	case !began.Before(p.subject.Now):
		return func() *slo.Count { return new(slo.NoCount("the rollout began only now")) }
	default:
		count := plan(began)
		return func() *slo.Count { return new(count()) }
	}
}

// events plans to count those of the window that ends now.
func (p *plan) events(s v1alpha1.SLO, window time.Duration) func() slo.Count {
	if s.Threshold != nil {
		return p.thresholdSamples(s, window)
	}
	return p.ratioEvents(s, window)
}

// states are those of all objectives, by name. They complete the records.
func states(objectives []*objective) map[string]slo.State {
	byName := make(map[string]slo.State, len(objectives))
	for _, o := range objectives {
		byName[o.spec.Name] = o.state(byName)
	}
	return byName
}

// state is that of an objective, given those above it.
func (o *objective) state(above map[string]slo.State) slo.State {
	switch {
	case o.unknown != nil:
		return slo.Unknown(o.fraction, o.span.budget, o.windows, o.unknown.Error())
	case o.spec.Composite != nil:
		return o.composite(above)
	default:
		return o.count().state(o)
	}
}

func (o *objective) composite(above map[string]slo.State) slo.State {
	parts := make([]slo.Part, len(o.spec.Composite))
	for i, part := range o.spec.Composite {
		state, known := above[part.SLO]
		if !known {
			reason := fmt.Sprintf("there is no slo %q above it: it has %q", part.SLO, slices.Sorted(maps.Keys(above)))
			return slo.Unknown(o.fraction, o.span.budget, o.windows, reason)
		}
		parts[i] = slo.Part{Name: part.SLO, State: state, Weight: 1}
		if part.Weight != nil {
			parts[i].Weight = *part.Weight
		}
	}
	return slo.Composite(o.fraction, o.span.budget, o.windows, parts)
}
