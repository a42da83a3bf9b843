package policy

import (
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
)

// A Rollout is the rollout that is judged, as CEL's rollout.<field>. What is empty
// has no data.
type Rollout struct {
	App         string `json:"app"`
	Environment string `json:"environment"`
	Namespace   string `json:"namespace"`
	Version     string `json:"version"`
	// PreviousVersion is that of the rollout before, which is replaced.
	PreviousVersion string `json:"previousVersion"`
	// StartedAt is when the first workload began to change, and FinishedAt when all
	// were available.
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
}

// rolloutObjects is the CEL type of a rollout.
var rolloutObjects = &objectType{
	celType: types.NewObjectType("keptn.Rollout"),
	fields: []objectField{
		rolloutText("app", func(r *Rollout) string { return r.App }),
		rolloutText("environment", func(r *Rollout) string { return r.Environment }),
		rolloutTime("finishedAt", func(r *Rollout) time.Time { return r.FinishedAt }),
		rolloutText("namespace", func(r *Rollout) string { return r.Namespace }),
		rolloutText("previousVersion", func(r *Rollout) string { return r.PreviousVersion }),
		rolloutTime("startedAt", func(r *Rollout) time.Time { return r.StartedAt }),
		rolloutText("version", func(r *Rollout) string { return r.Version }),
	},
	show: func(of any) string { r := of.(*Rollout); return r.App + " " + r.Version },
}

func rolloutText(name string, get func(*Rollout) string) objectField {
	return field(name, cel.StringType, func(r *Rollout) (any, error) {
		if text := get(r); text != "" {
			return text, nil
		}
		return nil, &undecidedError{what: "rollout." + name + " has no data"}
	})
}

func rolloutTime(name string, get func(*Rollout) time.Time) objectField {
	return field(name, cel.TimestampType, func(r *Rollout) (any, error) {
		if at := get(r); !at.IsZero() {
			return types.Timestamp{Time: at}, nil
		}
		return nil, &undecidedError{what: "rollout." + name + " has no data: that has not happened yet"}
	})
}
