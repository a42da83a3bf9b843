package openslo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A field is a value as it is written, and where; at is the place it would have if
// it is not given.
type field[T any] struct {
	value T
	given bool
	at    Place
}

// A mapping is a mapping whose fields are being read.
type mapping struct {
	found   *problems
	at      Place
	entries map[string]any
	given   bool
}

// mappingAt reads a value that has to be a mapping of the known fields; without
// known ones it can hold any.
func mappingAt(found *problems, at Place, value any, known ...string) mapping {
	entries, ok := value.(map[string]any)
	if !ok && value != nil {
		found.mistyped(at, "has to be a mapping, and not %s", kindOf(value))
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if len(known) > 0 && !slices.Contains(known, name) {
			found.add(at.child(name).key(), "unknown field %q%s (known here: %s)", name, didYouMean(name, known), strings.Join(known, ", "))
		}
	}
	return mapping{found: found, at: at, entries: entries, given: value != nil}
}

// mapping reads a field that is a mapping of the known fields.
func (m mapping) mapping(name string, known ...string) mapping {
	return mappingAt(m.found, m.at.child(name), m.entries[name], known...)
}

// list reads a field that is a list.
func (m mapping) list(name string) field[[]any] { return read[[]any](m, name, "a list", "") }

// text reads a field that is text.
func (m mapping) text(name string) field[string] {
	return read[string](m, name, "text", ": put it in quotes")
}

// boolean reads a field that is true or false.
func (m mapping) boolean(name string) field[bool] {
	return read[bool](m, name, "true or false", "")
}

// number reads a field that is a number.
func (m mapping) number(name string) field[float64] {
	if n, ok := m.entries[name].(int64); ok {
		return field[float64]{float64(n), true, m.at.child(name)}
	}
	return read[float64](m, name, "a number", "")
}

func read[T any](m mapping, name, wanted, how string) field[T] {
	f := field[T]{at: m.at.child(name)}
	value := m.entries[name]
	if f.value, f.given = value.(T); !f.given && value != nil {
		m.found.mistyped(f.at, "has to be %s, and not %s%s", wanted, kindOf(value), how)
	}
	return f
}

// kindOf names the type of a value; it never tells the value.
func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "text"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	case nil:
		return "nothing"
	case int64, float64:
		return "a number"
	default:
		return fmt.Sprintf("a %T", value)
	}
}
