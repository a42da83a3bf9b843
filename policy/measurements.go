package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"
)

// ParseMeasurements reads the input of an evaluation from YAML or JSON:
//
//	metrics: {errors: 12, requests: 1000, p95: null}
//	baseline: {p95: 0.2}
//	slo:
//	  availability: {objective: 99.9, window: 30d, good: 9990, total: 10000, burned: 0.03, burn: {1h: 14.4}}
//	  latency: {budgetRemaining: 0.4}
//	params: {region: eu}
//	commit: {sha: 5d41402, message: "fix: x", files: [main.go]}
//	commits: [{sha: 5d41402, message: "fix: x"}]
//	rollout: {app: checkout, version: 1.2.3, startedAt: 2026-01-02T15:00:00Z}
//	now: 2026-01-02T15:04:05Z
//
// A metric is a number, .nan or .inf, null (no data), or a list of series, each
// {labels: {…}, value: n}. In place of value a series can have the values of a
// window that ends now, one a minute: a list of numbers, or a text in the notation
// of promtool
// (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series),
// as "0+10x5 _x3 stale". A series that ends stale is left out.
//
// An SLO's objective is a percentage, as in a policy, and its window 30d unless it
// is given. Burned is the fraction of the budget that the rollout used up. Where it, or
// a burn rate, is null it was not measured. Commits are the newest first.
//
// Without now it is the given time. Unknown and repeated keys are errors, which
// name the line.
func ParseMeasurements(data []byte, now time.Time) (Input, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return Input{Now: now}, nil
	case err != nil:
		return Input{}, fmt.Errorf("reading measurements: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Input{}, errors.New("reading measurements: there is more than one document")
	}
	return parseInput(document.Content[0], now)
}

// parseInput reads the sections. The time comes first: series end with it.
func parseInput(n *yaml.Node, now time.Time) (Input, error) {
	in := Input{Now: now}
	sections := map[string]func(name string, n *yaml.Node) error{
		rootNow: func(name string, n *yaml.Node) error { return decodeStrict(name, n, &in.Now) },
	}
	first := func(key string, value *yaml.Node) error {
		if read, ok := sections[key]; ok {
			return read(key, value)
		}
		return nil
	}
	if err := eachField(n, "the file", first); err != nil {
		return Input{}, err
	}
	values := func(to *map[string]Value) func(string, *yaml.Node) error {
		return func(name string, n *yaml.Node) (err error) {
			*to, err = parseSection(name, n, func(name string, n *yaml.Node) (Value, error) { return parseValue(name, n, in.Now) })
			return err
		}
	}
	sections = map[string]func(string, *yaml.Node) error{
		rootNow:      func(string, *yaml.Node) error { return nil },
		rootMetrics:  values(&in.Metrics),
		rootBaseline: values(&in.Baseline),
		rootSLO: func(name string, n *yaml.Node) (err error) {
			in.SLOs, err = parseSLOs(name, n)
			return err
		},
		rootParams:         func(name string, n *yaml.Node) error { return decodeStrict(name, n, &in.Params) },
		rootCommit:         func(name string, n *yaml.Node) error { return decodeStrict(name, n, &in.Commit) },
		rootCommits:        func(name string, n *yaml.Node) error { return decodeStrict(name, n, &in.Commits) },
		"commitsTruncated": func(name string, n *yaml.Node) error { return decodeStrict(name, n, &in.CommitsTruncated) },
		rootRollout:        func(name string, n *yaml.Node) error { return decodeStrict(name, n, &in.Rollout) },
	}
	err := eachField(n, "the file", func(key string, value *yaml.Node) error {
		read, ok := sections[key]
		if !ok {
			return misread(value, "unknown key %q: there is metrics, baseline, slo, params, commit, commits, commitsTruncated, rollout and now", key)
		}
		return read(key, value)
	})
	if err != nil {
		return Input{}, err
	}
	return in, nil
}

// decodeStrict reads a value by its JSON names, and refuses others. Null leaves
// the zero value.
func decodeStrict(name string, n *yaml.Node, to any) error {
	n = target(n)
	var value any
	if err := n.Decode(&value); err != nil {
		return misread(n, "%s: %v", name, err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return misread(n, "%s: %v", name, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return misread(n, "%s is not as it should be: %v", name, err)
	}
	return nil
}

// parseSection reads the values of a mapping.
func parseSection[T any](name string, n *yaml.Node, parse func(name string, n *yaml.Node) (T, error)) (map[string]T, error) {
	values := map[string]T{}
	err := eachField(n, name, func(key string, value *yaml.Node) error {
		v, err := parse(name+"."+key, value)
		values[key] = v
		return err
	})
	return values, err
}

// parseValue reads one measurement.
func parseValue(name string, n *yaml.Node, now time.Time) (Value, error) {
	n = target(n)
	if n.Kind == yaml.SequenceNode {
		var series []Series
		for i, element := range n.Content {
			s, current, err := parseSeries(fmt.Sprintf("%s[%d]", name, i), element, now)
			if err != nil {
				return Value{}, err
			}
			if current {
				series = append(series, s)
			}
		}
		if len(series) == 0 && len(n.Content) > 0 {
			return Stale("no series has a current value"), nil
		}
		return Vector(series), nil
	}
	if n.Tag == "!!null" {
		return Value{}, nil
	}
	number, err := parseNumber(name, n)
	return Number(number), err
}

// parseSeries reads {labels: {…}, value: n} or {labels: {…}, values: …}. A series
// that ends stale, or has no sample, is not current.
func parseSeries(name string, n *yaml.Node, now time.Time) (s Series, current bool, err error) {
	s.Labels = map[string]string{}
	valued := 0
	err = eachField(n, name, func(key string, value *yaml.Node) (err error) {
		switch key {
		case "labels":
			return eachField(value, name+".labels", func(label string, v *yaml.Node) error {
				if v = target(v); v.Kind != yaml.ScalarNode {
					return misread(v, "%s.labels.%s is no text", name, label)
				}
				s.Labels[label] = v.Value
				return nil
			})
		case "value":
			valued, current = valued+1, true
			s.Value, err = parseNumber(name+".value", value)
			return err
		case "values":
			valued++
			s.Samples, err = parseValues(name+".values", value, now)
			if current = len(s.Samples) > 0; current {
				s.Value = s.Samples[len(s.Samples)-1].Value
			}
			return err
		default:
			return misread(value, "unknown key %q in %s: there is labels, value and values", key, name)
		}
	})
	if err == nil && valued != 1 {
		err = misread(n, "%s has to have one of value and values", name)
	}
	return s, current, err
}

// parseNumber reads a number.
func parseNumber(name string, n *yaml.Node) (float64, error) {
	n = target(n)
	var number float64
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" || n.Decode(&number) != nil {
		return 0, misread(n, "%s is neither a number, .nan, null nor a list of series", name)
	}
	return number, nil
}

// eachField calls f with each key of a mapping and its value.
func eachField(n *yaml.Node, name string, f func(key string, value *yaml.Node) error) error {
	n = target(n)
	if n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return misread(n, "%s is no mapping of names to values", name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			return misread(key, "%q is given twice in %s", key.Value, name)
		}
		seen[key.Value] = true
		if err := f(key.Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// target is what an alias stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// misread is an error of the file's author.
func misread(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...))
}
