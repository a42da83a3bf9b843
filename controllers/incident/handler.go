package incident

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/controllers/guard"
)

// maxBody is how many bytes a body may have.
const maxBody = 1 << 20

// Handler takes incidents in over HTTP.
type Handler struct {
	// Reader reads the cache, to find Lifecycles.
	Reader client.Reader
	// Recorder writes what was taken in.
	Recorder *Recorder
	// Now tells the time.
	Now func() time.Time
	// Log is told what could not be done.
	Log logr.Logger
}

// Routes are where incidents are posted to. Where the path names no app, or no
// namespace, the body has to; what the path names counts. The query may name the
// environment. Who may post is what auth says.
//
// What was recorded is durable when the answer is 200, which is an Outcome in JSON. The
// answer is 400 for a body that cannot be read, with where; 404 where no incident in it
// is of a known Lifecycle; and 503 where it could not be written, or too many came: then
// it is to be sent again, as Alertmanager does for every 5xx, and for nothing else
// (https://github.com/prometheus/alertmanager/pull/2145). All of a cluster's alerts may
// come from one address at once.
func (h *Handler) Routes(auth guard.Auth) []guard.Route {
	route := func(path string, read reader, types ...string) guard.Route {
		return guard.Route{
			Pattern: "POST " + path, Handler: h.taking(read), Auth: auth, MaxBody: maxBody, ContentTypes: types,
			Rate: guard.Rate{Each: 50, All: 200, Burst: 500}, TooMany: http.StatusServiceUnavailable,
		}
	}
	alerts := func(_ http.Header, body []byte, now time.Time) ([]Report, []Ignored, error) {
		return FromAlertmanager(body, now)
	}
	return []guard.Route{
		route("/incidents/alertmanager", alerts, "application/json"),
		route("/incidents/alertmanager/{namespace}", alerts, "application/json"),
		route("/incidents/alertmanager/{namespace}/{app}", alerts, "application/json"),
		route("/incidents/cloudevents/{namespace}", FromCloudEvent, "application/json", "application/cloudevents+json"),
		route("/incidents/cloudevents/{namespace}/{app}", FromCloudEvent, "application/json", "application/cloudevents+json"),
	}
}

// A reader reads what a body reports, and what of it is not taken.
type reader func(header http.Header, body []byte, now time.Time) ([]Report, []Ignored, error)

// Outcome is what became of a body.
type Outcome struct {
	// Recorded are the incidents that a Lifecycle has now, also where it had them before.
	Recorded []Recorded `json:"recorded"`
	// Ignored is what no Lifecycle has: it could not be read, is of none that is known,
	// or has no place beside what is kept.
	Ignored []Ignored `json:"ignored,omitempty"`

	// unknown says that all of it is about Lifecycles that are not known.
	unknown bool
}

// Recorded is an incident that a Lifecycle has.
type Recorded struct {
	Namespace   string `json:"namespace"`
	App         string `json:"app"`
	Environment string `json:"environment,omitempty"`
	// ID of the incident.
	ID string `json:"id"`
}

// Ignored is an incident that no Lifecycle has.
type Ignored struct {
	// At is where in the body it is.
	At string `json:"at"`
	// Reason says why.
	Reason string `json:"reason"`
}

// taking handles bodies that are read so.
func (h *Handler) taking(read reader) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		environment, err := environmentOf(r)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r.Body)
		}
		var reports []Report
		var unread []Ignored
		if err == nil {
			reports, unread, err = read(r.Header, body, h.Now())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		asked := directory.Name{Namespace: r.PathValue("namespace"), App: r.PathValue("app"), Environment: environment}
		outcome, err := h.take(r.Context(), asked, reports)
		if err != nil {
			h.Log.Error(err, "Incidents cannot be recorded", "namespace", asked.Namespace, "app", asked.App)
			w.Header().Set("Retry-After", "10")
			http.Error(w, "the incidents cannot be recorded: try again", http.StatusServiceUnavailable)
			return
		}
		outcome.Ignored = slices.Concat(unread, outcome.Ignored)
		h.write(w, outcome)
	})
}

// environmentOf is the environment that the query names, which has nothing else.
func environmentOf(r *http.Request) (string, error) {
	for name := range r.URL.Query() {
		if name != "environment" {
			return "", fmt.Errorf("query: there is no parameter %q: there is environment", name)
		}
	}
	return r.URL.Query().Get("environment"), nil
}

// addressed are reports about one Lifecycle.
type addressed struct {
	directory.Entry
	reports []Report
}

// take records what is reported, Lifecycle by Lifecycle.
func (h *Handler) take(ctx context.Context, asked directory.Name, reports []Report) (Outcome, error) {
	all, ignored, err := h.address(ctx, asked, reports)
	outcome := Outcome{Recorded: []Recorded{}, Ignored: ignored, unknown: len(reports) > 0 && len(all) == 0}
	if err != nil {
		return outcome, err
	}
	for _, a := range all {
		ids, err := h.Recorder.Record(ctx, a.Entry, a.reports)
		if err != nil {
			return outcome, err
		}
		for i, id := range ids {
			if id == "" {
				outcome.Ignored = append(outcome.Ignored, Ignored{a.reports[i].At, fmt.Sprintf("%d incidents are kept: the others are newer, or go on", maxKept)})
				continue
			}
			outcome.Recorded = append(outcome.Recorded, Recorded{a.Namespace, a.Spec.App, a.Environment, id})
		}
	}
	return outcome, nil
}

// address finds the Lifecycles that are meant; what means none, or several, is ignored.
func (h *Handler) address(ctx context.Context, asked directory.Name, reports []Report) (all []*addressed, ignored []Ignored, err error) {
	type answer struct {
		to      *addressed
		problem error
	}
	answers := map[directory.Name]answer{}
	for _, report := range reports {
		name := named(asked, report.Name)
		a, known := answers[name]
		if !known {
			entry, err := directory.Find(ctx, h.Reader, name)
			if err != nil && !errors.Is(err, directory.ErrNotFound) && !errors.Is(err, directory.ErrAmbiguous) {
				return nil, nil, err
			}
			a = answer{problem: err}
			if err == nil {
				a.to = to(&all, entry)
			}
			answers[name] = a
		}
		if a.problem != nil {
			ignored = append(ignored, Ignored{report.At, a.problem.Error()})
			continue
		}
		a.to.reports = append(a.to.reports, report)
	}
	return all, ignored, nil
}

// to is what is addressed to a Lifecycle, which may be named in several ways.
func to(all *[]*addressed, entry directory.Entry) *addressed {
	for _, a := range *all {
		if a.UID == entry.UID {
			return a
		}
	}
	*all = append(*all, &addressed{Entry: entry})
	return (*all)[len(*all)-1]
}

// named is the Lifecycle that a report is about: what the request names counts, and
// the report says the rest.
func named(asked, said directory.Name) directory.Name {
	return directory.Name{
		Namespace:   cmp.Or(asked.Namespace, said.Namespace),
		App:         cmp.Or(asked.App, said.App),
		Environment: cmp.Or(asked.Environment, said.Environment),
	}
}

// write answers with what became of a body.
func (h *Handler) write(w http.ResponseWriter, outcome Outcome) {
	w.Header().Set("Content-Type", "application/json")
	if outcome.unknown {
		w.WriteHeader(http.StatusNotFound)
	}
	if err := json.NewEncoder(w).Encode(outcome); err != nil {
		h.Log.V(1).Info("A client left before its answer", "because", err.Error())
	}
}
