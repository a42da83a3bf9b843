package dql

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// An answer is that of query:execute and of query:poll
// (https://docs.dynatrace.com/docs/dynatrace-api/platform-api/platform-storage-query-v1/query-poll-get).
type answer struct {
	State        string `json:"state"`
	RequestToken string `json:"requestToken"`
	Result       result `json:"result"`
}

// running says whether there is still something to wait for.
func (a answer) running() bool { return a.State == "RUNNING" || a.State == "NOT_STARTED" }

// stateError is the error that a final state stands for.
func (a answer) stateError() error {
	switch a.State {
	case "SUCCEEDED":
		return nil
	case "FAILED":
		return fmt.Errorf("%w: Grail says that it is %s: run it in a notebook to see why", metric.ErrBadQuery, a.State)
	case "CANCELLED", "RESULT_GONE":
		return &metric.AnsweredError{Err: fmt.Errorf("%w: Grail says that the query is %s", metric.ErrUnreachable, a.State)}
	default:
		return fmt.Errorf("%w: the query has the unknown state %.40q: is the URL that of the environment, as https://<id>.apps.dynatrace.com?", metric.ErrBadResponse, a.State)
	}
}

// warnings are Grail's remarks, such as that a result is not complete.
func (r result) warnings() []string {
	var all []string
	for _, n := range r.Metadata.Grail.Notifications {
		if n.Message != "" {
			all = append(all, n.Message)
		}
	}
	return all
}

// queryError says what an answer with an error status means. One whose body is
// not the API's is left as it is.
func queryError(err error) error {
	var refused *connect.Answer
	if !errors.As(err, &refused) {
		return err
	}
	var body struct {
		Error struct {
			Message string `json:"message"`
			Details struct {
				Message  string `json:"errorMessage"`
				Position struct {
					Start struct {
						Line   int `json:"line"`
						Column int `json:"column"`
					} `json:"start"`
				} `json:"syntaxErrorPosition"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(refused.Body, &body) != nil || body.Error.Message == "" {
		return err
	}
	said := body.Error.Message
	if detail := body.Error.Details.Message; detail != "" {
		said += ": " + detail
	}
	if at := body.Error.Details.Position.Start; at.Line > 0 {
		said += fmt.Sprintf(" (line %d, column %d)", at.Line, at.Column)
	}
	switch refused.Status {
	case http.StatusBadRequest:
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, said)
	case http.StatusGone:
		return &metric.AnsweredError{Err: fmt.Errorf("%w: Grail has no result any more: %s", metric.ErrUnreachable, said)}
	default:
		return fmt.Errorf("%w: %s", err, said)
	}
}
