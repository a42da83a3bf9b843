package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keptn/gitops/policy/metric"
)

const (
	// valuesStep is the time between two values of a series in a file.
	valuesStep = time.Minute
	// maxValues is how many values a series in a file has at most, as in an answer
	// of Prometheus.
	maxValues = 11_000
)

// parseValues reads the samples of a window that ends now: a list of numbers, or
// text. It yields none where the series ends stale.
func parseValues(name string, n *yaml.Node, now time.Time) ([]metric.Sample, error) {
	n = target(n)
	var points []point
	var err error
	switch {
	case n.Kind == yaml.SequenceNode:
		for i, element := range n.Content {
			v, err := parseNumber(fmt.Sprintf("%s[%d]", name, i), element)
			if err != nil {
				return nil, err
			}
			points = append(points, point{value: v})
		}
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		if points, err = parseNotation(n.Value); err != nil {
			return nil, misread(n, "%s: %v", name, err)
		}
	default:
		return nil, misread(n, "%s is neither a list of numbers nor a text as 0+10x5", name)
	}
	if len(points) > maxValues {
		return nil, misread(n, "%s has more than %d values", name, maxValues)
	}
	return samples(points, now), nil
}

// samples places points in time, the last of them now.
func samples(points []point, now time.Time) []metric.Sample {
	last := len(points) - 1
	if last < 0 || points[last].stale {
		return nil
	}
	var all []metric.Sample
	for i, p := range points {
		if !p.missing && !p.stale {
			all = append(all, metric.Sample{Time: now.Add(-time.Duration(last-i) * valuesStep), Value: p.value})
		}
	}
	return all
}

// A point is one value of a series, or none.
type point struct {
	value          float64
	missing, stale bool
}

// number is the notation of a number of promtool.
const number = `[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|NaN|Inf)`

var (
	missingValues  = regexp.MustCompile(`^_(?:x([0-9]+))?$`)
	repeatedValues = regexp.MustCompile(`^(` + number + `)(` + strings.Replace(number, "[+-]?", "[+-]", 1) + `)?x([0-9]+)$`)
	singleValue    = regexp.MustCompile(`^` + number + `$`)
)

// parseNotation reads values as promtool does: 5, 1+2x3 for 1 3 5 7, 1x3 for 1 1 1
// 1, _ and _x3 for values that are missing, and stale.
func parseNotation(text string) ([]point, error) {
	var points []point
	for _, word := range strings.Fields(text) {
		more, err := parseWord(word)
		if err != nil {
			return nil, err
		}
		if points = append(points, more...); len(points) > maxValues {
			break
		}
	}
	return points, nil
}

func parseWord(word string) ([]point, error) {
	if word == "stale" {
		return []point{{stale: true}}, nil
	}
	if found := missingValues.FindStringSubmatch(word); found != nil {
		n := 1
		if found[1] != "" {
			n = times(found[1])
		}
		points := make([]point, n)
		for i := range points {
			points[i].missing = true
		}
		return points, nil
	}
	if singleValue.MatchString(word) {
		v, err := strconv.ParseFloat(word, 64)
		return []point{{value: v}}, err
	}
	found := repeatedValues.FindStringSubmatch(word)
	if found == nil {
		return nil, fmt.Errorf("%q is no value: write 5, 0+10x5, _x3 or stale", shorten(word, maxText))
	}
	return repeat(found[1], found[2], times(found[3])+1)
}

// repeat are n values, each by a step above the one before.
func repeat(first, step string, n int) ([]point, error) {
	value, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil, err
	}
	increase := 0.0
	if step != "" {
		if increase, err = strconv.ParseFloat(step, 64); err != nil {
			return nil, err
		}
	}
	points := make([]point, n)
	for i := range points {
		points[i].value = value
		if i > 0 {
			points[i].value += float64(i) * increase
		}
	}
	return points, nil
}

// times is a number of repetitions, of which more than maxValues are too many
// anyhow.
func times(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return maxValues + 1
	}
	return min(n, maxValues+1)
}
