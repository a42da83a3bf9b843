package lifecycle

import (
	"context"
	"slices"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/forge"
)

// reportStatuses has commits show how far they have come. A forge that cannot
// be reached is no error: it delays no rollout.
func (r *Reconciler) reportStatuses(ctx context.Context, s *scope) error {
	p := projection{prefix: s.origin.ContextPrefix + "/" + s.lc.Spec.App, detailsURL: r.DetailsURL}
	running, err := r.running(ctx, s)
	if err != nil {
		return err
	}
	s.lc.Status.RunsCommit = ""
	if commits := s.lc.Status.Commits; running && len(commits) > 0 && deliveryOf(s.deliveries, commits[0].SHA) == nil {
		s.lc.Status.RunsCommit = commits[0].SHA
	}
	wanted := p.of(s.lc.Status.Commits, s.deliveries, running)
	if len(wanted) == 0 {
		return nil
	}
	by, err := report.Writer(ctx, r, s.source, func(other *gitopsv1alpha1.GitSource) bool { return hasApp(other, s.lc.Spec.App) })
	if err != nil {
		return err
	}
	to := report.To(r.Repositories.Destinations(s.origin), wanted)
	for i := range to {
		if to[i].Notes {
			to[i].Wanted = append(slices.Clone(wanted), p.records(s.deliveries, r.Cluster)...)
		}
	}
	elsewhere, err := r.elsewhere(ctx, s, p)
	if err != nil {
		return err
	}
	to = append(to, elsewhere...)
	if by != nil {
		leaveOut(to)
	}
	reported, outcome := r.Reporter.Sync(ctx, s.lc, r.news, to, s.lc.Status.Reported)
	if by != nil {
		outcome = report.Taken(s.source, by, p.prefix+"/…").In(outcome.Recheck)
	}
	s.lc.Status.Reported = reported
	condition.Set(s.lc, gitopsv1alpha1.ReportedCondition, outcome)
	s.lookAgain(outcome.Recheck)
	return nil
}

// hasApp says whether a source has an app of that name, or may have.
func hasApp(source *gitopsv1alpha1.GitSource, app string) bool {
	return source.Status.ObservedRevision == "" ||
		slices.ContainsFunc(source.Status.Lifecycles, func(found gitopsv1alpha1.FoundLifecycle) bool { return found.App == app })
}

// leaveOut takes away all statuses, and leaves the records of deployments.
func leaveOut(all []report.Destination) {
	for i := range all {
		all[i].Wanted = slices.DeleteFunc(slices.Clone(all[i].Wanted), func(s forge.Status) bool { return s.Line == "" })
	}
}

// records are what Git notes keep of deployments beside statuses, so that their history
// outlives the cluster.
func (p projection) records(deliveries []lifecyclev1.KeptnAppVersion, cluster string) []forge.Status {
	var records []forge.Status
	for i := range deliveries {
		if d, deployed := measure.Deployment(&deliveries[i], cluster); deployed {
			records = append(records, p.record(&d, deliveries[i].Name))
		}
	}
	return records
}

// record is what Git notes keep of a deployment, by the name of its delivery.
func (p projection) record(d *dora.Deployment, delivery string) forge.Status {
	record := forge.Status{
		Commit: d.Commit, Context: p.prefix + "/record/" + delivery,
		State: forge.Success, Time: d.FinishedAt, Line: d.Line(),
	}
	if d.Result == dora.Failure {
		record.State = forge.Failure
	}
	return record
}

// running says whether all that the newest commit renders to runs, and was there before:
// as it renders it, from a commit that renders the same, or from one whose releases came to
// the same.
func (r *Reconciler) running(ctx context.Context, s *scope) (bool, error) {
	if s.app.Problem != "" || s.app.At != s.head || len(s.denied) > 0 || len(s.live) == 0 || len(s.untied()) > 0 || !s.allThere() {
		return false, nil
	}
	unchanged, err := r.unchanged(ctx, s, s.app.Rendered)
	if err != nil {
		return false, err
	}
	return r.releasedAgain(ctx, s, slices.DeleteFunc(slices.Clone(s.live), func(w *workload.Workload) bool {
		return slices.Contains(unchanged, w) || renders(s.app.Rendered.Workloads, w, s.lc.Namespace)
	}))
}

// allThere says whether each workload that the app renders to is live, and one of each
// release at least.
func (s *scope) allThere() bool {
	installed := s.installedAmong(s.live)
	if len(s.live)-len(installed) != len(s.app.Rendered.Workloads) {
		return false
	}
	return !slices.ContainsFunc(s.lc.Status.Releases, func(release gitopsv1alpha1.ReleaseReference) bool {
		return !slices.ContainsFunc(installed, func(w *workload.Workload) bool {
			of, _ := releaseOf(w)
			return of.Namespace == release.Namespace && of.Name == release.Name
		})
	})
}
