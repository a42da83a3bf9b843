package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/keptn/gitops/dora"
)

// printDora prints the metrics, their trend, and the deployments with their commits.
func printDora(w io.Writer, rows []doraRow) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "no deployments found")
		return err
	}
	var text strings.Builder
	for i := range rows {
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "%s in %s\n", rows[i].App, rows[i].Environment)
		rows[i].writeMetrics(&text)
		rows[i].writeTrend(&text, isTerminal(w))
		rows[i].writeRecords(&text)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (r *doraRow) writeMetrics(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(metric, value, of string, level dora.Level) {
		cells := []string{"  " + metric, value, of}
		if level != "" {
			cells = append(cells, string(level))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	lead, of := r.LeadTime, countOf(r.LeadTime.Count, "commit")
	if lead.Invalid > 0 {
		of += fmt.Sprintf(", %d invalid", lead.Invalid)
	}
	value := seconds(lead.P50Seconds)
	if lead.P90Seconds != nil {
		value += ", p90 " + seconds(lead.P90Seconds)
	}
	line("change lead time", value, of, r.Bands.LeadTime)
	line("deployment frequency", fmt.Sprintf("%.2f a day", r.DeploymentsPerDay), countOf(r.Deployments, "deployment"), r.Bands.DeploymentFrequency)
	line("failed deployment recovery time", seconds(r.Recovery.P50Seconds), countOf(r.Recovery.Count, "recovery"), r.Bands.Recovery)
	line("change fail rate", shareText(r.ChangeFailRate), fmt.Sprintf("%d of %d", r.FailedDeployments, r.Deployments), r.Bands.ChangeFailRate)
	rework := 0
	for i := range r.Records {
		if r.Records[i].Rework {
			rework++
		}
	}
	line("deployment rework rate", shareText(r.ReworkRate), fmt.Sprintf("%d of %d", rework, r.Deployments), "")
	_ = table.Flush() // a string takes all
}

// writeTrend writes how often was deployed, as bars on a terminal, else in numbers.
func (r *doraRow) writeTrend(w io.Writer, terminal bool) {
	if len(r.Trend) < 2 {
		return
	}
	last := r.Trend[len(r.Trend)-1]
	by := map[time.Duration]string{dora.Day: "day", dora.Week: "week", dora.Month: "30 days"}[last.To.Sub(last.From)]
	var counts []int
	for _, p := range r.Trend {
		counts = append(counts, p.Deployments)
	}
	fmt.Fprintf(w, "  deployments by %s, until %s: ", by, last.To.UTC().Format(minute))
	if terminal {
		fmt.Fprintln(w, sparkline(counts))
	} else {
		fmt.Fprintln(w, strings.Trim(fmt.Sprint(counts), "[]"))
	}
}

func (r *doraRow) writeRecords(w io.Writer) {
	commits := r.Commits
	for i := range r.Records {
		record := &r.Records[i]
		fmt.Fprintf(w, "  %s  %.7s  %s\n", record.FinishedAt.UTC().Format(minute), record.Commit, record.text())
		if record.Problem != "" {
			fmt.Fprintf(w, "    %s\n", record.Problem)
		}
		if record.Kind != dora.Forward {
			continue
		}
		for len(commits) > 0 && commits[0].DeployedBy == record.Commit {
			if c := commits[0]; c.LeadTimeSeconds != nil {
				fmt.Fprintf(w, "    %.7s  %s\n", c.SHA, seconds(c.LeadTimeSeconds))
			} else {
				fmt.Fprintf(w, "    %.7s  invalid: %s\n", c.SHA, c.Problem)
			}
			commits = commits[1:]
		}
	}
}

// minute is how times are printed, in UTC.
const minute = "2006-01-02 15:04"

// text says what a deployment did and what became of it.
func (r *doraRecord) text() string {
	text := string(r.Kind)
	if len(r.FailedBy) > 0 && r.Kind != dora.Failed {
		text += ", failed"
	}
	var why []string
	for _, cause := range r.FailedBy {
		if cause != dora.CauseResult && cause != dora.CauseIncident {
			why = append(why, string(cause))
		}
	}
	if len(r.Incidents) > 0 {
		why = append(why, "incident "+strings.Join(r.Incidents, " and "))
	}
	if len(why) > 0 {
		text += fmt.Sprintf(" (%s)", strings.Join(why, ", "))
	}
	if r.RecoverySeconds != nil {
		text += ", mended after " + seconds(r.RecoverySeconds)
	}
	if r.Rework {
		text += ", rework"
	}
	return text
}

// seconds writes a number of seconds in its two largest units, "-" for none.
func seconds(n *float64) string {
	if n == nil {
		return "-"
	}
	d := time.Duration(*n * float64(time.Second)).Round(time.Second)
	units := []struct {
		name string
		is   time.Duration
	}{{"d", dora.Day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var parts []string
	for i, u := range units {
		if count := d / u.is; count > 0 {
			parts = append(parts, fmt.Sprintf("%d%s", count, u.name))
			if rest := d % u.is; i+1 < len(units) && rest >= units[i+1].is {
				parts = append(parts, fmt.Sprintf("%d%s", rest/units[i+1].is, units[i+1].name))
			}
			return strings.Join(parts, " ")
		}
	}
	return "0s"
}

func shareText(share *float64) string {
	if share == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", *share*100)
}

// countOf writes how many there are of something.
func countOf(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}

// sparkline draws counts as bars, the highest one full.
func sparkline(counts []int) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := 1
	for _, n := range counts {
		highest = max(highest, n)
	}
	var line strings.Builder
	for _, n := range counts {
		line.WriteRune(bars[n*(len(bars)-1)/highest])
	}
	return line.String()
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a file descriptor fits
}
