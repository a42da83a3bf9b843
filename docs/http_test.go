package docs_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/keptn/gitops/controllers/fluxhook"
	"github.com/keptn/gitops/controllers/incident"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/verdict"
	"github.com/keptn/gitops/controllers/webhook"
)

func TestEveryRouteIsExplained(t *testing.T) {
	var named []string
	for _, cell := range readPage(t, "http.md").column("route") {
		for _, m := range inline.FindAllStringSubmatch(cell, -1) {
			if at := strings.Index(m[1], "/"); at >= 0 {
				named = append(named, m[1][at:])
			}
		}
	}
	routes := slices.Concat((&verdict.Handler{}).Routes(nil), (&incident.Handler{}).Routes(nil), (&fluxhook.Handler{}).Routes(nil), (&webhook.Handler{}).Routes(nil))
	for _, r := range routes {
		if _, path, _ := strings.Cut(r.Pattern, " "); !slices.Contains(named, path) {
			t.Errorf("http.md does not say what %s is for", r.Pattern)
		}
	}
}

func TestTheAnswersShownAreThoseOfTheRoutes(t *testing.T) {
	var answer phase.Answer
	var outcome incident.Outcome
	for _, b := range readPage(t, "http.md").blocks {
		if b.language == "json" {
			strictly(t, b.text, &outcome)
		}
		for _, c := range b.commands() {
			if strings.HasPrefix(c.output, "{") {
				strictly(t, c.output, &answer)
			}
		}
	}
	if answer.Commit == "" || len(answer.Phases) == 0 {
		t.Errorf("http.md shows no whole answer of the gate, but %+v", answer)
	}
	if len(outcome.Recorded) == 0 || len(outcome.Ignored) == 0 {
		t.Errorf("http.md shows no whole answer to incidents, but %+v", outcome)
	}
}

// strictly decodes JSON that has fields of the type only.
func strictly(t *testing.T, text string, into any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Errorf("%v: %s", err, text)
	}
}

func TestTheAnswersShownAreThoseOfHooks(t *testing.T) {
	var outcome webhook.Outcome
	for _, b := range readPage(t, "webhooks.md").blocks {
		for _, c := range b.commands() {
			if strings.HasPrefix(c.output, "{") {
				strictly(t, c.output, &outcome)
			}
		}
	}
	if outcome.Event == "" || outcome.Repository == "" || len(outcome.Woken) == 0 {
		t.Errorf("webhooks.md shows no whole answer to a push, but %+v", outcome)
	}
}
