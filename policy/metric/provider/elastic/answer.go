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
		Total  int `json:"total"`
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Total json.RawMessage `json:"total"`
	} `json:"hits"`
}

// warnings say that the answer is partial, or that the number of hits, if that is
// what is asked for, is only a lower bound.
func (a answer) warnings(name string) []string {
	var all []string
	if a.TimedOut {
		all = append(all, "the answer is partial: the search timed out")
	}
	if a.Shards.Failed > 0 {
		all = append(all, fmt.Sprintf("the answer is partial: %d of %d shards failed", a.Shards.Failed, a.Shards.Total))
	}
	var hits struct {
		Relation string `json:"relation"`
	}
	if name == total && json.Unmarshal(a.Hits.Total, &hits) == nil && hits.Relation == "gte" {
		all = append(all, `there are more hits than are counted: give the search "track_total_hits": true`)
	}
	return all
}

// A cause is why a search failed.
type cause struct {
	Type   string  `json:"type"`
	Reason string  `json:"reason"`
	Root   []cause `json:"root_cause"`
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
	why := body.Error
	if len(why.Root) > 0 {
		why = why.Root[0]
	}
	return fmt.Errorf("%w: %s", metric.ErrBadQuery, cmp.Or(why.Reason, why.Type))
}
