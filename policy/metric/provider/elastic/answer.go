package elastic

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// An answer is what a search says beside its numbers.
type answer struct {
	TimedOut bool `json:"timed_out"`
	Shards   struct {
		Total    int `json:"total"`
		Failed   int `json:"failed"`
		Failures []struct {
			Reason cause `json:"reason"`
		} `json:"failures"`
	} `json:"_shards"`
	Hits struct {
		Total json.RawMessage `json:"total"`
	} `json:"hits"`
}

// partial is the error of an answer that leaves something out: it is not to be
// judged by. The server is up all the same.
func (a answer) partial() error {
	switch failures := a.Shards.Failures; {
	case a.TimedOut:
		return &metric.AnsweredError{Err: fmt.Errorf("%w: the search was cut off: narrow it, or give it a longer timeout", metric.ErrTimeout)}
	case a.Shards.Failed > 0 && len(failures) > 0:
		return &metric.AnsweredError{Err: fmt.Errorf("%w: %d of %d shards failed: %s", metric.ErrUnreachable, a.Shards.Failed, a.Shards.Total, failures[0].Reason)}
	case a.Shards.Failed > 0:
		return &metric.AnsweredError{Err: fmt.Errorf("%w: %d of %d shards failed", metric.ErrUnreachable, a.Shards.Failed, a.Shards.Total)}
	default:
		return nil
	}
}

// warnings say that the number of hits, if that is what is asked for, is only a
// lower bound.
func (a answer) warnings(name string) []string {
	var hits struct {
		Relation string `json:"relation"`
	}
	if name == total && json.Unmarshal(a.Hits.Total, &hits) == nil && hits.Relation == "gte" {
		return []string{`there are more hits than are counted: give the search "track_total_hits": true`}
	}
	return nil
}

// A cause is why a search failed.
type cause struct {
	Type   string  `json:"type"`
	Reason string  `json:"reason"`
	Root   []cause `json:"root_cause"`
}

// String is the cause at the root, in the server's words.
func (c cause) String() string {
	if len(c.Root) > 0 {
		c = c.Root[0]
	}
	return cmp.Or(c.Reason, c.Type)
}

// queryError says what an answer with an error status means: a search that is
// wrong, or an index that is not there. One whose body is not the API's is left
// as it is.
func queryError(err error) error {
	var refused *connect.Answer
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest && refused.Status != http.StatusNotFound {
		return err
	}
	var body struct {
		Error cause `json:"error"`
	}
	if json.Unmarshal(refused.Body, &body) != nil || body.Error.Type == "" {
		return err
	}
	return fmt.Errorf("%w: %s", metric.ErrBadQuery, body.Error)
}
