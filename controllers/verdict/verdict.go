// Package verdict answers over HTTP whether the delivery of a commit has passed: as
// JSON for whoever reads, and as a status code for whoever waits. It asks for nothing
// and changes nothing, and what it says is in the cache.
package verdict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/gitname"
)

// Pending is the verdict of what is not decided yet.
const Pending lifecyclev1.Verdict = "pending"

// Current in place of a commit means the one that runs, or is being rolled out.
const Current = "current"

// retryAfter is when to ask again for what is not decided yet, in seconds. What is
// asked for is in the cache, so that asking costs little.
const retryAfter = "10"

// Handler answers with phase.Answer as JSON. The status code is 200 for pass and
// warning, 409 for what is decided and did not pass, and 503 with Retry-After while it
// is open, which is what a controller that is down looks like, too: hold, and ask again.
// Never is it another 2xx: Flagger takes each up to 202 for consent. 404 is for an app
// that is not there, 400 for what was not understood. POST is answered as GET is; its
// body does not count.
//
// Parameters of the query are until (the stage; default post-deployment), environment,
// and pending and fail, which are the status codes to answer instead of 503 and 409. Any
// other is refused: one that is misspelled must not pass for its default.
//
//   - Flagger's webhooks hold unless the code is from 200 to 202, and show the body:
//     https://docs.flagger.app/usage/webhooks
//   - The metric web of Argo Rollouts reads the body of a 2xx alone. Any other code is
//     an error, which is measured again consecutiveErrorLimit times. So fail=200 makes
//     a failure known at once, and what is pending is measured again:
//     https://argo-rollouts.readthedocs.io/en/stable/analysis/web/
//   - Kargo's step http goes by expressions over the code and the body:
//     https://docs.kargo.io/user-guide/reference-docs/promotion-steps/http
//   - curl --fail --retry repeats a 503, and does not repeat a 409:
//     https://curl.se/docs/manpage.html#--retry
type Handler struct {
	// Reader reads the cache, with the indexes of package delivery.
	Reader client.Reader
	// Log is told what could not be read.
	Log logr.Logger
}

// Routes are where the handler is asked. Anyone may, unless auth says otherwise.
func (h *Handler) Routes(auth guard.Auth) []guard.Route {
	var routes []guard.Route
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		routes = append(routes, guard.Route{
			Pattern: method + " /gate/{namespace}/{app}/{commit}", Handler: h, Auth: auth,
			Rate: guard.Rate{Each: 50, All: 200, Burst: 100},
		})
	}
	return routes
}

// question is what is asked for.
type question struct {
	name   directory.Name
	commit string
	until  lifecyclev1.Stage
	// codes are the status codes that are not 200.
	codes codes
}

// codes are the status codes for what has not passed.
type codes struct{ pending, fail int }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := asked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := h.answer(r.Context(), q)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case errors.Is(err, directory.ErrAmbiguous):
		http.Error(w, err.Error()+" with ?environment=", http.StatusBadRequest)
		return
	case err != nil:
		h.Log.Error(err, "The verdict of a commit cannot be read", "namespace", q.name.Namespace, "app", q.name.App, "commit", q.commit)
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, "the verdict cannot be read: try again", http.StatusServiceUnavailable)
		return
	}
	if answer.Verdict == "" {
		answer.Verdict = Pending
	}
	h.write(w, q.codes.of(answer.Verdict), answer)
}

// asked reads the question.
func asked(r *http.Request) (question, error) {
	q := question{
		name:   directory.Name{Namespace: r.PathValue("namespace"), App: r.PathValue("app")},
		commit: strings.ToLower(r.PathValue("commit")),
		until:  lifecyclev1.StagePostDeployment,
		codes:  codes{pending: http.StatusServiceUnavailable, fail: http.StatusConflict},
	}
	if q.commit != Current && !gitname.IsCommitish(q.commit) {
		return q, fmt.Errorf("commit %q: has to be a SHA, of which seven digits will do, or %q", r.PathValue("commit"), Current)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, fmt.Errorf("query: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			return q, fmt.Errorf("query: %s is there more than once", name)
		}
		if err := q.set(name, values.Get(name)); err != nil {
			return q, fmt.Errorf("query: %w", err)
		}
	}
	return q, nil
}

// set sets what a parameter of the query says.
func (q *question) set(name, value string) (err error) {
	switch name {
	case "until":
		if q.until = lifecyclev1.Stage(value); !slices.Contains(lifecyclev1.Stages(), q.until) {
			return fmt.Errorf("until %q: has to be one of %q", value, lifecyclev1.Stages())
		}
	case "environment":
		q.name.Environment = value
	case "pending":
		q.codes.pending, err = code(name, value)
	case "fail":
		q.codes.fail, err = code(name, value)
	default:
		err = fmt.Errorf("there is no parameter %q: there are until, environment, pending and fail", name)
	}
	return err
}

// code is a status code that may be asked for. Redirects and other codes of success
// mean something else to too many.
func code(name, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n != http.StatusOK && (n < 400 || n > 599) {
		return 0, fmt.Errorf("%s %q: has to be 200, or a status code from 400 to 599", name, value)
	}
	return n, nil
}

// of is the status code of a verdict.
func (c codes) of(verdict lifecyclev1.Verdict) int {
	switch verdict {
	case lifecyclev1.VerdictPass, lifecyclev1.VerdictWarning:
		return http.StatusOK
	case Pending:
		return c.pending
	default:
		return c.fail
	}
}

// answer finds the delivery, and what is to be said of it.
func (h *Handler) answer(ctx context.Context, q question) (phase.Answer, error) {
	lc, err := directory.Find(ctx, h.Reader, q.name)
	if err != nil {
		return phase.Answer{}, err
	}
	var answer phase.Answer
	if q.commit == Current {
		if answer, err = onCurrent(ctx, h.Reader, lc, q.until); err != nil {
			return answer, err
		}
	} else {
		var deliveries lifecyclev1.KeptnAppVersionList
		if err := h.Reader.List(ctx, &deliveries, client.MatchingFields{delivery.ByLifecycle: lc.Namespace + "/" + lc.Name}); err != nil {
			return answer, fmt.Errorf("list KeptnAppVersions: %w", err)
		}
		mine, err := belonging(ctx, h.Reader, lc.Lifecycle, deliveries.Items)
		if err != nil {
			return answer, err
		}
		answer = onCommit(lc.Lifecycle, mine, q.commit, q.until)
	}
	answer.App, answer.Environment = q.name.App, lc.Environment
	return answer, nil
}

// write writes the answer.
func (h *Handler) write(w http.ResponseWriter, code int, answer phase.Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		h.Log.V(1).Info("A client left before its answer", "because", err.Error())
	}
}
