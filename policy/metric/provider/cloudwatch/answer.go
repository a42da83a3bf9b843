package cloudwatch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// A data is one MetricDataResult over all its pages, as AWS documents it
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataResult.html).
type data struct {
	ID         string           `json:"Id"`
	Label      string           `json:"Label"`
	StatusCode types.StatusCode `json:"StatusCode,omitempty"`
	Timestamps []time.Time      `json:"Timestamps"`
	Values     []number         `json:"Values"`
}

// A number is a value in JSON, which has no NaN and no infinity: they are strings.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	value := float64(n)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return json.Marshal(strconv.FormatFloat(value, 'g', -1, 64))
	}
	return json.Marshal(value)
}

// A place tells the results of a page apart: those of one query that is grouped
// have its id in common, and may have their label in common.
type place struct {
	id, label string
	nth       int
}

// An answer is the pages that have been read.
type answer struct {
	// limit is how many series may be held.
	limit    int
	all      []*data
	byPlace  map[place]*data
	warnings []string
	samples  int
}

// add takes a page.
func (a *answer) add(page *cloudwatch.GetMetricDataOutput) error {
	a.warn("", page.Messages)
	seen := map[place]int{}
	for _, r := range page.MetricDataResults {
		at := place{id: aws.ToString(r.Id), label: aws.ToString(r.Label)}
		nth := seen[at]
		seen[at]++
		at.nth = nth
		if err := a.addResult(at, r); err != nil {
			return err
		}
	}
	return nil
}

// addResult takes one result of a page.
func (a *answer) addResult(at place, r types.MetricDataResult) error {
	switch {
	case len(r.Timestamps) != len(r.Values):
		return fmt.Errorf("%w: result %q has %d timestamps and %d values", metric.ErrBadResponse, at.id, len(r.Timestamps), len(r.Values))
	case r.StatusCode == types.StatusCodeForbidden:
		return fmt.Errorf("%w: the credentials may not read %q", metric.ErrUnauthorized, at.id)
	case r.StatusCode == types.StatusCodeInternalError:
		return &metric.AnsweredError{Err: fmt.Errorf("%w: CloudWatch failed to read %q", metric.ErrUnreachable, at.id)}
	}
	one := a.byPlace[at]
	if one == nil {
		one = &data{ID: at.id, Label: at.label}
		if a.byPlace == nil {
			a.byPlace = map[place]*data{}
		}
		a.byPlace[at] = one
		a.all = append(a.all, one)
	}
	a.warn(at.id, r.Messages)
	one.StatusCode = r.StatusCode
	one.Timestamps = append(one.Timestamps, r.Timestamps...)
	for _, v := range r.Values {
		one.Values = append(one.Values, number(v))
	}
	a.samples += len(r.Values)
	if len(a.all) > a.limit || a.samples > connect.MaxSamples {
		return fmt.Errorf("%w: the query yields more than %d, or %d samples: aggregate them, or take a longer step", metric.ErrTooManySeries, a.limit, connect.MaxSamples)
	}
	return nil
}

// warn takes CloudWatch's own remarks, each once.
func (a *answer) warn(id string, messages []types.MessageData) {
	for _, m := range messages {
		text := fmt.Sprintf("%s: %s", aws.ToString(m.Code), aws.ToString(m.Value))
		if id != "" {
			text = id + ": " + text
		}
		if !slices.Contains(a.warnings, text) {
			a.warnings = append(a.warnings, text)
		}
	}
}

// result is what all pages yield: all samples, or the newest of each series. Data
// that are still partial after the last page are not to be judged by.
func (a *answer) result(s connect.Server, newest bool) (metric.Result, error) {
	var series []metric.Series
	for _, d := range a.all {
		if d.StatusCode == types.StatusCodePartialData {
			return metric.Result{}, &metric.AnsweredError{Err: fmt.Errorf("%w: CloudWatch has only a part of the data of %q: ask again, or for a shorter window", metric.ErrUnreachable, d.ID)}
		}
		if len(d.Values) == 0 {
			continue
		}
		series = append(series, d.series(newest))
	}
	if err := s.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	raw, err := json.Marshal(a.all)
	if err != nil {
		return metric.Result{}, fmt.Errorf("%w: %w", metric.ErrBadResponse, err)
	}
	return metric.Result{Series: series, Raw: raw, Warnings: a.warnings}, nil
}

// series is the samples in the order of time, or the newest of them.
func (d *data) series(newest bool) metric.Series {
	samples := make([]metric.Sample, len(d.Values))
	for i, v := range d.Values {
		samples[i] = metric.Sample{Time: d.Timestamps[i].UTC(), Value: float64(v)}
	}
	slices.SortStableFunc(samples, func(x, y metric.Sample) int { return x.Time.Compare(y.Time) })
	if newest {
		samples = samples[len(samples)-1:]
	}
	return metric.Series{Labels: map[string]string{"id": d.ID, "label": d.Label}, Samples: samples}
}
