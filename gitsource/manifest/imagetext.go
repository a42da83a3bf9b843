package manifest

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// edit replaces a part of a text, in bytes.
type edit struct {
	start, end int
	with       string
}

// applied makes the edits, each once.
func applied(content []byte, edits []edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	edits = slices.Compact(edits)
	var out []byte
	at := 0
	for _, e := range edits {
		if e.start < at {
			continue // within another one: what comes out is read again
		}
		out = append(append(out, content[at:e.start]...), e.with...)
		at = e.end
	}
	return append(out, content[at:]...)
}

// text is a file with the places of its lines.
type text struct {
	content []byte
	starts  []int // of the lines, in bytes
	newline string
}

var (
	byteOrderMark = []byte("\xef\xbb\xbf")
	// lineBreak is what the parser counts as one (YAML 1.1, §4.2).
	lineBreak = regexp.MustCompile("\r\n|\r|\n|\u0085|\u2028|\u2029")
)

func newText(content []byte) *text {
	t := &text{content: content, newline: "\n"}
	begin := 0
	if bytes.HasPrefix(content, byteOrderMark) {
		begin = len(byteOrderMark)
	}
	t.starts = append(t.starts, begin)
	for i, at := range lineBreak.FindAllIndex(content, -1) {
		if i == 0 && at[1]-at[0] == len("\r\n") && content[at[0]] == '\r' {
			t.newline = "\r\n"
		}
		t.starts = append(t.starts, at[1])
	}
	return t
}

// offset is where a node begins; ok is false if that is nowhere in the text.
func (t *text) offset(n *yaml.Node) (at int, ok bool) {
	if n.Line < 1 || n.Line > len(t.starts) || n.Column < 1 {
		return 0, false
	}
	at = t.starts[n.Line-1]
	for range n.Column - 1 {
		if at >= len(t.content) {
			return 0, false
		}
		_, width := utf8.DecodeRune(t.content[at:])
		at += width
	}
	return at, true
}

// token is where a scalar, or an alias, is written, its tag and anchor aside.
func (t *text) token(n *yaml.Node) (start, end int, ok bool) {
	start, ok = t.offset(n)
	if !ok || n.Kind != yaml.ScalarNode && n.Kind != yaml.AliasNode || n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str" {
		return 0, 0, false
	}
	for n.Kind == yaml.ScalarNode && start < len(t.content) && (t.content[start] == '&' || t.content[start] == '!') {
		rest := t.content[start:]
		word := bytes.IndexAny(rest, " \t\r\n")
		if word < 0 {
			return 0, 0, false
		}
		start += word + len(rest[word:]) - len(bytes.TrimLeft(rest[word:], " \t"))
	}
	written := writtenAs(n)
	end = start + len(written)
	return start, end, bytes.HasPrefix(t.content[start:], []byte(written))
}

// writtenAs is how a scalar in one line, or an alias, is written; a line break stands
// for one that is written in another way.
func writtenAs(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "*" + n.Value
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return "\n"
	case n.Style&yaml.SingleQuotedStyle != 0:
		return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return `"` + n.Value + `"`
	}
	return n.Value
}

// replace writes another value in the place of a scalar or an alias, in quotes if it was.
func (t *text) replace(n *yaml.Node, value string) (edit, bool) {
	start, end, ok := t.token(n)
	with := scalarText(value)
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&yaml.SingleQuotedStyle != 0:
		with = "'" + value + "'"
	case n.Kind == yaml.ScalarNode && n.Style&yaml.DoubleQuotedStyle != 0:
		with = `"` + value + `"`
	case ok && start == end: // nothing yet, right after the colon
		with = " " + with
	}
	return edit{start, end, with}, ok
}

// insertField adds a field to a mapping, after another one of it.
func (t *text) insertField(m, key, value *yaml.Node, field string) (edit, bool) {
	if m.Style&yaml.FlowStyle == 0 {
		return t.insertLines(value, key.Column-1, []string{field})
	}
	_, end, ok := t.token(value)
	return edit{end, end, ", " + field}, ok
}

// insertFlow adds an item before all others of a list in brackets.
func (t *text) insertFlow(list *yaml.Node, item string) (edit, bool) {
	at, ok := t.offset(list)
	if len(list.Content) > 0 {
		item += ", "
	}
	return edit{at + 1, at + 1, item}, ok && at < len(t.content) && t.content[at] == '['
}

// insertLines adds lines below the one on which a scalar is written.
func (t *text) insertLines(after *yaml.Node, indent int, lines []string) (edit, bool) {
	_, end, ok := t.token(after)
	if !ok {
		return edit{}, false
	}
	i, _ := slices.BinarySearch(t.starts, end+1)
	if i == len(t.starts) {
		return t.append(indent, lines), true
	}
	return edit{t.starts[i], t.starts[i], t.block(indent, lines)}, true
}

// append adds lines to the end of the text.
func (t *text) append(indent int, lines []string) edit {
	end, block := len(t.content), t.block(indent, lines)
	if end > t.starts[len(t.starts)-1] {
		block = t.newline + strings.TrimSuffix(block, t.newline)
	}
	return edit{end, end, block}
}

func (t *text) block(indent int, lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.Repeat(" ", indent) + line + t.newline)
	}
	return b.String()
}

// old are words that readers of YAML 1.1 take for booleans
// (https://yaml.org/type/bool.html).
var old = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$`)

// scalarText writes a value so that every reader takes it for text: 1.10 is a number.
func scalarText(value string) string {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if value == "" || n.ShortTag() != "!!str" || old.MatchString(value) {
		return `"` + value + `"`
	}
	return value
}
