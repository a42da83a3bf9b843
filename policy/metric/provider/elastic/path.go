package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

const (
	// maxDepth is how deep an answer is looked into.
	maxDepth = 64
	// maxNamed is how many candidates an error names.
	maxNamed = 10
	// total is the number of documents that a search finds.
	total = "hits.total.value"
)

// leaves are the numbers of an answer by their dotted paths, in which the elements
// of lists have their index. A null, which a search yields where there is nothing
// to measure, is nil.
type leaves map[string]*float64

// pick is the number that the path means, and its own path: the one at that very path, else the only
// one whose path ends in it, else the only one whose path contains it. Without a
// path it is the only number of the aggregations, or the number of hits of a
// search that has none. It is never one of several.
func pick(raw []byte, path string) (name string, value float64, err error) {
	all, err := flatten(raw)
	if err != nil {
		return "", 0, err
	}
	name, err = all.find(path)
	if err != nil {
		return "", 0, err
	}
	found := all[name]
	if found == nil {
		return "", 0, fmt.Errorf("%w: %s is null: there is nothing to measure", metric.ErrNoData, name)
	}
	return name, *found, nil
}

// find is the path of the number that is meant.
func (l leaves) find(path string) (string, error) {
	if path == "" {
		return l.only()
	}
	for _, match := range []func(string) bool{
		func(name string) bool { return name == path },
		func(name string) bool { return strings.HasSuffix(name, "."+path) },
		func(name string) bool { return strings.Contains(name, path) },
	} {
		switch names := l.names(match); len(names) {
		case 0:
		case 1:
			return names[0], nil
		default:
			return "", fmt.Errorf("%w: metricPath %q can be %s: give one of them", metric.ErrBadQuery, path, listed(names))
		}
	}
	if hits := l[total]; hits != nil && *hits == 0 {
		return "", fmt.Errorf("%w: the search finds no document, and so no %q", metric.ErrNoData, path)
	}
	return "", fmt.Errorf("%w: the answer has no number at metricPath %q: there is %s", metric.ErrBadQuery, path, listed(l.names(anyName)))
}

// only is the path of the number that needs not be named.
func (l leaves) only() (string, error) {
	names := l.names(func(name string) bool { return strings.HasPrefix(name, "aggregations.") })
	switch _, counted := l[total]; {
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0 && counted:
		return total, nil
	case len(names) == 0:
		return "", fmt.Errorf("%w: the answer has neither aggregations nor %s: give a metricPath: there is %s", metric.ErrBadQuery, total, listed(l.names(anyName)))
	default:
		return "", fmt.Errorf("%w: the answer has several numbers: give as metricPath one of %s", metric.ErrBadQuery, listed(names))
	}
}

func anyName(string) bool { return true }

// names are the paths that match, sorted.
func (l leaves) names(match func(string) bool) []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(l)), func(name string) bool { return !match(name) })
	slices.Sort(names)
	return names
}

// listed is the first of the names, and how many there are beyond.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	text := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if more := len(names) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// flatten finds all numbers of an answer.
func flatten(raw []byte) (leaves, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var root any
	if err := decoder.Decode(&root); err != nil {
		return nil, fmt.Errorf("%w: %w", metric.ErrBadResponse, err)
	}
	if _, ok := root.(map[string]any); !ok {
		return nil, fmt.Errorf("%w: it is no object: is the URL that of Elasticsearch?", metric.ErrBadResponse)
	}
	found, left := leaves{}, connect.MaxBytes
	if !found.add("", root, 0, &left) {
		return nil, fmt.Errorf("%w: the answer has too many values: give the search \"size\": 0, or aggregate", metric.ErrTooManySeries)
	}
	return found, nil
}

// add adds the numbers below a path. It says no where they are too deep, or their
// paths take more bytes than are left.
func (l leaves) add(path string, node any, depth int, left *int) bool {
	if *left -= len(path); depth > maxDepth || *left < 0 {
		return false
	}
	for name, child := range children(node) {
		if !l.add(join(path, name), child, depth+1, left) {
			return false
		}
	}
	switch value := node.(type) {
	case nil:
		l[path] = nil
	case json.Number:
		l.number(path, value.String())
	case string:
		if value == "NaN" || value == "Infinity" || value == "-Infinity" {
			l.number(path, value)
		}
	}
	return true
}

// children are the fields of an object or the elements of a list.
func children(node any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		switch value := node.(type) {
		case map[string]any:
			for name, child := range value {
				if !yield(name, child) {
					return
				}
			}
		case []any:
			for i, child := range value {
				if !yield(strconv.Itoa(i), child) {
					return
				}
			}
		}
	}
}

// number adds a number. The API writes NaN and infinities as strings.
func (l leaves) number(path, text string) {
	if value, err := strconv.ParseFloat(text, 64); err == nil {
		l[path] = &value
	}
}

// join is the path of a child.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
