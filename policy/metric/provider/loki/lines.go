package loki

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// What is shown of the logs at most.
const (
	maxLines     = 5
	maxLineBytes = 500
)

// defaultRange is how far back lines are looked for where the query has no range
// that can be read.
const defaultRange = 5 * time.Minute

// addLines adds the newest lines that a query has counted, if it asks for them and
// any number of it is above 0. That there are none to be had is a warning.
func (l *querier) addLines(ctx context.Context, q metric.Query, result *metric.Result) {
	if !q.Lines || !slices.ContainsFunc(result.Samples(), func(s metric.Sample) bool { return s.Value > 0 }) {
		return
	}
	logs, ok := logQueryOf(q.Expr)
	if !ok {
		return
	}
	lines, err := l.lines(ctx, q, logs)
	if err != nil {
		result.Warnings = append(result.Warnings, fmt.Sprintf("there are no log lines to show: %v", connect.Error(ctx, err)))
		return
	}
	result.Lines = lines
}

// lines are the newest lines of the window, or of the query's own range.
func (l *querier) lines(ctx context.Context, q metric.Query, logs logQuery) ([]string, error) {
	end := q.At.Add(-logs.offset)
	answer, err := l.get(ctx, "query_range", url.Values{
		"query":     {logs.expr},
		"start":     {nanoseconds(end.Add(-cmp.Or(q.Window, logs.window, defaultRange)))},
		"end":       {nanoseconds(end)},
		"limit":     {strconv.Itoa(maxLines)},
		"direction": {"backward"},
	})
	if err != nil {
		return nil, err
	}
	return answer.lines()
}

// An entry is a line at a time, in nanoseconds since 1970. What else an entry has,
// such as its structured metadata, is left out.
type entry struct {
	time int64
	line string
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *entry) UnmarshalJSON(data []byte) error {
	var fields []json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	if len(fields) < 2 {
		return errors.New("an entry is a time and a line")
	}
	var at string
	if err := json.Unmarshal(fields[0], &at); err != nil {
		return err
	}
	var err error
	if e.time, err = strconv.ParseInt(at, 10, 64); err != nil {
		return err
	}
	return json.Unmarshal(fields[1], &e.line)
}

// lines are those of all streams, the newest first.
func (a *answer) lines() ([]string, error) {
	var streams []struct {
		Values []entry `json:"values"`
	}
	if a.Data.ResultType != "streams" {
		return nil, fmt.Errorf("%w: it is no log", metric.ErrBadResponse)
	}
	if err := json.Unmarshal(a.Data.Result, &streams); err != nil {
		return nil, fmt.Errorf("%w: it is no log: %w", metric.ErrBadResponse, err)
	}
	var entries []entry
	for _, s := range streams {
		entries = append(entries, s.Values...)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(b.time, a.time) })
	var lines []string
	for _, e := range entries[:min(len(entries), maxLines)] {
		lines = append(lines, clean(e.line))
	}
	return lines, nil
}

// clean is a text that is safe to show: cut, and without the characters that steer
// a terminal or the direction of writing.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.TrimSpace(text)
	if len(text) <= maxLineBytes {
		return text
	}
	end := maxLineBytes
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
