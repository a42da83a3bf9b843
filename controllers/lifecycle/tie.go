package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitname"
)

// defaultMatchTimeout applies where a Lifecycle does not say it.
const defaultMatchTimeout = 2 * time.Minute

// keptDeliveries is how many ended deliveries are kept beside the newest good one.
const keptDeliveries = 10

// observeWorkloads reads the app's workloads, and notes what they carry; what
// they were tied to stays as long as they carry the same.
func (r *Reconciler) observeWorkloads(ctx context.Context, s *scope) error {
	statuses, err := r.expected(ctx, s)
	if err != nil {
		return err
	}
	s.observeReleases()
	for i := range statuses {
		status := &statuses[i]
		allowed, err := trust.MayGovern(ctx, r, s.source, status.Namespace)
		if err != nil {
			return err
		}
		if !allowed {
			s.denied = append(s.denied, status.Namespace)
			continue
		}
		live, err := workload.See(ctx, r, status.Kind, types.NamespacedName{Namespace: status.Namespace, Name: status.Name})
		if err != nil {
			return err
		}
		if live != nil {
			s.live = append(s.live, live)
			carry(status, s.lc.Status.Workloads, live, s.now)
		}
	}
	s.lc.Status.Workloads = statuses
	return nil
}

// expected names the workloads that the app renders to, and those that its releases have
// installed; while it does not render, those that were its own when it last did.
func (r *Reconciler) expected(ctx context.Context, s *scope) ([]gitopsv1alpha1.WorkloadStatus, error) {
	var names []gitopsv1alpha1.WorkloadStatus
	if s.app.Problem != "" {
		for _, w := range s.lc.Status.Workloads {
			names = append(names, gitopsv1alpha1.WorkloadStatus{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name})
		}
		return names, nil
	}
	for _, w := range s.app.Rendered.Workloads {
		names = append(names, gitopsv1alpha1.WorkloadStatus{Kind: w.Kind, Namespace: cmp.Or(w.Namespace, s.lc.Namespace), Name: w.Name})
	}
	installed, err := r.installed(ctx, s)
	for _, w := range installed {
		if !slices.Contains(names, w) {
			names = append(names, w)
		}
	}
	return names, err
}

// carry fills in the status of a live workload: as known where it carries the
// same template, anew where it does not.
func carry(status *gitopsv1alpha1.WorkloadStatus, known []gitopsv1alpha1.WorkloadStatus, live *workload.Workload, now time.Time) {
	if was := statusOf(known, live); was != nil && was.Since != nil {
		if was.TemplateHash == live.TemplateHash {
			*status = *was
			live.WrittenAt = was.Since.Time
			return
		}
		if !live.WrittenAt.After(was.Since.Time) {
			live.WrittenAt = now // who only takes fields away, as an undo does, leaves no time behind
		}
	}
	status.TemplateHash = live.TemplateHash
	status.Since = phase.Time(live.WrittenAt)
}

func statusOf(statuses []gitopsv1alpha1.WorkloadStatus, w *workload.Workload) *gitopsv1alpha1.WorkloadStatus {
	for i := range statuses {
		s := &statuses[i]
		if s.Kind == w.Kind && s.Namespace == w.Namespace && s.Name == w.Name {
			return s
		}
	}
	return nil
}

// readDeliveries lists the app's deliveries, newest first.
func (r *Reconciler) readDeliveries(ctx context.Context, s *scope) error {
	var list lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &list, client.MatchingFields{delivery.ByLifecycle: s.lc.Namespace + "/" + s.lc.Name}); err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}
	for i := range list.Items {
		mine, err := trust.Belongs(ctx, r, &list.Items[i], s.lc, s.source)
		if err != nil {
			return err
		}
		if mine {
			s.deliveries = append(s.deliveries, list.Items[i])
		}
	}
	slices.SortFunc(s.deliveries, func(a, b lifecyclev1.KeptnAppVersion) int {
		return cmp.Or(
			rolloutStart(&b).Compare(rolloutStart(&a)),
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(s.recorded(&b), s.recorded(&a)),
			cmp.Compare(b.Spec.Revision, a.Spec.Revision),
		)
	})
	return nil
}

// recorded is 1 for the delivery that was last recorded as the newest. Times
// have a resolution of one second, within which it tells the newer of two.
func (s *scope) recorded(kav *lifecyclev1.KeptnAppVersion) int {
	if d := s.lc.Status.Delivery; d != nil && d.Namespace == kav.Namespace && d.Name == kav.Name {
		return 1
	}
	return 0
}

func rolloutStart(kav *lifecyclev1.KeptnAppVersion) time.Time {
	if kav.Spec.RolloutStartedAt == nil {
		return kav.CreationTimestamp.Time
	}
	return kav.Spec.RolloutStartedAt.Time
}

// tieToCommit ties what newly runs to the commit that explains it, and sees to
// it that the commit's delivery is recorded.
func (r *Reconciler) tieToCommit(ctx context.Context, s *scope) error {
	untied := s.untied()
	if len(untied) == 0 {
		s.setMatched(nil)
		return r.completeNewest(ctx, s)
	}
	found, tied, err := r.explanation(ctx, s, untied)
	if err != nil {
		return err
	}
	if found == nil {
		return r.unmatched(ctx, s, untied)
	}
	if err := r.deliver(ctx, s, found, tied); err != nil {
		return err
	}
	for _, w := range tied {
		statusOf(s.lc.Status.Workloads, w).Commit = found.commit.SHA
	}
	s.setMatched(s.untied())
	return nil
}

// explanation finds the commit that explains what is untied, by the strongest evidence
// there is: what was asked for, what appliers say, content, and what
// images were built from. It finds none while an applier has not said yet what it applied.
func (r *Reconciler) explanation(ctx context.Context, s *scope, untied []*workload.Workload) (*match, []*workload.Workload, error) {
	if found, err := r.awaited(ctx, s, untied); found != nil || err != nil {
		return found, untied, err
	}
	said, err := r.hear(ctx, s, untied)
	if err != nil {
		return nil, nil, err
	}
	if found, tied, err := r.claimed(ctx, s, said); found != nil || err != nil {
		return found, tied, err
	}
	if len(said.pending) > 0 && s.now.Before(latest(untied).Add(matchTimeout(s.lc))) {
		s.pending = said.pending
		return nil, nil, nil
	}
	if found, tied, err := r.byContent(ctx, s, untied); found != nil || err != nil {
		return found, tied, err
	}
	return r.byImage(ctx, s, untied)
}

// byContent finds the commit that renders all that is untied; where there is none, the
// one that renders all of it that no release has installed, or what came since the last
// thing nobody explained.
func (r *Reconciler) byContent(ctx context.Context, s *scope, untied []*workload.Workload) (*match, []*workload.Workload, error) {
	found, err := r.correlate(ctx, s, untied)
	if found != nil || err != nil {
		return found, untied, err
	}
	rendered := slices.DeleteFunc(slices.Clone(untied), s.isInstalled)
	if len(rendered) > 0 && len(rendered) < len(untied) {
		found, err = r.correlate(ctx, s, rendered)
	}
	if found != nil || err != nil || s.lc.Status.UnmatchedSince == nil {
		return found, rendered, err
	}
	var fresh []*workload.Workload
	for _, w := range untied {
		if w.WrittenAt.After(s.lc.Status.UnmatchedSince.Time) {
			fresh = append(fresh, w)
		}
	}
	if len(fresh) == 0 || len(fresh) == len(untied) {
		return nil, nil, nil
	}
	found, err = r.correlate(ctx, s, fresh)
	return found, fresh, err
}

// untied are the live workloads that are not tied to a commit.
func (s *scope) untied() []*workload.Workload {
	var untied []*workload.Workload
	for _, w := range s.live {
		if statusOf(s.lc.Status.Workloads, w).Commit == "" {
			untied = append(untied, w)
		}
	}
	return untied
}

// unmatched says that no commit explains what runs, and has the remote looked at
// for one: once for each template.
func (r *Reconciler) unmatched(ctx context.Context, s *scope, untied []*workload.Workload) error {
	s.setMatched(untied)
	newest := latest(untied)
	if left := newest.Add(matchTimeout(s.lc)).Sub(s.now); left > 0 {
		s.lookAgain(left)
	}
	if s.lc.Status.UnmatchedSince == nil || s.lc.Status.UnmatchedSince.Time.Before(newest) {
		s.lc.Status.UnmatchedSince = phase.Time(newest)
		r.Fetch(ctx, client.ObjectKeyFromObject(s.source))
	}
	return r.completeNewest(ctx, s)
}

func matchTimeout(lc *gitopsv1alpha1.Lifecycle) time.Duration {
	if t := lc.Spec.MatchTimeout; t != nil {
		return t.Duration
	}
	return defaultMatchTimeout
}

// setMatched writes the condition Matched: Unknown while a commit may still
// turn up, False once the time for it is over.
func (s *scope) setMatched(untied []*workload.Workload) {
	switch {
	case len(s.live) == 0:
		condition.Remove(s.lc, gitopsv1alpha1.MatchedCondition)
	case len(untied) == 0:
		s.lc.Status.UnmatchedSince = nil
		condition.Set(s.lc, gitopsv1alpha1.MatchedCondition, condition.Ready(gitopsv1alpha1.MatchedCondition, "commits explain all that runs"))
	default:
		o := condition.Waiting("Searching", "%s", s.notExplained(untied))
		if !s.now.Before(latest(untied).Add(matchTimeout(s.lc))) {
			o = condition.Failed(gitopsv1alpha1.UnmatchedReason, "%s", s.notExplained(untied))
		}
		condition.Set(s.lc, gitopsv1alpha1.MatchedCondition, o)
	}
}

func (s *scope) notExplained(untied []*workload.Workload) string {
	if len(s.pending) > 0 {
		return strings.Join(s.pending, "; ")
	}
	names := make([]string, len(untied))
	for i, w := range untied {
		names[i] = w.String()
	}
	none := fmt.Sprintf("no commit up to %s renders the pod template of %s", gitname.Short(s.head), strings.Join(names, ", "))
	return strings.Join(append([]string{none}, s.unasked...), "; ")
}

// speaks says whether a delivery is what a listed commit's statuses follow from.
func (s *scope) speaks(kav *lifecyclev1.KeptnAppVersion) bool {
	c := kav.Spec.Commit
	return c != nil && known(s.lc.Status.Commits, c.SHA) && deliveryOf(s.deliveries, c.SHA).UID == kav.UID
}

// pruneDeliveries deletes the oldest ended deliveries, but never the newest good
// one, which is the baseline of the next, nor one that a commit's statuses follow
// from.
func (r *Reconciler) pruneDeliveries(ctx context.Context, s *scope) error {
	ended, good := 0, false
	var kept []lifecyclev1.KeptnAppVersion
	for i := range s.deliveries {
		kav := s.deliveries[i]
		newestGood := !good && kav.Status.Status.Passed()
		good = good || newestGood
		if kav.Status.Status.Completed() {
			ended++
		}
		if !kav.Status.Status.Completed() || ended <= keptDeliveries || newestGood || s.speaks(&kav) {
			kept = append(kept, kav)
			continue
		}
		if err := r.Delete(ctx, &kav); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("prune delivery %s: %w", kav.Name, err)
		}
	}
	s.deliveries = kept
	return nil
}

// known says whether the status lists a commit already.
func known(commits []gitopsv1alpha1.AppCommit, sha string) bool {
	return slices.ContainsFunc(commits, func(c gitopsv1alpha1.AppCommit) bool { return c.SHA == sha })
}

// remember adds a delivered commit to the list where it fell out of it.
func remember(commits []gitopsv1alpha1.AppCommit, sha string, at, now time.Time) []gitopsv1alpha1.AppCommit {
	if known(commits, sha) {
		return commits
	}
	added := append(slices.Clone(commits), gitopsv1alpha1.AppCommit{SHA: sha, CommittedAt: metav1.NewTime(at.UTC()), SeenAt: *phase.Time(now), ChangesWorkloads: true})
	slices.SortStableFunc(added, func(a, b gitopsv1alpha1.AppCommit) int { return b.CommittedAt.Compare(a.CommittedAt.Time) })
	if len(added) > maxCommits && added[len(added)-1].SHA == sha {
		return append(added[:maxCommits-1], added[len(added)-1])
	}
	return added[:min(len(added), maxCommits)]
}
