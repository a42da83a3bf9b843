// Package measure asks for all that a policy reads: its metrics, their baseline, and
// the states of its objectives, together with a record of every question.
//
// It plans all questions from the policy and one instant, asks them side by side, and
// then reads the answers. What cannot be measured is no data, with its reason, and
// never an error of the whole: a provider that is down leaves undecided only what
// depends on it.
//
// The package knows no provider, repeats no question and remembers no answer: a caller
// hands in what asks. It never judges; that is package policy's.
package measure

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

const (
	// DefaultTimeout is how long one question may take where Sources say nothing.
	DefaultTimeout = 20 * time.Second
	// Parallel is how many questions of one measurement are asked at a time.
	Parallel = 8
	// maxMessage is how much is kept of why there is no value, in bytes.
	maxMessage = 500
)

// Ask answers a query to the KeptnMetricsProvider of that name. Its errors are those
// of package metric.
type Ask func(ctx context.Context, provider string, q metric.Query) (metric.Result, error)

// KeptnMetric reads the value of the KeptnMetric of that name, and when it was
// measured. Its errors are those of package metric.
type KeptnMetric func(ctx context.Context, name string) (value float64, at time.Time, err error)

// Sources are what is asked. They are called from several goroutines at a time.
type Sources struct {
	// Ask is for queries. Without it a query has no data.
	Ask Ask
	// KeptnMetric is for KeptnMetrics. Without it they have no data.
	KeptnMetric KeptnMetric
	// Timeout is how long one question may take. The default is DefaultTimeout.
	Timeout time.Duration
}

// A Subject is what is measured.
type Subject struct {
	// Spec is the policy, in which every openSLO is resolved.
	Spec v1alpha1.SLOPolicySpec
	// BurnWindows are the windows of burn rates that expressions read, by the names
	// of the SLOs: policy.Policy.BurnWindows.
	BurnWindows map[string][]time.Duration
	// Query is what the templates of queries read, but for the window. Its Params
	// are those of policy.Params.
	Query policy.QueryData
	// Now is the instant that is asked about, in whole seconds: what is below is
	// cut off.
	Now time.Time
	// RolloutStarted is when the rollout began, since when is counted what it burned
	// of the error budgets. Without it that is not known.
	RolloutStarted time.Time
	// RolloutFinished is when the rollout was complete, where the windows since
	// then begin. Without it they have no data.
	RolloutFinished time.Time
	// Previous is the previous good rollout, whose metrics are the baseline. Without
	// it there is a baseline only of the metrics that have one of a fixed offset.
	Previous *Previous
}

// Previous is the previous good rollout.
type Previous struct {
	// Evaluated is when the policy judged it.
	Evaluated time.Time
	// Finished is when it was complete.
	Finished time.Time
}

// Measured is what a policy is evaluated over.
type Measured struct {
	// At is the instant that was asked about.
	At time.Time
	// Metrics are the measurements by name, with all samples: to reduce them is the
	// policy's.
	Metrics map[string]policy.Value
	// Baseline are the same questions as of the previous good rollout, or of a
	// fixed offset. A metric that was not asked about then is not in it: there was
	// no such rollout, no expression reads a baseline, or it is a KeptnMetric, which
	// has no past. What was recorded of the previous rollout is the caller's to fall
	// back on.
	Baseline map[string]policy.Value
	// SLOs are the states of the objectives by name.
	SLOs map[string]slo.State
	// Records are all questions: those for metrics, then for the baseline, then for
	// objectives, each in the order of the policy.
	Records []Record
}

// Kinds of what a question is for: the roots of the expressions that read it.
const (
	Metrics  = "metrics"
	Baseline = "baseline"
	SLO      = "slo"
)

// A Record is a question, and what became of it. It holds what it takes to ask again.
type Record struct {
	// For is Metrics, Baseline or SLO.
	For string
	// Name is that of the metric or the objective.
	Name string
	// Part of an objective that was asked for: good, bad or total of a ratio, value
	// of a threshold. It is empty for a metric.
	Part string
	// Provider that was asked, or KeptnMetric that was read.
	Provider, KeptnMetric string
	// Query as it was asked, without placeholders.
	Query string
	// At is the instant that was asked about, and the end of the window; From its
	// begin, which is At where there is no window.
	At, From time.Time
	// Step between two samples; 0 for an instant.
	Step time.Duration
	// Value as text: the metric's number, the number of events, or the good samples
	// of all, as 58/60. It is empty where there is none, and where several series
	// are no one number.
	Value string
	// Reason and Message say why there is no value: in one word, as metric.Reason
	// has it, and in a sentence.
	Reason, Message string
	// Series is how many there are.
	Series int
	// Lines are log lines behind the value, Warnings the provider's own remarks.
	Lines, Warnings []string
}

// All measures everything that the policy reads. Each failure is part of what it
// returns.
func All(ctx context.Context, subject Subject, sources Sources) Measured {
	subject.Now = subject.Now.Truncate(time.Second)
	subject.RolloutStarted = subject.RolloutStarted.Truncate(time.Second)
	subject.RolloutFinished = subject.RolloutFinished.Truncate(time.Second)
	p := &plan{subject: subject}
	metrics, baselines := p.metrics(), p.baselines()
	objectives := p.objectives()

	p.ask(ctx, sources)

	measured := Measured{
		At:       subject.Now,
		Metrics:  values(metrics),
		Baseline: values(baselines),
		SLOs:     states(objectives),
		Records:  make([]Record, len(p.questions)),
	}
	for i, q := range p.questions {
		measured.Records[i] = q.record
	}
	return measured
}

// A plan is the questions about a subject.
type plan struct {
	subject   Subject
	questions []*question
}

// fail records why there is no value.
func (r *Record) fail(err error) {
	r.Reason, r.Message = metric.Reason(err), truncated(err.Error())
}

// absence is why there is no value, for a sentence that says that there is none.
func absence(err error) string {
	text := err.Error()
	for _, is := range []error{metric.ErrNoData, metric.ErrStale} {
		if errors.Is(err, is) {
			text = strings.TrimPrefix(text, is.Error()+": ")
		}
	}
	return truncated(text)
}

// truncated is the text without what exceeds maxMessage.
func truncated(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	end := maxMessage
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
