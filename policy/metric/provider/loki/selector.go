package loki

import (
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
)

// A logQuery is the log query within a metric query: the lines that it counts.
type logQuery struct {
	// expr is the log selector with its pipeline.
	expr string
	// window is the range in brackets, or 0 where it cannot be read.
	window time.Duration
	// offset is how far the range is shifted into the past.
	offset time.Duration
}

// logQueryOf takes the first log query out of a metric query
// (https://grafana.com/docs/loki/latest/query/metric_queries/): from the selector in
// braces to the end of its pipeline, without the range, its offset and the unwrap
// stage. It is not there, or not understood, where ok is false.
func logQueryOf(expr string) (q logQuery, ok bool) {
	s := scanner{text: expr}
	if !s.skipTo('{') {
		return q, false
	}
	begin := s.at
	if !s.skipTo('}') {
		return q, false
	}
	s.at++
	selector := s.text[begin:s.at]
	before, ok := s.pipeline()
	if !ok {
		return q, false
	}
	s.closeParentheses()
	if !s.readRange(&q) {
		return q, false
	}
	after, ok := s.pipeline() // a range may also stand before the pipeline
	if !ok {
		return q, false
	}
	q.expr = selector + logStages(before) + logStages(after)
	return q, true
}

// logStages are a pipeline without its unwrap stages, which no log query has.
func logStages(pipeline []string) string {
	var kept strings.Builder
	for _, stage := range pipeline {
		name := strings.TrimSpace(strings.TrimPrefix(stage, "|"))
		rest, unwraps := strings.CutPrefix(name, "unwrap")
		if unwraps && rest != strings.TrimLeftFunc(rest, unicode.IsSpace) {
			continue
		}
		if stage = strings.TrimSpace(stage); stage != "" {
			kept.WriteString(" " + stage)
		}
	}
	return kept.String()
}

// A scanner goes through a query, past its strings and comments.
type scanner struct {
	text string
	at   int
}

// next is the character at the current position, or 0 at the end.
func (s *scanner) next() byte {
	if s.at >= len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// skip goes past one character, one whole string, or one comment. A string
// without an end has false.
func (s *scanner) skip() bool {
	rest := s.text[s.at+1:]
	switch s.next() {
	case '`':
		end := strings.IndexByte(rest, '`')
		s.at += end + 2
		return end >= 0
	case '"':
		for i := 0; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '"':
				s.at += i + 2
				return true
			}
		}
		return false
	case '#':
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest) - 1
		}
		s.at += end + 2
	default:
		s.at++
	}
	return true
}

// skipTo goes to a character that is in no string, and says whether it is there.
func (s *scanner) skipTo(c byte) bool {
	for s.at < len(s.text) && s.text[s.at] != c {
		if !s.skip() {
			return false
		}
	}
	return s.at < len(s.text)
}

// pipeline goes to the end of a pipeline, and returns its stages. A range, or a
// parenthesis that it did not open, ends it.
func (s *scanner) pipeline() (stages []string, ok bool) {
	depth := 0
	var stage strings.Builder
	for s.at < len(s.text) {
		begin := s.at
		switch c := s.next(); {
		case depth == 0 && (c == ')' || c == '['):
			return append(stages, stage.String()), true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			stages = append(stages, stage.String())
			stage.Reset()
		}
		comment := s.next() == '#'
		if !s.skip() {
			return nil, false
		}
		if !comment {
			stage.WriteString(s.text[begin:s.at])
		}
	}
	return append(stages, stage.String()), depth == 0
}

func (s *scanner) skipSpace() {
	for s.at < len(s.text) && (s.text[s.at] == '#' || unicode.IsSpace(rune(s.text[s.at]))) {
		s.skip()
	}
}

// closeParentheses goes past those around the log query where a range follows them.
func (s *scanner) closeParentheses() {
	begin := s.at
	for s.skipSpace(); s.next() == ')'; s.skipSpace() {
		s.at++
	}
	if s.next() != '[' {
		s.at = begin
	}
}

// readRange reads a range in brackets and its offset, if they are there.
func (s *scanner) readRange(q *logQuery) bool {
	if s.next() != '[' {
		return true
	}
	begin := s.at + 1
	if !s.skipTo(']') {
		return false
	}
	if window, err := model.ParseDuration(strings.TrimSpace(s.text[begin:s.at])); err == nil {
		q.window = time.Duration(window)
	}
	s.at++
	s.skipSpace()
	rest, ok := strings.CutPrefix(s.text[s.at:], "offset")
	if !ok {
		return true
	}
	rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
	s.at = len(s.text) - len(rest)
	return s.readOffset(q)
}

// readOffset reads the duration of an offset, which can be negative.
func (s *scanner) readOffset(q *logQuery) bool {
	negative := s.next() == '-'
	if negative {
		s.at++
	}
	begin := s.at
	for c := s.next(); c >= '0' && c <= '9' || c >= 'a' && c <= 'z'; c = s.next() {
		s.at++
	}
	offset, err := model.ParseDuration(s.text[begin:s.at])
	if err != nil {
		return false
	}
	q.offset = time.Duration(offset)
	if negative {
		q.offset = -q.offset
	}
	return true
}
