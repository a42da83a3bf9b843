package dql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/keptn/gitops/policy/metric"
)

// A result is the records of a query, and what types their fields have.
type result struct {
	Records  []record    `json:"records"`
	Types    []typeRange `json:"types"`
	Metadata struct {
		Grail struct {
			Notifications []struct {
				Message string `json:"message"`
			} `json:"notifications"`
		} `json:"grail"`
	} `json:"metadata"`
}

// A typeRange is the types of the fields of the records, or of the array elements,
// from the first to the last index of Range.
type typeRange struct {
	Range    []int                `json:"indexRange"`
	Mappings map[string]fieldType `json:"mappings"`
}

// A fieldType is the type of a field, and for an array those of its elements, under
// the name element.
type fieldType struct {
	Type  string      `json:"type"`
	Types []typeRange `json:"types"`
}

// A record is a JSON object that keeps the order of its fields.
type record []field

type field struct {
	name  string
	value json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler. A null is a record without fields.
func (r *record) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	switch open, err := decoder.Token(); {
	case err != nil:
		return err
	case open == nil:
		return nil
	case open != json.Delim('{'):
		return errors.New("a record is no object")
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		*r = append(*r, field{name.(string), value})
	}
	return nil
}

// series are the records that have a value.
func (r result) series(q metric.Query) ([]metric.Series, error) {
	var series []metric.Series
	for i, one := range r.Records {
		types := typesAt(r.Types, i)
		samples, err := one.samples(q, types)
		if err != nil {
			return nil, err
		}
		if len(samples) > 0 {
			series = append(series, metric.Series{Labels: one.labels(types), Samples: samples})
		}
	}
	return series, nil
}

// typesAt are the types of the fields of the record at index i, or none where the
// answer does not say.
func typesAt(all []typeRange, i int) map[string]fieldType {
	for _, t := range all {
		if len(t.Range) == 2 && t.Range[0] <= i && i <= t.Range[1] {
			return t.Mappings
		}
	}
	return nil
}

// samples are the values of the first array of numbers, or else the first number.
func (r record) samples(q metric.Query, types map[string]fieldType) ([]metric.Sample, error) {
	for _, f := range r {
		if values, ok := numbers(f.value, types[f.name]); ok {
			return r.timed(values, q)
		}
	}
	for _, f := range r {
		if value, ok := number(f.value, types[f.name].numeric()); ok {
			return []metric.Sample{{Time: q.At, Value: value}}, nil
		}
	}
	return nil, nil
}

// timed gives the values their times, and leaves out the nulls. Without a step it
// is the newest value, which without a timeframe is as of q.At.
func (r record) timed(values []*float64, q metric.Query) ([]metric.Sample, error) {
	start, interval, ok := r.slots()
	ok = ok && interval < math.MaxInt64/time.Duration(len(values))
	if !ok && q.Step > 0 {
		return nil, fmt.Errorf("%w: it yields values without a timeframe and an interval, but a step is asked for: use the command timeseries or makeTimeseries", metric.ErrBadQuery)
	}
	var samples []metric.Sample
	for i, value := range values {
		if value == nil {
			continue
		}
		at := q.At
		if ok {
			at = start.Add(time.Duration(i) * interval)
		}
		samples = append(samples, metric.Sample{Time: at, Value: *value})
	}
	if q.Step == 0 && len(samples) > 1 {
		samples = samples[len(samples)-1:]
	}
	return samples, nil
}

// slots are when a record's first value begins, and how far its values are apart:
// its fields timeframe and interval, the latter in nanoseconds
// (https://docs.dynatrace.com/docs/platform/grail/dynatrace-query-language/commands/metric-commands).
func (r record) slots() (start time.Time, interval time.Duration, ok bool) {
	for _, f := range r {
		switch f.name {
		case "timeframe":
			var frame struct {
				Start string `json:"start"`
			}
			if json.Unmarshal(f.value, &frame) == nil {
				start = instant(frame.Start)
			}
		case "interval":
			if n, isNumber := number(f.value, true); isNumber && n >= 1 && n < math.MaxInt64 {
				interval = time.Duration(n)
			}
		}
	}
	return start, interval, !start.IsZero() && interval > 0
}

// instant reads a time, which Grail may write without its seconds. It is zero if
// that is none.
func instant(text string) time.Time {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// labels are the fields that are strings: not numbers, times or durations, which
// are written as strings too.
func (r record) labels(types map[string]fieldType) map[string]string {
	labels := map[string]string{}
	for _, f := range r {
		t := types[f.name]
		if t.numeric() || t.Type == "duration" || t.Type == "timestamp" || f.name == "interval" {
			continue
		}
		var text *string
		if json.Unmarshal(f.value, &text) == nil && text != nil {
			labels[f.name] = *text
		}
	}
	return labels
}

// numeric says whether values of the type are numbers.
func (t fieldType) numeric() bool { return t.Type == "long" || t.Type == "double" }

// element is whether the elements of an array of the type are numbers.
func (t fieldType) element() bool {
	for _, some := range t.Types {
		if some.Mappings["element"].numeric() {
			return true
		}
	}
	return false
}

// numbers are the elements of an array of numbers and nulls. An array of other
// values, or of none, is no such array.
func numbers(raw json.RawMessage, t fieldType) ([]*float64, bool) {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil || len(elements) == 0 {
		return nil, false
	}
	values := make([]*float64, len(elements))
	for i, element := range elements {
		if string(element) == "null" {
			continue
		}
		value, ok := number(element, t.element())
		if !ok {
			return nil, false
		}
		values[i] = &value
	}
	return values, true
}

// number reads a JSON number, or a string if its type says that it is one: Grail
// writes long values, NaN and infinities so.
func number(raw json.RawMessage, quoted bool) (float64, bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, false
	}
	text := string(raw)
	if raw[0] == '"' {
		if !quoted || json.Unmarshal(raw, &text) != nil {
			return 0, false
		}
	}
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil
}
