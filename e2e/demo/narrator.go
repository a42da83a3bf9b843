package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/term"

	"github.com/keptn/gitops/e2e/stage"
)

// narrator writes the story, each line with the seconds since the begin.
type narrator struct {
	start time.Time
	out   io.Writer
	paint paint
}

// newNarrator returns one that begins now, and paints where people read on a terminal,
// see https://no-color.org.
func newNarrator(out *os.File) *narrator {
	n := &narrator{start: time.Now(), out: out, paint: plain}
	if term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" { //nolint:gosec // a file descriptor fits
		n.paint = coloured
	}
	return n
}

func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.out, "%6.1fs  %s\n", time.Since(n.start).Seconds(), fmt.Sprintf(format, args...))
}

// chapter begins a part of the story.
func (n *narrator) chapter(title string) {
	fmt.Fprintf(n.out, "\n%s\n%s\n", title, strings.Repeat("─", len([]rune(title))))
}

// marks show at a glance what a status means.
var marks = map[string]string{"pending": "…", "success": "✓", "warning": "!", "failure": "✗", "error": "?"}

func (n *narrator) status(s stage.Status, after time.Duration) {
	n.say("%s %-38s %-8s %s   (+%.1fs)", marks[s.State], s.Context, s.State, s.Description, after.Seconds())
}

// outcome is what is told of a commit at the end.
type outcome struct {
	chapter

	sha      string
	statuses []stage.Status
	leadTime string
}

// table is the list of commits with what they show.
func (n *narrator) table(outcomes []outcome) {
	w := tabwriter.NewWriter(n.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COMMIT\tMESSAGE\tCONTEXT\tSTATE\tDESCRIPTION\tLEAD TIME")
	for _, o := range outcomes {
		sha, message, lead := o.sha[:7], o.message, o.leadTime
		for _, s := range o.statuses {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", sha, message, s.Context, s.State, s.Description, lead)
			sha, message, lead = "", "", ""
		}
	}
	_ = w.Flush() // a narrator whose page is gone cannot say so
}

// trace draws the trace of a commit.
func (n *narrator) trace(spans []*tracepb.Span) {
	for _, line := range heading(spans[0]) {
		fmt.Fprintf(n.out, "%-10s  %s\n", line[0], line[1])
	}
	fmt.Fprintln(n.out)
	for _, line := range timeline(spans, n.paint) {
		fmt.Fprintln(n.out, line)
	}
}

// kept says how to go on where it was left up.
func (n *narrator) kept(work string) {
	n.chapter("It is still up")
	for _, name := range []string{
		"KUBECONFIG", "TESTBED_GIT_URL", "TESTBED_PROMETHEUS_URL",
		"TESTBED_GITEA_URL", "TESTBED_GITEA_USER", "TESTBED_GITEA_PASSWORD",
	} {
		if value := os.Getenv(name); value != "" {
			fmt.Fprintf(n.out, "export %s=%s\n", name, value)
		}
	}
	fmt.Fprintf(n.out, "\nworking copy: %s/shop\ntake it down: go -C e2e/testbed run . --name demo down\n", work)
}
