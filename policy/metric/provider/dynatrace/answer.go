package dynatrace

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// An answer is the API's MetricData, or its ErrorEnvelope.
type answer struct {
	Result      []collection `json:"result"`
	Warnings    []string     `json:"warnings"`
	NextPageKey string       `json:"nextPageKey"`
	Error       *failure     `json:"error"`
}

// A collection is the series of one metric.
type collection struct {
	MetricID string   `json:"metricId"`
	Warnings []string `json:"warnings"`
	Data     []row    `json:"data"`
}

// A row is one series: a value or null for each time, in milliseconds since 1970.
type row struct {
	DimensionMap map[string]string `json:"dimensionMap"`
	Timestamps   []int64           `json:"timestamps"`
	Values       []*float64        `json:"values"`
}

// A failure is the API's error.
type failure struct {
	Code       int    `json:"code"`
	Message    string `json:"message"`
	Violations []struct {
		Path    string `json:"path"`
		Message string `json:"message"`
	} `json:"constraintViolations"`
}

// series are the rows that have values. Those of one page of several are not to be
// judged by.
func (a answer) series() ([]metric.Series, error) {
	switch {
	case a.Error != nil:
		return nil, a.Error.typed()
	case a.Result == nil:
		return nil, fmt.Errorf("%w: it has no result: is the URL that of Dynatrace's API?", metric.ErrBadResponse)
	case a.NextPageKey != "":
		return nil, fmt.Errorf("%w: Dynatrace has more of them than fit into one answer: narrow the selector with :filter, or aggregate with :splitBy()", metric.ErrTooManySeries)
	}
	var series []metric.Series
	for _, c := range a.Result {
		for _, r := range c.Data {
			samples, err := r.samples()
			if err != nil {
				return nil, fmt.Errorf("%w: the series of %q %w", metric.ErrBadResponse, c.MetricID, err)
			}
			if len(samples) > 0 {
				series = append(series, metric.Series{Labels: r.labels(c.MetricID), Samples: samples})
			}
		}
	}
	return series, nil
}

// samples are the values of a row without its nulls, in the order of time.
func (r row) samples() ([]metric.Sample, error) {
	if len(r.Timestamps) != len(r.Values) {
		return nil, fmt.Errorf("has %d times and %d values", len(r.Timestamps), len(r.Values))
	}
	samples := make([]metric.Sample, 0, len(r.Values))
	for i, value := range r.Values {
		if value != nil {
			samples = append(samples, metric.Sample{Time: time.UnixMilli(r.Timestamps[i]).UTC(), Value: *value})
		}
	}
	slices.SortStableFunc(samples, func(a, b metric.Sample) int { return a.Time.Compare(b.Time) })
	return samples, nil
}

// labels are the dimensions of a row, and the metric's ID as its name.
func (r row) labels(metricID string) map[string]string {
	labels := make(map[string]string, len(r.DimensionMap)+1)
	for name, value := range r.DimensionMap {
		labels[name] = value
	}
	if metricID != "" {
		labels["__name__"] = metricID
	}
	return labels
}

// warnings are the API's, of the whole answer and of each metric.
func (a answer) warnings() []string {
	all := slices.Clone(a.Warnings)
	for _, c := range a.Result {
		all = append(all, c.Warnings...)
	}
	return all
}

// queryError says what an answer with an error status means. One whose body is
// not the API's is left as it is.
func queryError(err error) error {
	var refused *connect.Answer
	if !errors.As(err, &refused) {
		return err
	}
	var body answer
	if json.Unmarshal(refused.Body, &body) != nil || body.Error == nil || body.Error.Message == "" {
		return err
	}
	return body.Error.typed()
}

// typed is the failure as one of package metric's errors.
func (f failure) typed() error {
	switch {
	case f.Code == http.StatusUnauthorized, f.Code == http.StatusForbidden:
		return fmt.Errorf("%w: %s", metric.ErrUnauthorized, f)
	case f.Code == http.StatusTooManyRequests:
		return &metric.RateLimitedError{}
	case f.Code >= http.StatusInternalServerError:
		return fmt.Errorf("%w: %s", metric.ErrUnreachable, f)
	default:
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, f)
	}
}

// String is the message, and what is wrong in particular.
func (f failure) String() string {
	said := []string{f.Message}
	for _, v := range f.Violations {
		said = append(said, strings.TrimPrefix(v.Path+": "+v.Message, ": "))
	}
	return strings.Join(said, ": ")
}
