package metrics

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/poll"
)

const (
	// heartbeats is after how many intervals a status is written although nothing
	// changed, and minHeartbeat after what time at least.
	heartbeats   = 10
	minHeartbeat = 5 * time.Minute
	// maxRaw is how much of an answer a status keeps, in bytes, and smallRaw what it
	// has room for in any case.
	maxRaw   = 1 << 20
	smallRaw = 1 << 18
	// maxObject is how large a KeptnMetric may be as JSON, in bytes: etcd takes
	// 1.5 MiB (https://etcd.io/docs/v3.5/dev-guide/limit/), and the API server adds
	// to it.
	maxObject = 3<<19 - 1<<16
	// maxMessage is how much is kept of why there is no value, in bytes.
	maxMessage = 500
)

// observe writes into the status, in memory, what was read. Reading the same twice
// changes nothing.
func observe(m *metricsv1.KeptnMetric, reading poll.Reading) {
	s := &m.Status
	s.ObservedGeneration = m.Generation
	at := metav1.NewTime(reading.At.Truncate(time.Second))
	value, err := valueOf(m.Spec.Range, reading)
	entry := metricsv1.IntervalResult{LastUpdated: at}
	if m.Spec.Range != nil {
		entry.Range = m.Spec.Range.DeepCopy()
	}
	s.LastUpdated = at
	if err != nil {
		s.ErrMsg = condition.Bounded(err.Error(), maxMessage)
		entry.ErrMsg = s.ErrMsg
		condition.Summarize(m, unmeasured(err))
	} else {
		s.ErrMsg = ""
		if s.Value != value {
			s.Value, s.RawValue = value, reading.Result.Raw
		}
		entry.Value = value
		condition.Summarize(m, condition.Ready("Measured", "measured every %d s", m.Spec.FetchIntervalSeconds))
	}
	s.IntervalResults = remembered(m, entry)
	s.RawValue = s.RawValue[:min(len(s.RawValue), room(m))]
}

// room is how much of an answer a KeptnMetric has room for: more would have the API
// server refuse the value as well.
func room(m *metricsv1.KeptnMetric) int {
	raw := m.Status.RawValue
	if len(raw) <= smallRaw {
		return smallRaw
	}
	m.Status.RawValue = nil
	rest, err := json.Marshal(m)
	m.Status.RawValue = raw
	if err != nil {
		return smallRaw
	}
	return min(maxRaw, max(0, maxObject-len(rest))/4*3) // base64 makes 4 bytes of 3
}

// remembered are the last results, with the newest entry, if it is a new one.
func remembered(m *metricsv1.KeptnMetric, entry metricsv1.IntervalResult) []metricsv1.IntervalResult {
	if m.Spec.Range == nil || m.Spec.Range.StoredResults == 0 {
		return nil
	}
	results := m.Status.IntervalResults
	if n := len(results); n == 0 || results[n-1].LastUpdated.Before(&entry.LastUpdated) {
		results = append(results, entry)
	}
	return results[max(0, len(results)-int(m.Spec.Range.StoredResults)):]
}

// valueOf is the number that a reading yields, as text.
func valueOf(window *metricsv1.RangeSpec, reading poll.Reading) (string, error) {
	if reading.Err != nil {
		return "", reading.Err
	}
	reducer := metric.Reducer("")
	if window != nil {
		reducer = metric.Reducer(window.Aggregation)
	}
	number, err := reading.Result.Reduce(reducer)
	if err != nil {
		return "", err
	}
	return strconv.FormatFloat(number, 'f', -1, 64), nil
}

// reasonOf is in one word how the newest query ended.
func reasonOf(s metricsv1.KeptnMetricStatus) string {
	if ready := apimeta.FindStatusCondition(s.Conditions, meta.ReadyCondition); ready != nil {
		return ready.Reason
	}
	return ""
}

// worthWriting says whether a status says something new, or has not been written
// for long. That an error counts its tries or its seconds is nothing new.
func worthWriting(before, after *metricsv1.KeptnMetric) bool {
	was, is := before.Status, after.Status
	if after.Spec.Range != nil && after.Spec.Range.StoredResults > 0 && !was.LastUpdated.Equal(&is.LastUpdated) {
		return true
	}
	if was.Value != is.Value || reasonOf(was) != reasonOf(is) || was.ObservedGeneration != is.ObservedGeneration || len(was.Conditions) != len(is.Conditions) {
		return true
	}
	heartbeat := max(minHeartbeat, heartbeats*intervalOf(after))
	return is.LastUpdated.Sub(was.LastUpdated.Time) >= heartbeat
}
