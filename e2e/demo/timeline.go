package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/keptn/gitops/e2e/internal/collector"
)

const (
	// barWidth is how many characters the whole of a trace takes.
	barWidth = 32
	// maxSpans is how many spans are shown: what fits a screen.
	maxSpans = 20
)

// A paint colours a text; plain leaves it as it is.
type paint func(colour, text string) string

// The colours of a terminal, https://en.wikipedia.org/wiki/ANSI_escape_code#SGR.
const (
	green = "\x1b[32m"
	red   = "\x1b[31m"
	faint = "\x1b[2m"
	reset = "\x1b[0m"
)

func plain(_, text string) string { return text }

func coloured(colour, text string) string { return colour + text + reset }

// A node is a span and those below it.
type node struct {
	*tracepb.Span
	// rule is what the tree draws before its name.
	rule     string
	children []*node
}

// forest puts spans below their parents, those that begin first before others. Spans
// whose parents are not among them are roots.
func forest(spans []*tracepb.Span) []*node {
	byID := map[string]*node{}
	var nodes, roots []*node
	for _, span := range spans {
		if id := string(span.GetSpanId()); byID[id] == nil { // it may have come twice
			byID[id] = &node{Span: span}
			nodes = append(nodes, byID[id])
		}
	}
	for _, n := range nodes {
		if parent := byID[string(n.GetParentSpanId())]; parent != nil {
			parent.children = append(parent.children, n)
		} else {
			roots = append(roots, n)
		}
	}
	for _, n := range nodes {
		byStart(n.children)
	}
	byStart(roots)
	return roots
}

func byStart(nodes []*node) {
	slices.SortStableFunc(nodes, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()), cmp.Compare(a.GetEndTimeUnixNano(), b.GetEndTimeUnixNano()))
	})
}

// flatten lists nodes as they are drawn: each before those below it.
func flatten(nodes []*node, indent string, below bool) []*node {
	var all []*node
	for i, n := range nodes {
		deeper := indent
		if below {
			n.rule, deeper = indent+"├ ", indent+"│ "
			if i == len(nodes)-1 {
				n.rule, deeper = indent+"└ ", indent+"  "
			}
		}
		all = append(all, n)
		all = append(all, flatten(n.children, deeper, true)...)
	}
	return all
}

// timeline draws a trace: a line for each span, with a bar that shows when it was, how
// long it took, and what it says of itself.
func timeline(spans []*tracepb.Span, colour paint) []string {
	nodes := flatten(forest(spans), "", false)
	if len(nodes) == 0 {
		return nil
	}
	rest := len(nodes) - maxSpans
	nodes = nodes[:min(len(nodes), maxSpans)]
	begin, end, width := nodes[0].GetStartTimeUnixNano(), nodes[0].GetEndTimeUnixNano(), 0
	for _, n := range nodes {
		begin, end = min(begin, n.GetStartTimeUnixNano()), max(end, n.GetEndTimeUnixNano())
		width = max(width, utf8.RuneCountInString(n.rule+n.GetName()))
	}
	var lines []string
	for _, n := range nodes {
		mark, shade := n.result()
		name := fmt.Sprintf("%-*s", width-utf8.RuneCountInString(n.rule), n.GetName())
		line := fmt.Sprintf("%s%s %s %s %6s  %s", colour(faint, n.rule), name, colour(shade, mark),
			colour(shade, n.bar(begin, end)), n.took(), n.says(colour))
		lines = append(lines, strings.TrimRight(line, " "))
	}
	if rest > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more spans", rest))
	}
	return lines
}

// bar is where the span lies in the time from begin to end.
func (n *node) bar(begin, end uint64) string {
	at := func(t uint64) int { return int((t - begin) * barWidth / max(1, end-begin)) }
	from, to := at(n.GetStartTimeUnixNano()), at(n.GetEndTimeUnixNano())
	if from == to { // it has no length to be seen
		from = min(from, barWidth-1)
		return strings.Repeat(" ", from) + "▏" + strings.Repeat(" ", barWidth-from-1)
	}
	return strings.Repeat(" ", from) + strings.Repeat("█", to-from) + strings.Repeat(" ", barWidth-to)
}

func (n *node) took() string {
	took := time.Duration(n.GetEndTimeUnixNano() - n.GetStartTimeUnixNano()) //nolint:gosec // a span is shorter than 292 years
	return took.Round(10 * time.Millisecond).String()
}

// result is how the span ended, as a mark and its colour.
func (n *node) result() (mark, colour string) {
	switch n.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_OK:
		return marks["success"], green
	case tracepb.Status_STATUS_CODE_ERROR:
		return marks["failure"], red
	default:
		return " ", faint
	}
}

// says is what is worth seeing of a span besides its times: its message, and what its
// check came to.
func (n *node) says(colour paint) string {
	var parts []string
	if message := n.message(); message != "" {
		shade := faint
		if n.GetStatus().GetMessage() != "" {
			shade = red
		}
		parts = append(parts, colour(shade, message))
	}
	for _, a := range []struct{ name, key string }{
		{"score ", "keptn.deployment.evaluation.score"},
		{"exit code ", "keptn.deployment.task.exit_code"},
	} {
		if value := collector.Attribute(n.Span, a.key); value != "" {
			parts = append(parts, a.name+value)
		}
	}
	return strings.Join(parts, "  ")
}

// message is that of the span's status, or its last event, unless that says no more than
// that it ended.
func (n *node) message() string {
	if message := n.GetStatus().GetMessage(); message != "" {
		return message
	}
	events := n.GetEvents()
	if len(events) == 0 {
		return ""
	}
	last := events[len(events)-1].GetName()
	if strings.HasSuffix(last, " has succeeded") || strings.HasSuffix(last, " has finished") {
		return ""
	}
	return last
}

// heading says what a trace is about, by the attributes of one of its spans.
func heading(span *tracepb.Span) [][2]string {
	attribute := func(key string) string { return collector.Attribute(span, key) }
	return [][2]string{
		{"trace", hex.EncodeToString(span.GetTraceId())},
		{"app", attribute("keptn.deployment.app.name") + " in " + attribute("deployment.environment.name")},
		{"commit", fmt.Sprintf("%.7s, written %s, evidence: %s", attribute(revision), attribute("keptn.commit.author_time"),
			strings.ToLower(attribute("keptn.commit.evidence")))},
		{"repository", attribute("vcs.repository.url.full")},
	}
}
