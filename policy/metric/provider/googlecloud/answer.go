package googlecloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// An answer is one of Prometheus's API
// (https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview).
type answer struct {
	Status    string   `json:"status"`
	Data      data     `json:"data"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Infos     []string `json:"infos"`
}

// data is a result, by its type.
type data struct {
	ResultType string          `json:"resultType"`
	Result     json.RawMessage `json:"result"`
}

// What an answer calls a query that took longer than the server allows.
const timeout, canceled = "timeout", "canceled"

// gaveUp says whether the server ended the query itself.
func (a answer) gaveUp() bool { return a.ErrorType == timeout || a.ErrorType == canceled }

// failure is what an answer says of a query that failed.
func (a answer) failure() error {
	switch a.ErrorType {
	case "bad_data", "execution":
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, a.Error)
	case timeout, canceled:
		return &metric.AnsweredError{Err: fmt.Errorf("%w: the server gave up: %s", metric.ErrTimeout, a.Error)}
	case "internal", "unavailable":
		return fmt.Errorf("%w: the server answers: %s", metric.ErrUnreachable, a.Error)
	default:
		return fmt.Errorf("%w: it is no result of PromQL: is targetServer an endpoint of Cloud Monitoring?", metric.ErrBadResponse)
	}
}

// answerError says what a failed request stands for, in the words of Prometheus or
// of Google (https://cloud.google.com/apis/design/errors#http_mapping).
func answerError(err error) error {
	var prometheus answer
	var failed *connect.Failure
	if errors.As(err, &failed) && json.Unmarshal(failed.Body, &prometheus) == nil && prometheus.gaveUp() {
		return prometheus.failure()
	}
	var answered *connect.Answer
	if !errors.As(err, &answered) {
		return err
	}
	if json.Unmarshal(answered.Body, &prometheus) == nil && prometheus.Status == "error" {
		return prometheus.failure()
	}
	var google struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(answered.Body, &google) != nil || google.Error.Message == "" {
		return err
	}
	switch answered.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, google.Error.Message)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s: check googleCloud.project", metric.ErrConfig, google.Error.Message)
	default:
		return fmt.Errorf("%w: %s: %s", metric.ErrBadResponse, google.Error.Status, google.Error.Message)
	}
}

// A stream is a series of an instant or of a window.
type stream struct {
	Metric     map[string]string `json:"metric"`
	Value      *point            `json:"value"`
	Values     []point           `json:"values"`
	Histogram  json.RawMessage   `json:"histogram"`
	Histograms json.RawMessage   `json:"histograms"`
}

// A point is a pair of seconds and a value, which is a string so that it can be
// NaN.
type point metric.Sample

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a sample of %d parts", len(pair))
	}
	var seconds *float64
	var value string
	if err := errors.Join(json.Unmarshal(pair[0], &seconds), json.Unmarshal(pair[1], &value)); err != nil {
		return err
	}
	if seconds == nil {
		return errors.New("a sample without a time")
	}
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("a sample of value %q", value)
	}
	*p = point{Time: time.UnixMilli(int64(math.Round(*seconds * 1000))).UTC(), Value: number}
	return nil
}

// series are those of a result.
func (d data) series(q metric.Query) ([]metric.Series, error) {
	var streams []stream
	switch d.ResultType {
	case "scalar":
		var one stream
		if err := decode(d.Result, &one.Value); err != nil {
			return nil, err
		}
		streams = []stream{one}
	case "vector", "matrix":
		if err := decode(d.Result, &streams); err != nil {
			return nil, err
		}
	case "string":
		return nil, fmt.Errorf("%w: it yields a string: give one that yields a number or a vector", metric.ErrBadQuery)
	default:
		return nil, fmt.Errorf("%w: it has a result of type %q: is targetServer an endpoint of Cloud Monitoring?", metric.ErrBadResponse, d.ResultType)
	}
	if d.ResultType == "matrix" && q.Window == 0 {
		return nil, fmt.Errorf("%w: it yields a range of samples: give one that yields a number or a vector, as with avg_over_time", metric.ErrBadQuery)
	}
	var series []metric.Series
	for _, one := range streams {
		if one.Histogram != nil || one.Histograms != nil {
			return nil, fmt.Errorf("%w: it yields a histogram: reduce it to numbers, as with histogram_quantile", metric.ErrBadQuery)
		}
		if samples := one.samples(q.Step == 0); len(samples) > 0 {
			series = append(series, metric.Series{Labels: one.Metric, Samples: samples})
		}
	}
	return series, nil
}

func decode(result json.RawMessage, into any) error {
	if err := json.Unmarshal(result, into); err != nil {
		return fmt.Errorf("%w: its result is none of PromQL: %w", metric.ErrBadResponse, err)
	}
	return nil
}

// samples are those of a series, or the newest of them.
func (s stream) samples(newest bool) []metric.Sample {
	points := s.Values
	if s.Value != nil {
		points = []point{*s.Value}
	}
	samples := make([]metric.Sample, len(points))
	for i, p := range points {
		samples[i] = metric.Sample(p)
	}
	slices.SortStableFunc(samples, func(x, y metric.Sample) int { return x.Time.Compare(y.Time) })
	if newest && len(samples) > 1 {
		return samples[len(samples)-1:]
	}
	return samples
}
