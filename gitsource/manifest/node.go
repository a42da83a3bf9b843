package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What one document may hold; far above what a person writes, and far below
// what aliases can be made to expand to.
const (
	maxDepth  = 100
	maxValues = 100_000
)

// decoder turns the nodes of one document into the values that JSON has, and
// notes what is wrong on the way.
type decoder struct {
	file     string
	values   int
	overflow bool
	alias    *yaml.Node // the outermost one that is being followed
	problems Problems
}

// at is the place of a node.
func (d *decoder) at(n *yaml.Node) Position { return place(d.file, n) }

func place(file string, n *yaml.Node) Position {
	return Position{File: file, Line: max(n.Line, 1), Column: max(n.Column, 1)}
}

// value returns nil, bool, string, int64, float64, []any or map[string]any. An
// entry whose value is null is kept: null can stand where a field is unknown.
func (d *decoder) value(n *yaml.Node, depth int) any {
	d.values++
	if d.overflow {
		return nil
	}
	if d.values > maxValues || depth > maxDepth {
		d.overflow = true
		at := n
		if d.alias != nil {
			at = d.alias
		}
		d.problems.add(d.at(at), "the document is nested deeper than %d levels, or its aliases expand to more than %d values: write it plainly", maxDepth, maxValues)
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		if d.alias == nil {
			d.alias = n
			defer func() { d.alias = nil }()
		}
		return d.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, d.value(item, depth+1))
		}
		return list
	case yaml.MappingNode:
		return d.mapping(n, depth)
	case yaml.ScalarNode:
		return d.scalar(n)
	default:
		return nil
	}
}

func (d *decoder) mapping(n *yaml.Node, depth int) map[string]any {
	m := make(map[string]any, len(n.Content)/2)
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch prior := first[key.Value]; {
		case isMerge(key):
			d.merge(m, first, value, depth)
			continue
		case key.Kind != yaml.ScalarNode:
			d.problems.add(d.at(key), "a key has to be a plain name, not a %s", kindName(key))
			continue
		case prior != nil:
			d.problems.add(d.at(key), "the key %q is given twice: it is already at line %d", key.Value, prior.Line)
			continue
		}
		first[key.Value] = key
		m[key.Value] = d.value(value, depth+1)
	}
	return m
}

// merge adds the entries of a << key, which yield to those of the mapping
// itself (https://yaml.org/type/merge.html).
func (d *decoder) merge(m map[string]any, own map[string]*yaml.Node, n *yaml.Node, depth int) {
	from := n
	if from.Kind == yaml.AliasNode {
		from = from.Alias
	}
	if from.Kind == yaml.SequenceNode {
		for _, item := range from.Content {
			d.merge(m, own, item, depth+1)
		}
		return
	}
	if from.Kind != yaml.MappingNode {
		d.problems.add(d.at(n), "<< merges mappings, not a %s", kindName(from))
		return
	}
	merged, _ := d.value(from, depth+1).(map[string]any)
	for key, value := range merged {
		if _, given := m[key]; !given && own[key] == nil {
			m[key] = value
		}
	}
}

func (d *decoder) scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		return d.plain(n)
	default:
		d.problems.add(d.at(n), "the tag %s is not supported here: remove it", n.Tag)
		return nil
	}
}

// plain decodes a boolean or a number.
func (d *decoder) plain(n *yaml.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		d.problems.add(d.at(n), "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64:
		return float64(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			d.problems.add(d.at(n), "%s is not a number here: put it in quotes if it is meant as text", n.Value)
			return nil
		}
	}
	return v
}

func isMerge(key *yaml.Node) bool { return key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" }

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	case yaml.AliasNode:
		return kindName(n.Alias)
	default:
		return "single value"
	}
}

// shift moves a node and all below it down by a number of lines.
func shift(n *yaml.Node, lines int) {
	n.Line += lines
	for _, c := range n.Content {
		shift(c, lines)
	}
}

// entry is a node found by its path: its value and, in a mapping, its key.
type entry struct{ key, value *yaml.Node }

// find follows a path such as spec.rules[0].expression or
// metadata.labels[example.com/team]. If the path leads nowhere, the deepest
// entry on the way is returned and found is false.
func find(root *yaml.Node, path string) (e entry, found bool) {
	e = entry{value: root}
	for range maxDepth {
		path = strings.TrimPrefix(path, ".")
		if path == "" {
			return e, true
		}
		next, rest, ok := step(resolve(e.value), path)
		if !ok {
			return e, false
		}
		e, path = next, rest
	}
	return e, false
}

// step takes the first element off a path.
func step(n *yaml.Node, path string) (next entry, rest string, ok bool) {
	switch n.Kind {
	case yaml.SequenceNode:
		index, rest, ok := bracketed(path)
		i, err := strconv.Atoi(index)
		if !ok || err != nil || i < 0 || i >= len(n.Content) {
			return entry{}, "", false
		}
		return entry{value: n.Content[i]}, rest, true
	case yaml.MappingNode:
		if name, rest, ok := bracketed(path); ok {
			e, found := lookup(n, name)
			return e, rest, found
		}
		return longestKey(n, path)
	default:
		return entry{}, "", false
	}
}

// longestKey finds the key that a path begins with: a key can hold dots, which
// a path does not tell from the ones between its elements.
func longestKey(n *yaml.Node, path string) (best entry, rest string, ok bool) {
	length := -1
	consider := func(e entry) {
		name := e.key.Value
		after, has := strings.CutPrefix(path, name)
		if has && len(name) > length && (after == "" || after[0] == '.' || after[0] == '[') {
			best, rest, ok, length = e, after, true, len(name)
		}
	}
	entries(n, 0, consider)
	return best, rest, ok
}

func lookup(n *yaml.Node, name string) (found entry, ok bool) {
	entries(n, 0, func(e entry) {
		if !ok && e.key.Value == name {
			found, ok = e, true
		}
	})
	return found, ok
}

// entries visits the entries of a mapping, its own before those it merges.
func entries(n *yaml.Node, depth int, visit func(entry)) {
	if n.Kind != yaml.MappingNode || depth > maxDepth {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			visit(entry{n.Content[i], n.Content[i+1]})
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		from := resolve(n.Content[i+1])
		if from.Kind != yaml.SequenceNode {
			entries(from, depth+1, visit)
			continue
		}
		for _, item := range from.Content {
			entries(resolve(item), depth+1, visit)
		}
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// bracketed cuts a leading [name] off a path.
func bracketed(path string) (name, rest string, ok bool) {
	if path == "" || path[0] != '[' {
		return "", path, false
	}
	name, rest, ok = strings.Cut(path[1:], "]")
	return name, rest, ok
}

// child is the path of a field below another.
func child(path, name string) string {
	if path == "" {
		return name
	}
	return fmt.Sprintf("%s.%s", path, name)
}
