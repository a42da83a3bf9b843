package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// A view is what is seen of an app: its KeptnApp, which is nil where there is none,
// the KeptnWorkloads that name it, and all records of them.
type view struct {
	app       *lifecyclev1.KeptnApp
	workloads []lifecyclev1.KeptnWorkload
	records   []lifecyclev1.KeptnWorkloadVersion
}

// A plan is what is to be done about a KeptnApp: nothing where all is zero.
type plan struct {
	// write says that the KeptnApp is to have the version and the workloads.
	write     bool
	version   string
	workloads []lifecyclev1.KeptnAppWorkload
	single    bool
	// drop says that it is to go.
	drop bool
	// wait is how long to wait before anything is done.
	wait time.Duration
}

// A patience is how long an app is given to show all its workloads.
type patience struct {
	// quiet is the time without news after which it is complete.
	quiet time.Duration
	// bound is the longest time from the first news on.
	bound time.Duration
}

// decide plans a KeptnApp from what is seen. A KeptnApp that was not made from
// annotations is left alone, and so is one that is going. While a workload's newest
// revision has no record yet nothing is done: the record will tell.
func (v view) decide(p patience, now time.Time) plan {
	if v.app != nil && (!discovered(v.app) || !v.app.DeletionTimestamp.IsZero()) {
		return plan{}
	}
	named := v.named()
	if len(named) == 0 {
		return plan{drop: len(v.workloads) == 0 && v.app != nil && v.app.Annotations[lifecyclev1.AppTypeAnnotation] != ""}
	}
	news, known := v.news(named)
	if !known || len(news) == 0 && v.size() == len(named) {
		return plan{}
	}
	todo := planOf(named)
	if !todo.single && len(news) > 0 {
		todo.wait = max(0, p.until(news).Sub(now))
	}
	return todo
}

// size is how many workloads the KeptnApp lists.
func (v view) size() int {
	if v.app == nil {
		return 0
	}
	return len(v.app.Spec.Workloads)
}

// planOf is the plan of an app that has these workloads.
func planOf(named []lifecyclev1.KeptnWorkload) plan {
	todo := plan{
		write: true, version: appVersion(named), workloads: make([]lifecyclev1.KeptnAppWorkload, len(named)),
		single: len(named) == 1 && named[0].Annotations[lifecyclev1.AppTypeAnnotation] == lifecyclev1.SingleService,
	}
	for i := range named {
		todo.workloads[i] = listed(&named[i])
	}
	return todo
}

// named are the workloads that stay and have a version, by their names.
func (v view) named() []lifecyclev1.KeptnWorkload {
	named := slices.DeleteFunc(slices.Clone(v.workloads), func(kw lifecyclev1.KeptnWorkload) bool {
		return kw.Spec.Version == "" || !kw.DeletionTimestamp.IsZero()
	})
	slices.SortFunc(named, func(a, b lifecyclev1.KeptnWorkload) int { return cmp.Compare(a.Name, b.Name) })
	return named
}

// news are the times of what the KeptnApp does not list; unknown while one of them
// has no record.
func (v view) news(named []lifecyclev1.KeptnWorkload) (times []time.Time, known bool) {
	for i := range named {
		if v.lists(listed(&named[i])) {
			continue
		}
		record := v.newest(&named[i])
		if record == nil {
			return nil, false
		}
		times = append(times, record.CreationTimestamp.Time)
	}
	return times, true
}

// listed is a KeptnWorkload as an app lists it.
func listed(kw *lifecyclev1.KeptnWorkload) lifecyclev1.KeptnAppWorkload {
	return lifecyclev1.KeptnAppWorkload{Name: workload.WithoutApp(kw.Spec.AppName, kw.Name), Version: kw.Spec.Version}
}

// lists says whether the KeptnApp has a workload at a version.
func (v view) lists(ref lifecyclev1.KeptnAppWorkload) bool {
	return v.app != nil && slices.ContainsFunc(v.app.Spec.Workloads, func(has lifecyclev1.KeptnAppWorkload) bool {
		return has.Name == ref.Name && has.Version == ref.Version
	})
}

// newest is the record of what a KeptnWorkload is now; nil where it has none yet.
func (v view) newest(kw *lifecyclev1.KeptnWorkload) *lifecyclev1.KeptnWorkloadVersion {
	var newest *lifecyclev1.KeptnWorkloadVersion
	for i := range v.records {
		record := &v.records[i]
		if record.Spec.WorkloadName != kw.Name || !delivers(record, kw) {
			continue
		}
		if newest == nil || record.Spec.WorkloadGeneration > newest.Spec.WorkloadGeneration {
			newest = record
		}
	}
	return newest
}

// until is when news of these times is old enough. They have a resolution of one
// second, as Kubernetes writes them.
func (p patience) until(news []time.Time) time.Time {
	first, last := slices.MinFunc(news, time.Time.Compare), slices.MaxFunc(news, time.Time.Compare)
	quiet, bound := last.Add(p.quiet), first.Add(p.bound)
	if bound.Before(quiet) {
		return bound
	}
	return quiet
}

// appVersion is the version of an app of the given workloads: that of the only one,
// else a digest of all, as Keptn computes it.
func appVersion(workloads []lifecyclev1.KeptnWorkload) string {
	if len(workloads) == 1 {
		return workloads[0].Spec.Version
	}
	var all strings.Builder
	for _, kw := range workloads {
		all.WriteString(kw.Name + "-" + kw.Spec.Version)
	}
	return workload.Digest(10, all.String())
}
