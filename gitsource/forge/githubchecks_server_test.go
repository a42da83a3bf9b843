package forge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

type ghRun struct {
	ID         int        `json:"id"`
	Name       string     `json:"name"`
	HeadSHA    string     `json:"head_sha"`
	DetailsURL *string    `json:"details_url"`
	ExternalID string     `json:"external_id"`
	Status     string     `json:"status"`
	Conclusion *string    `json:"conclusion"`
	Started    *time.Time `json:"started_at"`
	Completed  *time.Time `json:"completed_at"`
	Output     *ghOutput  `json:"output"`
	App        any        `json:"app"`
}

type ghOutput struct {
	Title       string         `json:"title"`
	Summary     string         `json:"summary"`
	Text        string         `json:"text"`
	Count       int            `json:"annotations_count"`
	Annotations []ghAnnotation `json:"annotations,omitempty"`
}

type ghAnnotation struct {
	Path        string `json:"path"`
	StartLine   int    `json:"start_line"`
	EndLine     int    `json:"end_line"`
	StartColumn int    `json:"start_column"`
	EndColumn   int    `json:"end_column"`
	Level       string `json:"annotation_level"`
	Message     string `json:"message"`
}

func (g *fakeGitHub) serveChecks(mux *http.ServeMux, repo string) {
	mux.HandleFunc("POST "+repo+"/check-runs", func(w http.ResponseWriter, r *http.Request) {
		run := &ghRun{ID: len(g.runs) + 1, Status: "queued", App: map[string]any{"id": 123456, "slug": "keptn", "external_url": appHome}}
		if !g.readRun(w, r, run) || !known(w, run.HeadSHA) {
			return
		}
		if run.DetailsURL == nil {
			home := appHome
			run.DetailsURL = &home
		}
		g.runs = append(g.runs, run)
		answer(w, http.StatusCreated, run.shown())
	})
	mux.HandleFunc("PATCH "+repo+"/check-runs/{id}", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(g.runs, func(run *ghRun) bool { return strconv.Itoa(run.ID) == r.PathValue("id") })
		if i < 0 {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		changed := *g.runs[i]
		if !g.readRun(w, r, &changed) {
			return
		}
		if g.runs[i].Status == "completed" {
			invalid(w, "a completed run cannot be opened again")
			return
		}
		*g.runs[i] = changed
		answer(w, http.StatusOK, changed.shown())
	})
	mux.HandleFunc("GET "+repo+"/commits/{sha}/check-runs", g.listRuns)
}

// readRun reads what a run is made with, or changed, and refuses what GitHub does. It
// adds annotations to those that are there.
func (g *fakeGitHub) readRun(w http.ResponseWriter, r *http.Request, run *ghRun) bool {
	var before []ghAnnotation
	if run.Output != nil {
		before = run.Output.Annotations
	}
	run.Output = nil
	if err := json.NewDecoder(r.Body).Decode(run); err != nil {
		refuse(w, http.StatusBadRequest, "Problems parsing JSON")
		return false
	}
	problem := ""
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ghs_"):
		refuse(w, http.StatusForbidden, "You must authenticate via a GitHub App.")
		return false
	case run.Name == "":
		problem = "name"
	case !slices.Contains([]string{"queued", "in_progress", "completed"}, run.Status):
		problem = "status"
	case (run.Status == "completed") != (run.Conclusion != nil):
		problem = "conclusion"
	case run.Conclusion != nil && !slices.Contains([]string{"success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"}, *run.Conclusion):
		problem = "conclusion"
	case run.DetailsURL != nil && *run.DetailsURL == "" || !webAddress(run.DetailsURL):
		problem = "details_url"
	case run.Output == nil || run.Output.Title == "" || run.Output.Summary == "":
		problem = "output"
	case utf8.RuneCountInString(run.Output.Summary) > 65535 || utf8.RuneCountInString(run.Output.Text) > 65535:
		problem = "output is too long"
	case len(run.Output.Annotations) > 50:
		problem = "annotations exceeds a maximum quantity of 50"
	case slices.ContainsFunc(run.Output.Annotations, ghAnnotation.wrong):
		problem = "annotations"
	}
	if problem != "" {
		answer(w, http.StatusUnprocessableEntity, map[string]any{"message": "Invalid request.\n\n" + problem + " wasn't supplied or is invalid."})
		return false
	}
	run.Output.Annotations = append(before, run.Output.Annotations...)
	return true
}

func (a ghAnnotation) wrong() bool {
	return a.Path == "" || a.StartLine < 1 || a.EndLine < a.StartLine || a.StartColumn != a.EndColumn && a.StartLine != a.EndLine ||
		!slices.Contains([]string{"notice", "warning", "failure"}, a.Level) || a.Message == ""
}

// shown is a run as it is answered with: its annotations are elsewhere.
func (run *ghRun) shown() ghRun {
	shown := *run
	output := *run.Output
	output.Count, output.Annotations = len(output.Annotations), nil
	shown.Output = &output
	return shown
}

func (g *fakeGitHub) listRuns(w http.ResponseWriter, r *http.Request) {
	if !known(w, r.PathValue("sha")) {
		return
	}
	runs := []ghRun{}
	for _, run := range g.runs {
		if name := r.FormValue("check_name"); name != "" && name != run.Name {
			continue
		}
		if id := r.FormValue("app_id"); id != "" && id != fmt.Sprint(run.App.(map[string]any)["id"]) {
			continue
		}
		runs = append(runs, run.shown())
	}
	answer(w, http.StatusOK, map[string]any{"total_count": len(runs), "check_runs": page(w, r, runs)})
}
