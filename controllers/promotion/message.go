package promotion

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

// The trailers of a promotion's commit (git-interpret-trailers(1)). They are public API:
// the next stage, and people, find by them where a change comes from.
const (
	appTrailer         = "Keptn-App"
	environmentTrailer = "Keptn-Environment"
	versionTrailer     = "Keptn-Version"
	commitTrailer      = "Keptn-Commit"
	traceTrailer       = "Traceparent"
)

// environment that was delivered to.
func (d *delivery) environment() string {
	return cmp.Or(d.kav.Spec.Environment, d.origin.Environment)
}

// branch is the one of the pull request: a newer delivery takes it over.
func (d *delivery) branch() string {
	return "keptn/promote/" + d.environment() + "/" + d.kav.Spec.AppName
}

// title of the pull request and of its commit.
func (d *delivery) title() string {
	standard := fmt.Sprintf("Promote %s %s from %s", d.kav.Spec.AppName, d.kav.Spec.Version, d.environment())
	return cmp.Or(oneLine(d.pull.Title), oneLine(standard))
}

// when is the time of the commit: that at which the promotion began, however often it is
// tried.
func (d *delivery) when() time.Time {
	if rec := d.kav.Status.Phase(lifecyclev1.PhasePromotion); rec != nil && rec.StartTime != nil {
		return rec.StartTime.UTC()
	}
	return d.kav.CreationTimestamp.UTC()
}

// facts are the trailers in their order, as key and value.
func (d *delivery) facts() [][2]string {
	facts := [][2]string{
		{appTrailer, oneLine(d.kav.Spec.AppName)},
		{environmentTrailer, oneLine(d.environment())},
		{versionTrailer, oneLine(d.kav.Spec.Version)},
		{commitTrailer, oneLine(d.url) + "@" + d.kav.Spec.Commit.SHA},
	}
	if d.traced {
		facts = append(facts, [2]string{traceTrailer, record.OfApp(d.kav).PhaseTraceparent(lifecyclev1.PhasePromotion)})
	}
	return facts
}

// message of the commit.
func (d *delivery) message(c *change) string {
	var b strings.Builder
	b.WriteString(d.title() + "\n\n")
	for _, line := range c.lines(oneLine) {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n")
	for _, f := range d.facts() {
		b.WriteString(f[0] + ": " + f[1] + "\n")
	}
	return b.String()
}

// body of the pull request, in Markdown.
func (d *delivery) body(c *change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s passed in %s.\n\n", code(d.kav.Spec.AppName), code(d.kav.Spec.Version), code(d.environment()))
	for _, line := range c.lines(code) {
		b.WriteString("- " + line + "\n")
	}
	if rows := d.checks(); len(rows) > 0 {
		b.WriteString("\n| Check | When | Result |\n|---|---|---|\n" + strings.Join(rows, ""))
	}
	b.WriteString("\n| | |\n|---|---|\n")
	for _, f := range d.facts() {
		fmt.Fprintf(&b, "| %s | %s |\n", f[0], code(f[1]))
	}
	return b.String()
}

// checks are the rows of all checks that ended, in the order in which they ran.
func (d *delivery) checks() []string {
	var rows []string
	for _, name := range lifecyclev1.AppPhases() {
		_, items := d.kav.Status.Fields(name)
		if items == nil {
			continue
		}
		for _, item := range *items {
			if item.Status.Completed() {
				rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", code(item.DefinitionName), runs(name.Check()), item.Status))
			}
		}
	}
	return rows
}

// runs says what checks of a type are, and when they run.
func runs(check lifecyclev1.CheckType) string {
	switch check {
	case lifecyclev1.PreDeploymentCheckType:
		return "task before the deployment"
	case lifecyclev1.PreDeploymentEvaluationCheckType:
		return "evaluation before the deployment"
	case lifecyclev1.PostDeploymentCheckType:
		return "task after the deployment"
	case lifecyclev1.PostDeploymentEvaluationCheckType:
		return "evaluation after the deployment"
	default:
		return "task of the promotion"
	}
}

// code writes a text as code in Markdown, also within a table.
func code(text string) string {
	return "`" + strings.NewReplacer("`", "'", "|", "\\|").Replace(oneLine(text)) + "`"
}

// oneLine makes runs of white space one blank, so that nothing that is written in Git
// becomes a line, or a trailer, of its own.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
