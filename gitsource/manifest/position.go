package manifest

import (
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// inside maps a place in the text of a scalar to its place in the file.
//
// However a scalar is written, plain, quoted, or as a block, the characters
// that are not white space stand in the file in the order in which they are in
// the text; folding and indenting change white space only. So the n-th of them
// in the one is the n-th in the other (YAML 1.2.2, §7.3 and §8.1).
func (f *File) inside(n *yaml.Node, line, column int) Position {
	before, ended := visibleBefore(n.Value, line, column)
	s := f.scanner(n)
	var last rune
	at := s.position()
	for i := 0; i <= before; i++ {
		if ended && i == before {
			return Position{at.File, at.Line, at.Column + s.width}
		}
		if last, at = s.next(); last == 0 {
			break
		}
	}
	return at
}

// visibleBefore counts the characters, other than white space, that come before
// a place in a text; ended says that none comes after it.
func visibleBefore(text string, line, column int) (count int, ended bool) {
	l, c := 1, 1
	for i, r := range text {
		if l > line || l == line && c >= column {
			return count, strings.TrimSpace(text[i:]) == ""
		}
		if !unicode.IsSpace(r) {
			count++
		}
		if c++; r == '\n' {
			l, c = l+1, 1
		}
	}
	return count, true
}

// scanner walks over the characters of one scalar in the file.
type scanner struct {
	file   string
	lines  []string
	style  yaml.Style
	line   int // from 0
	column int // from 0, in runes
	runes  []rune
	width  int // of the last character, as written
}

// scanner stands before the first character of the scalar's text.
func (f *File) scanner(n *yaml.Node) *scanner {
	s := &scanner{file: f.Path, lines: f.lines, style: n.Style, line: n.Line - 1, column: n.Column - 1}
	s.load()
	s.skipProperties()
	switch {
	case s.style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		s.line, s.column = s.line+1, 0
		s.load()
	case s.style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		s.column++
	}
	return s
}

func (s *scanner) load() {
	s.runes = nil
	if s.line < len(s.lines) {
		s.runes = []rune(s.lines[s.line])
	}
}

func (s *scanner) position() Position { return Position{s.file, s.line + 1, s.column + 1} }

// skipProperties passes over a tag and an anchor, such as in !!str &name text.
func (s *scanner) skipProperties() {
	for s.seek() && (s.runes[s.column] == '!' || s.runes[s.column] == '&') {
		for s.column < len(s.runes) && !unicode.IsSpace(s.runes[s.column]) {
			s.column++
		}
	}
}

// seek moves to the next character that is not white space.
func (s *scanner) seek() bool {
	for ; s.line < len(s.lines); s.line, s.column = s.line+1, 0 {
		if s.column == 0 {
			s.load()
		}
		for ; s.column < len(s.runes); s.column++ {
			if !unicode.IsSpace(s.runes[s.column]) {
				return true
			}
		}
	}
	return false
}

// next returns the next character of the text that is not white space, and its
// place; 0 at the end of the file.
func (s *scanner) next() (rune, Position) {
	for s.seek() {
		at := s.position()
		r := s.take()
		if !unicode.IsSpace(r) {
			return r, at
		}
	}
	return 0, s.position()
}

// take reads one character as it is written, with its escape.
func (s *scanner) take() rune {
	r := s.runes[s.column]
	s.width = 1
	switch {
	case s.style&yaml.SingleQuotedStyle != 0 && r == '\'':
		s.width = 2
	case s.style&yaml.DoubleQuotedStyle != 0 && r == '\\':
		r = s.escape()
	}
	s.column += s.width
	return r
}

// escape reads an escape of a double-quoted scalar (YAML 1.2.2, §5.7).
func (s *scanner) escape() rune {
	s.width = 2
	if s.column+1 >= len(s.runes) {
		return ' ' // an escaped line break
	}
	digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}
	switch c := s.runes[s.column+1]; c {
	case 'x', 'u', 'U':
		end := min(s.column+2+digits[c], len(s.runes))
		code, _ := strconv.ParseUint(string(s.runes[s.column+2:end]), 16, 32)
		s.width += digits[c]
		return rune(code)
	case 'n', 't', 'r', 'v', 'f', 'N', '_', 'L', 'P', ' ', '\t', '\r':
		return ' '
	default:
		return c
	}
}
