package openslo

import (
	"maps"
	"slices"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// maxQuery is how long a query in a policy may be, in bytes.
const maxQuery = 16384

// measure gives an objective its indicator.
func (c *converter) measure(made *objective, o *objectiveText, spec *sliSpec) {
	threshold, ratio := spec.threshold, spec.ratio
	switch {
	case threshold.given == ratio.given:
		c.problems.add(spec.at, "an indicator has either thresholdMetric or ratioMetric: give exactly one of them")
	case threshold.given:
		c.threshold(made, o, threshold)
	default:
		if o.op.given || o.value.given {
			c.problems.warn(o.at, "op and value mean nothing with a ratioMetric: remove them")
		}
		if ratio.raw.given || ratio.rawType.given {
			c.rawRatio(made, o, ratio)
			return
		}
		c.ratio(made, ratio)
	}
}

func (c *converter) threshold(made *objective, o *objectiveText, metric source) {
	switch {
	case !o.op.given:
		c.problems.add(o.op.at, "op is required with a thresholdMetric: write lt, lte, gt or gte, for how the value has to compare with value")
	case !slices.Contains([]string{"lt", "lte", "gt", "gte"}, o.op.value):
		c.problems.add(o.op.at, "op %q is no comparison: write lt, lte, gt or gte", o.op.value)
	}
	if !o.value.given {
		c.problems.add(o.value.at, "value is required with a thresholdMetric: what the metric is compared with")
	}
	c.compare(made, metric, o.op.value, o.value.value)
	made.places["threshold.op"] = o.op.at
}

// compare gives an objective a threshold.
func (c *converter) compare(made *objective, metric source, op string, value float64) {
	made.Threshold = &v1alpha1.ThresholdIndicator{
		Provider: v1alpha1.ProviderReference{Name: c.provider(metric)},
		Query:    c.query(metric), Op: op, Value: value,
	}
	made.places["threshold"] = metric.at
	made.places["threshold.query"] = metric.query.at
}

// query is that of a source, whose spec can hold nothing else: what it would mean to
// a provider is not known.
func (c *converter) query(s source) string {
	for _, name := range slices.Sorted(maps.Keys(s.spec.entries)) {
		if name != "query" {
			c.problems.add(s.spec.at.child(name).key(), "%q is not supported, only query is%s: what a provider needs besides is in its KeptnMetricsProvider", name, didYouMean(name, []string{"query"}))
		}
	}
	switch n := len(s.query.value); {
	case s.empty: // provider tells of it
	case n == 0:
		c.problems.add(s.query.at, "query is required, in the provider's own language")
	case n > maxQuery:
		c.problems.add(s.query.at, "the query has %d bytes, and %d are the limit: shorten it", n, maxQuery)
	}
	return s.query.value
}

func (c *converter) ratio(made *objective, m ratioMetric) {
	some := m.good
	switch {
	case m.good.given && m.bad.given:
		c.problems.add(m.bad.at, "good and bad are both given: remove one of them")
	case m.bad.given:
		some = m.bad
	case !m.good.given:
		c.problems.add(m.at, "a ratioMetric has either good or bad, and total")
		return
	}
	if !m.total.given {
		c.problems.add(m.total.at, "total is required, beside good or bad")
		return
	}
	ratio := &v1alpha1.RatioIndicator{Counter: m.counter.value, Total: c.query(m.total)}
	ratio.Provider.Name = c.provider(some)
	if total := c.provider(m.total); total != ratio.Provider.Name {
		c.problems.add(m.total.at, "the total is asked of %q and the rest of %q, which is not supported: ask one provider", total, ratio.Provider.Name)
	}
	made.places["ratio"] = m.at
	made.places["ratio.total"] = m.total.query.at
	if m.bad.given {
		ratio.Bad, made.places["ratio.bad"] = c.query(m.bad), m.bad.query.at
	} else {
		ratio.Good, made.places["ratio.good"] = c.query(m.good), m.good.query.at
	}
	made.Ratio = ratio
}

// rawRatio is a ratio that was computed before: how many events it stands for is not
// known. With slices of a minute, of which each has one sample, the ratio says which
// are good.
func (c *converter) rawRatio(made *objective, o *objectiveText, m ratioMetric) {
	success := m.rawType.value == "success"
	switch {
	case !m.raw.given:
		c.problems.add(m.rawType.at, "rawType goes with raw: remove it")
		return
	case m.good.given || m.bad.given || m.total.given:
		c.problems.add(m.raw.at, "raw cannot stand beside good, bad and total: remove it, or them")
		return
	case !success && m.rawType.value != "failure":
		c.problems.add(m.rawType.at, "rawType is required with raw: write success or failure")
		return
	case made.Timeslices == nil || made.Timeslices.Duration != "1m":
		c.problems.add(m.raw.at, "a ratio does not tell how many events it is of, so that raw is supported only with Timeslices of 1m: give good or bad, and total")
		return
	}
	op, limit := "gte", o.sliceTarget.value
	if !success {
		op, limit = "lte", percentOf(1-o.sliceTarget.value)/100
	}
	all := 100.0
	made.Timeslices.Target = &all
	c.compare(made, m.raw, op, limit)
}
