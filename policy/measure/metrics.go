package measure

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// A measurement is a metric, or its baseline, and the question for it.
type measurement struct {
	metric v1alpha1.Metric
	*question
}

// metrics plans the questions for all metrics.
func (p *plan) metrics() []measurement {
	measurements := make([]measurement, len(p.subject.Spec.Metrics))
	for i, m := range p.subject.Spec.Metrics {
		measurements[i] = measurement{m, p.metric(m)}
	}
	return measurements
}

func (p *plan) metric(m v1alpha1.Metric) *question {
	if m.KeptnMetric != nil {
		return p.add(Record{For: Metrics, Name: m.Name, KeptnMetric: m.KeptnMetric.Name}, metric.Query{At: p.subject.Now}, nil)
	}
	query, err := p.query(m)
	query.Lines = true
	return p.add(Record{For: Metrics, Name: m.Name, Provider: provider(m.Provider)}, query, err)
}

// baselines plans the questions for the baseline, if any expression reads it.
func (p *plan) baselines() []measurement {
	if !readsBaseline(p.subject.Spec) {
		return nil
	}
	var measurements []measurement
	for _, m := range p.subject.Spec.Metrics {
		if m.KeptnMetric != nil || m.Baseline == nil && p.subject.Previous == nil {
			continue
		}
		query, err := p.query(m)
		if err == nil {
			query.At, err = p.baselineEnd(m, query.Window)
		}
		question := p.add(Record{For: Baseline, Name: m.Name, Provider: provider(m.Provider)}, query, err)
		measurements = append(measurements, measurement{m, question})
	}
	return measurements
}

// readsBaseline is whether an expression of the policy can read the baseline: its name
// is in one.
func readsBaseline(spec v1alpha1.SLOPolicySpec) bool {
	var expressions []string
	for _, v := range spec.Variables {
		expressions = append(expressions, v.Expression)
	}
	for _, r := range spec.Rules {
		expressions = append(expressions, r.Expression, r.Warning, r.Message)
	}
	return strings.Contains(strings.Join(expressions, "\n"), Baseline)
}

// baselineEnd is the instant that the baseline of a metric is asked about: a fixed
// time ago, or when the previous rollout was judged. A window since the rollout begins
// with the end of the previous one, and is as long as that of today: its end is then
// not that of the judgement.
func (p *plan) baselineEnd(m v1alpha1.Metric, window time.Duration) (time.Time, error) {
	previous := p.subject.Previous
	switch {
	case m.Baseline != nil:
		offset, err := slo.ParsePeriod(m.Baseline.Offset)
		if err != nil {
			return p.subject.Now, fmt.Errorf("baseline.offset: %w", err)
		}
		return p.subject.Now.Add(-offset), nil
	case m.Window == nil || m.Window.Since == "":
		return previous.Evaluated.Truncate(time.Second), nil
	case previous.Finished.IsZero():
		return p.subject.Now, fmt.Errorf("%w: the window begins with the end of the previous rollout, which is not known", metric.ErrNoData)
	default:
		return previous.Finished.Truncate(time.Second).Add(window), nil
	}
}

// query is the question for a metric as of now.
func (p *plan) query(m v1alpha1.Metric) (metric.Query, error) {
	query := metric.Query{At: p.subject.Now}
	var err error
	if query.Expr, err = policy.RenderQuery(m.Query, p.subject.Query); err != nil {
		query.Expr = m.Query
		return query, fmt.Errorf("%w: %w", metric.ErrBadQuery, err)
	}
	if m.Window == nil {
		return query, nil
	}
	if query.Window, err = p.window(*m.Window); err != nil {
		return query, err
	}
	query.Step = Step(query.Window)
	if m.Window.Step != nil {
		query.Step = min(m.Window.Step.Duration, query.Window)
	}
	return query, nil
}

// window is the length of a window that ends now.
func (p *plan) window(w v1alpha1.Window) (time.Duration, error) {
	if w.Duration != nil {
		return w.Duration.Duration, nil
	}
	finished := p.subject.RolloutFinished
	switch {
	case finished.IsZero():
		return 0, fmt.Errorf("%w: the window begins with the end of the rollout, which is not known", metric.ErrNoData)
	case !finished.Before(p.subject.Now):
		return 0, fmt.Errorf("%w: the window begins with the end of the rollout, which was only now", metric.ErrNoData)
	default:
		return p.subject.Now.Sub(finished), nil
	}
}

// Step is the time between two samples of a metric's window, where its author gives
// none: a sixtieth of the window in whole seconds, and a second at least.
func Step(window time.Duration) time.Duration {
	return max((window / 60).Truncate(time.Second), time.Second)
}

// values are what was measured, by name. They complete the records.
func values(measurements []measurement) map[string]policy.Value {
	byName := make(map[string]policy.Value, len(measurements))
	for _, m := range measurements {
		byName[m.metric.Name] = m.value()
	}
	return byName
}

func (m measurement) value() policy.Value {
	switch {
	case errors.Is(m.err, metric.ErrStale):
		return policy.Stale(absence(m.err))
	case m.err != nil:
		return policy.NoData(absence(m.err))
	}
	m.record.Value = m.text()
	return policy.Measured(m.result)
}

// text is the number that the policy will read.
func (m measurement) text() string {
	value, err := m.result.Series[0].Last().Value, error(nil)
	switch {
	case m.metric.Reducer != "":
		value, err = metric.Reducer(m.metric.Reducer).ReduceAll(m.result.Series)
	case len(m.result.Series) > 1:
		return ""
	}
	if err != nil {
		m.record.fail(err)
		return ""
	}
	return number(value)
}

// provider is the name that a reference has.
func provider(ref *v1alpha1.ProviderReference) string {
	if ref == nil {
		return ""
	}
	return ref.Name
}
