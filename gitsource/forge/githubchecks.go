package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxCheckTitle is the length of a title, in runes. GitHub documents no limit; this
	// one fits a line of its pages.
	maxCheckTitle = 255
	// maxCheckText is the length of a summary, and of a text, in runes: GitHub takes
	// 65,535 characters, and some of them count twice there.
	maxCheckText = 60_000
	// checkPart is how many annotations one request may have, and maxAnnotations how
	// many are sent at all: the text has those beyond.
	checkPart, maxAnnotations = 50, 500
)

// githubChecks writes check runs to GitHub and GitHub Enterprise Server as an App, by
// https://docs.github.com/rest/checks/runs. Only Apps may.
//
// Pending is "in_progress". Success is "success", and a Warning, which passes, "neutral":
// GitHub lets both be merged. Failure is "failure". An Error, which is neither, is
// "action_required": it blocks a merge where the check is required, as everything but
// success, neutral and skipped does, and is told from a failure.
//
// A run that is completed is never changed: what is said after it is a new run of the
// same name, of which GitHub shows the newest. So its annotations, which can only be
// added to, are those of one statement.
type githubChecks struct{ site }

var _ statusForge = githubChecks{}

// checkRun is a check run of the API, as it is sent and answered with.
type checkRun struct {
	ID         int64        `json:"id,omitempty"`
	Name       string       `json:"name"`
	HeadSHA    string       `json:"head_sha,omitempty"`
	DetailsURL string       `json:"details_url,omitempty"`
	ExternalID string       `json:"external_id"`
	Status     string       `json:"status"`
	Conclusion string       `json:"conclusion,omitempty"`
	Started    time.Time    `json:"started_at,omitzero"`
	Completed  time.Time    `json:"completed_at,omitzero"`
	Output     *checkOutput `json:"output,omitempty"`
	App        *struct {
		Home string `json:"external_url"`
	} `json:"app,omitempty"`
}

// checkOutput is what a run shows on its page. A title asks for a summary.
type checkOutput struct {
	Title       string       `json:"title"`
	Summary     string       `json:"summary"`
	Text        string       `json:"text,omitempty"`
	Annotations []annotation `json:"annotations,omitempty"`
	Count       int          `json:"annotations_count,omitempty"`
}

// annotation is shown at its line.
type annotation struct {
	Path        string `json:"path"`
	StartLine   int    `json:"start_line"`
	EndLine     int    `json:"end_line"`
	StartColumn int    `json:"start_column,omitempty"`
	EndColumn   int    `json:"end_column,omitempty"`
	Level       string `json:"annotation_level"`
	Message     string `json:"message"`
}

const (
	checkOpen      = "in_progress"
	checkCompleted = "completed"
)

// conclusions are the states of a completed run.
func conclusions() map[State]string {
	return map[State]string{Success: "success", Warning: "neutral", Failure: "failure", Error: "action_required"}
}

// set implements statusForge. A status that says the same as the latest is not sent again.
func (g githubChecks) set(ctx context.Context, status Status) error {
	held, err := g.find(ctx, status.Commit, g.row.fit(status).Context)
	if err == nil && (held == nil || !held.decode(status.Commit).Same(g.fit(status))) {
		err = g.write(ctx, held, status)
	}
	return unknownCommit(err)
}

// write makes a run, or takes on one that is not completed. With more annotations than a
// request may have it is completed by the last request, so that one that was interrupted
// does not look like the whole.
func (g githubChecks) write(ctx context.Context, held *checkRun, status Status) error {
	run := *g.encode(status)
	run.HeadSHA = status.Commit
	var id int64
	all := annotations(status.Problems)
	if held != nil && held.Status != checkCompleted && (status.TargetURL != "" || held.target() == "") {
		id = held.ID
		all = all[min(held.annotated(), len(all)):] // it has the first ones
	}
	last := run
	for len(all) > checkPart {
		run.Status, run.Conclusion, run.Started, run.Completed = checkOpen, "", status.Time.UTC(), time.Time{}
		run.annotate(all[:checkPart])
		made, err := g.send(ctx, id, run)
		if err != nil {
			return err
		}
		id, all = made, all[checkPart:]
	}
	last.annotate(all)
	_, err := g.send(ctx, id, last)
	if id != 0 && errors.Is(err, ErrNotFound) { // GitHub deletes the oldest of very many
		return g.write(ctx, nil, status)
	}
	return err
}

// send makes a run, or changes the one with that id.
func (g githubChecks) send(ctx context.Context, id int64, run checkRun) (int64, error) {
	method, path := http.MethodPost, g.githubPath()+"/check-runs"
	if id != 0 {
		method, path = http.MethodPatch, path+"/"+decimal(id)
	}
	var made checkRun
	if err := g.api.call(ctx, method, path, nil, run, &made); err != nil {
		return 0, err
	}
	if made.ID == 0 {
		return 0, fmt.Errorf("%w: the answer names no check run: check the API URL", ErrRejected)
	}
	return made.ID, nil
}

// latest implements statusForge.
func (g githubChecks) latest(ctx context.Context, commit, context string) (*Status, error) {
	held, err := g.find(ctx, commit, context)
	return decoded(held, commit, unknownCommit(err))
}

// find returns the newest run of the context that this App made; nil if there is none.
// GitHub's own filter "latest" goes by when runs were completed, which one under way is
// not.
func (g githubChecks) find(ctx context.Context, commit, name string) (*checkRun, error) {
	query := pageOf("per_page", githubPage)
	query.Set("check_name", name)
	query.Set("filter", "all")
	if _, err := strconv.ParseInt(g.app, 10, 64); err == nil {
		query.Set("app_id", g.app)
	}
	type page struct {
		Runs []*checkRun `json:"check_runs"`
	}
	pages := linked[page](ctx, g.api, g.githubPath()+"/commits/"+url.PathEscape(commit)+"/check-runs", query)
	runs := each(pages, func(p page) ([]*checkRun, bool) { return p.Runs, false })
	return newest(runs, func(r *checkRun) (int64, bool) { return r.ID, r.Name == name && r.ExternalID == name })
}

// fit implements statusForge.
func (g githubChecks) fit(status Status) Status { return g.encode(status).decode(status.Commit) }

// encode returns the run as it is sent, without annotations.
func (g githubChecks) encode(s Status) *checkRun {
	problems := s.Problems
	report := s.Report
	s = g.row.fit(s)
	run := &checkRun{Name: s.Context, ExternalID: s.Context, DetailsURL: s.TargetURL, Status: checkOpen, Started: s.Time.UTC()}
	if s.State.Final() {
		run.Status, run.Conclusion = checkCompleted, conclusions()[s.State]
		run.Started, run.Completed = time.Time{}, s.Time.UTC()
	}
	title := cmp.Or(s.Description, s.Context)
	run.Output = &checkOutput{
		Title:   title,
		Summary: cut(cmp.Or(strings.TrimSpace(report), markdown(title)), maxCheckText),
		Text:    cut(listed(problems), maxCheckText),
	}
	return run
}

// decode returns the status that a run shows.
func (r *checkRun) decode(commit string) Status {
	s := Status{Commit: commit, Context: r.Name, State: Pending, TargetURL: r.target(), Time: r.Started}
	if r.Status == checkCompleted {
		s.State, s.Time = Error, r.Completed // as timed_out, cancelled and stale
		for state, conclusion := range conclusions() {
			if r.Conclusion == conclusion {
				s.State = state
			}
		}
	}
	if r.Output != nil && r.Output.Title != r.Name {
		s.Description = r.Output.Title
	}
	return s
}

// target is where a run leads: where it was given no address, GitHub shows the App's home.
func (r *checkRun) target() string {
	if r.App != nil && r.DetailsURL == r.App.Home {
		return ""
	}
	return r.DetailsURL
}

// annotated is how many annotations a run has.
func (r *checkRun) annotated() int {
	if r.Output == nil {
		return 0
	}
	return r.Output.Count
}

// annotate gives a run the annotations of one request.
func (r *checkRun) annotate(part []annotation) {
	output := *r.Output
	output.Annotations = part
	r.Output = &output
}

// annotations are problems at their lines.
func annotations(problems []Problem) []annotation {
	var all []annotation
	for _, p := range problems[:min(len(problems), maxAnnotations)] {
		line, level := max(p.Line, 1), "failure"
		if p.Warning {
			level = "warning"
		}
		if p.File == "" {
			continue // GitHub refuses all of them for one without a path
		}
		column := max(p.Column, 0)
		all = append(all, annotation{
			Path: p.File, StartLine: line, EndLine: line, StartColumn: column, EndColumn: column,
			Level: level, Message: cut(cmp.Or(oneLine(p.Message), level), maxCheckText),
		})
	}
	return slices.Clip(all)
}

// listed are problems in Markdown: annotations are shown beside what a pull request
// changes, and the list is whole.
func listed(problems []Problem) string {
	var text strings.Builder
	for _, p := range problems {
		warning := ""
		if p.Warning {
			warning = "warning: "
		}
		fmt.Fprintf(&text, "- `%s:%d:%d`: %s%s\n", strings.ReplaceAll(oneLine(p.File), "`", "'"), p.Line, p.Column, warning, markdown(p.Message))
	}
	return text.String()
}

// markdown is a line as it reads, whatever is in it: no mention, reference or address in it
// becomes a link.
func markdown(line string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "~", "\\~", "&", "&amp;", "<", "&lt;",
		"@", "@\u200b", "#", "#\u200b", "://", ":\u200b//", "www.", "www\u200b.").Replace(oneLine(line))
}
