package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// ParseMeasurements reads measurements from YAML or JSON:
//
//	metrics: {errors: 12, requests: 1000, p95: null}
//	baseline: {p95: 0.2}
//
// A value is a number, .nan or .inf, null (no data), or a list of series, each
// {labels: {…}, value: n}. Unknown and repeated keys are errors, which name the
// line.
func ParseMeasurements(data []byte) (metrics, baseline map[string]Value, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading measurements: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("reading measurements: there is more than one document")
	}
	sections := map[string]*map[string]Value{rootMetrics: &metrics, rootBaseline: &baseline}
	err = eachField(document.Content[0], "the file", func(key string, value *yaml.Node) error {
		section, ok := sections[key]
		if !ok {
			return misread(value, "unknown key %q: there is metrics and baseline", key)
		}
		*section, err = parseSection(key, value)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return metrics, baseline, nil
}

// parseSection reads the values below metrics or baseline.
func parseSection(name string, n *yaml.Node) (map[string]Value, error) {
	values := map[string]Value{}
	err := eachField(n, name, func(key string, value *yaml.Node) error {
		v, err := parseValue(name+"."+key, value)
		values[key] = v
		return err
	})
	return values, err
}

// parseValue reads one measurement.
func parseValue(name string, n *yaml.Node) (Value, error) {
	n = target(n)
	if n.Kind == yaml.SequenceNode {
		series := make([]Series, len(n.Content))
		for i, element := range n.Content {
			var err error
			if series[i], err = parseSeries(fmt.Sprintf("%s[%d]", name, i), element); err != nil {
				return Value{}, err
			}
		}
		return Vector(series), nil
	}
	if n.Tag == "!!null" {
		return Value{}, nil
	}
	number, err := parseNumber(name, n)
	return Number(number), err
}

// parseSeries reads {labels: {…}, value: n}.
func parseSeries(name string, n *yaml.Node) (Series, error) {
	s, valued := Series{Labels: map[string]string{}}, false
	err := eachField(n, name, func(key string, value *yaml.Node) (err error) {
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
			valued = true
			s.Value, err = parseNumber(name+".value", value)
			return err
		default:
			return misread(value, "unknown key %q in %s: there is labels and value", key, name)
		}
	})
	if err == nil && !valued {
		err = misread(n, "%s has no value", name)
	}
	return s, err
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
