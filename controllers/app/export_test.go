package app

import (
	"time"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// What tests reach by itself.
var (
	Read       = read
	AppVersion = appVersion
	HashOf     = hashOf
)

// Said is what the annotations of a workload say.
type Said = said

// Plan is what is to be done about a KeptnApp.
type Plan struct {
	Write, Drop, Single bool
	Version             string
	Workloads           []lifecyclev1.KeptnAppWorkload
	Wait                time.Duration
}

// Decide plans a KeptnApp.
func Decide(app *lifecyclev1.KeptnApp, workloads []lifecyclev1.KeptnWorkload, records []lifecyclev1.KeptnWorkloadVersion, quiet, bound time.Duration, now time.Time) Plan {
	p := view{app: app, workloads: workloads, records: records}.decide(patience{quiet, bound}, now)
	return Plan{Write: p.write, Drop: p.drop, Single: p.single, Version: p.version, Workloads: p.workloads, Wait: p.wait}
}
