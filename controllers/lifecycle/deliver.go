package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// deliver sees to it that the delivery of a commit is recorded: a new one, or
// the one under way to which more workloads have come.
func (r *Reconciler) deliver(ctx context.Context, s *scope, found *match, tied []*workload.Workload) error {
	s.lc.Status.Commits = remember(s.lc.Status.Commits, found.commit.SHA, found.commit.Committer.When, s.now)
	if current := s.current(found.commit.SHA); current != nil && !cameBack(current, tied) && !s.late(current, tied) {
		s.point(current) // again, where the status that did could not be written
		return r.complete(ctx, s, current, found.evidence, found.named(tied))
	}
	kav, err := r.newDelivery(ctx, s, found, tied)
	if err != nil {
		return err
	}
	return r.begin(ctx, s, kav)
}

// begin records a delivery.
func (r *Reconciler) begin(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion) error {
	if err := apply.Object(ctx, r.Client, kav, fieldOwner); err != nil {
		return err
	}
	s.deliveries = slices.Insert(s.deliveries, 0, *kav)
	s.point(kav)
	s.tie(kav, s.live)
	return nil
}

// point has the status name a delivery, unless it was only asked for and another is
// named, which is what runs.
func (s *scope) point(kav *lifecyclev1.KeptnAppVersion) {
	if s.lc.Status.Delivery == nil || wasApplied(&kav.Spec) {
		s.lc.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: kav.Namespace, Name: kav.Name, Commit: kav.Spec.Commit.SHA}
	}
}

// tie notes that workloads carry what a delivery brings, as far as they do. That is
// for when the delivery is recorded: what is tied is not looked at again, and a
// delivery that could not be recorded would be lost.
func (s *scope) tie(kav *lifecyclev1.KeptnAppVersion, carrying []*workload.Workload) {
	if kav.Spec.Commit.Evidence != lifecyclev1.EvidenceContent {
		return
	}
	for _, w := range carrying {
		if ref := refOf(kav.Spec.Workloads, kav.Namespace, w); ref != nil && ref.TemplateHash == w.TemplateHash {
			statusOf(s.lc.Status.Workloads, w).Commit = kav.Spec.Commit.SHA
		}
	}
}

func (s *scope) newest() *lifecyclev1.KeptnAppVersion {
	if len(s.deliveries) == 0 {
		return nil
	}
	return &s.deliveries[0]
}

// current is the delivery of a commit, if no other was rolled out since; else nil.
// What was only asked for is not in its way.
func (s *scope) current(sha string) *lifecyclev1.KeptnAppVersion {
	for i := range s.deliveries {
		kav := &s.deliveries[i]
		if kav.Spec.Commit != nil && kav.Spec.Commit.SHA == sha {
			return kav
		}
		if wasApplied(&kav.Spec) {
			return nil
		}
	}
	return nil
}

// cameBack says whether a workload that already had the delivery's template lost
// it and got it again, as with a rollback: then the checks run again.
func cameBack(kav *lifecyclev1.KeptnAppVersion, tied []*workload.Workload) bool {
	for _, w := range tied {
		ref := refOf(kav.Spec.Workloads, kav.Namespace, w)
		if ref != nil && ref.TemplateHash == w.TemplateHash && !kav.Status.Status.Completed() {
			continue // it is under way, and was not seen to lose the template
		}
		if ref != nil && ref.AppliedAt != nil && phase.Time(w.WrittenAt).After(ref.AppliedAt.Time) {
			return true
		}
	}
	return false
}

func refOf(refs []lifecyclev1.KeptnWorkloadRef, namespace string, w *workload.Workload) *lifecyclev1.KeptnWorkloadRef {
	for i := range refs {
		ref := &refs[i]
		if ref.Kind == w.Kind && ref.Name == w.Name && cmp.Or(ref.Namespace, namespace) == w.Namespace {
			return ref
		}
	}
	return nil
}

// completeNewest notes in the newest delivery that was rolled out, and in those that
// were asked for since, which workloads have meanwhile got their commits' templates.
func (r *Reconciler) completeNewest(ctx context.Context, s *scope) error {
	for i := range s.deliveries {
		kav := &s.deliveries[i]
		if err := r.complete(ctx, s, kav, lifecyclev1.EvidenceContent, nil); err != nil {
			return err
		}
		if wasApplied(&kav.Spec) {
			return nil
		}
	}
	return nil
}

// complete notes in a delivery under way which workloads have meanwhile got its
// commit's templates, by which evidence; those that name the commit have, whatever they
// carry, and are added where a release has installed them since.
func (r *Reconciler) complete(ctx context.Context, s *scope, underWay *lifecyclev1.KeptnAppVersion, by lifecyclev1.Evidence, named []*workload.Workload) error {
	if underWay.Spec.Commit == nil || underWay.Status.Status.Completed() {
		return nil
	}
	rendered, err := r.renderedAt(ctx, s, underWay.Spec.Commit.SHA)
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		return nil // history was rewritten, and nobody knows any more what it renders to
	}
	if err != nil {
		return err
	}
	unchanged, err := r.unchanged(ctx, s, rendered)
	if err != nil {
		return err
	}
	settled, err := r.settled(ctx, s, underWay, rendered)
	if err != nil {
		return err
	}
	kav := recordOnly(underWay)
	addInstalled(kav, s.installedAmong(named))
	s.removeGone(kav, rendered)
	noted := fill(kav, rendered, s, slices.Concat(named, unchanged, settled))
	if len(noted) == 0 && len(kav.Spec.Workloads) == len(underWay.Spec.Workloads) {
		return nil
	}
	begun(&kav.Spec, underWay.CreationTimestamp, by)
	if err := apply.Object(ctx, r.Client, kav, fieldOwner); err != nil {
		return err
	}
	underWay.Spec = kav.Spec
	s.point(underWay)
	s.tie(kav, slices.DeleteFunc(noted, func(w *workload.Workload) bool { return slices.Contains(named, w) }))
	for _, w := range settled {
		statusOf(s.lc.Status.Workloads, w).Commit = kav.Spec.Commit.SHA
	}
	return nil
}

// begun notes when the rollout of a delivery began that was asked for before it, and
// by which evidence it was found.
func begun(spec *lifecyclev1.KeptnAppVersionSpec, recorded metav1.Time, by lifecyclev1.Evidence) {
	if spec.RolloutStartedAt != nil {
		return
	}
	for _, ref := range spec.Workloads {
		at := ref.AppliedAt
		if at != nil && !at.Before(&recorded) && (spec.RolloutStartedAt == nil || at.Before(spec.RolloutStartedAt)) {
			spec.RolloutStartedAt = at
		}
	}
	if spec.Commit.Evidence == "" && spec.RolloutStartedAt != nil {
		spec.Commit.Evidence = by
	}
}

// recordOnly is the part of a delivery that this controller applies.
func recordOnly(kav *lifecyclev1.KeptnAppVersion) *lifecyclev1.KeptnAppVersion {
	record := &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       kav.Namespace,
			Name:            kav.Name,
			Labels:          kav.Labels,
			OwnerReferences: kav.OwnerReferences,
		},
		Spec: *kav.Spec.DeepCopy(),
	}
	if asked := kav.Annotations[DeliverAnnotation]; asked != "" {
		record.Annotations = map[string]string{DeliverAnnotation: asked}
	}
	return record
}

// fill notes the template of every live workload that carries what the commit
// renders, or is among those that are known to be of it, where none is noted yet, and
// returns those workloads.
func fill(kav *lifecyclev1.KeptnAppVersion, rendered *manifest.Rendered, s *scope, known []*workload.Workload) []*workload.Workload {
	var noted []*workload.Workload
	for _, w := range s.live {
		ref := refOf(kav.Spec.Workloads, kav.Namespace, w)
		if ref == nil || ref.TemplateHash != "" || !slices.Contains(known, w) && !s.explains(kav.Spec.Commit.SHA, rendered, w) {
			continue
		}
		ref.TemplateHash = w.TemplateHash
		ref.AppliedAt = phase.Time(w.WrittenAt)
		noted = append(noted, w)
	}
	return noted
}

// newDelivery is the record of a delivery that begins: what is delivered, and
// what its commit has checked. Without tied workloads nothing is rolled out yet.
func (r *Reconciler) newDelivery(ctx context.Context, s *scope, found *match, tied []*workload.Workload) (*lifecyclev1.KeptnAppVersion, error) {
	sha := found.commit.SHA
	attempt := s.attempts(sha) + 1
	kav := &lifecyclev1.KeptnAppVersion{}
	kav.Namespace = s.recordNamespace()
	kav.Name = workload.ResourceName(s.lc.Spec.App, gitname.Short(sha), workload.Digest(8, s.lc.Spec.App, s.origin.Environment, s.lc.Namespace, s.lc.Name, sha, strconv.Itoa(int(attempt)))) //nolint:gosec // a count of deliveries
	kav.Labels = map[string]string{gitopsv1alpha1.SourceLabel: s.source.Name}
	kav.Spec = lifecyclev1.KeptnAppVersionSpec{
		AppName:     s.lc.Spec.App,
		Version:     gitname.Short(sha),
		Revision:    attempt,
		Lifecycle:   &lifecyclev1.LifecycleRef{Namespace: s.lc.Namespace, Name: s.lc.Name},
		Environment: s.origin.Environment,
		Commit:      &lifecyclev1.Commit{SHA: sha, Repository: s.origin.URL, Evidence: found.evidence},
	}
	if len(tied) > 0 {
		kav.Spec.RolloutStartedAt = phase.Time(latest(tied))
		kav.Spec.Adopted = len(s.deliveries) == 0 && latest(tied).Before(s.watchedSince())
	}
	if i := slices.IndexFunc(s.deliveries, func(d lifecyclev1.KeptnAppVersion) bool { return wasApplied(&d.Spec) }); i >= 0 && s.deliveries[i].Spec.Version != kav.Spec.Version {
		kav.Spec.PreviousVersion = s.deliveries[i].Spec.Version
	}
	if err := r.addWorkloads(ctx, s, kav, found, tied); err != nil {
		return nil, err
	}
	if err := r.addCommits(ctx, s, kav); err != nil {
		return nil, err
	}
	if err := r.addChecks(ctx, s, kav); err != nil {
		return nil, err
	}
	if kav.Namespace == s.lc.Namespace {
		if err := apply.Own(s.lc, kav, r.Scheme()); err != nil {
			return nil, err
		}
	}
	return kav, nil
}

// watchedSince is when what runs began to be watched: a rollout before it is not
// one that was seen to begin. Between a commit and its Lifecycle lies a look at
// the remote.
func (s *scope) watchedSince() time.Time {
	return s.lc.CreationTimestamp.Add(-max(s.source.Spec.Interval.Duration, time.Minute))
}

// attempts is how often a commit was delivered.
func (s *scope) attempts(sha string) uint {
	var n uint
	for i := range s.deliveries {
		if c := s.deliveries[i].Spec.Commit; c != nil && c.SHA == sha {
			n = max(n, s.deliveries[i].Spec.Revision)
		}
	}
	return n
}

// recordNamespace is where deliveries are recorded: beside the workloads. It is empty
// where none of their namespaces may be governed.
func (s *scope) recordNamespace() string {
	var namespaces []string
	for _, w := range s.live {
		namespaces = append(namespaces, w.Namespace)
	}
	for _, w := range s.lc.Status.Workloads {
		if len(s.live) == 0 && !slices.Contains(s.denied, w.Namespace) {
			namespaces = append(namespaces, w.Namespace)
		}
	}
	switch {
	case slices.Contains(namespaces, s.lc.Namespace):
		return s.lc.Namespace
	case len(namespaces) == 0:
		return ""
	default:
		return namespaces[0]
	}
}

// addWorkloads lists what the commit delivers, as far as it may be governed: what it
// renders to, and what its releases have installed. Where the commit was found by
// annotation, what carries it counts as delivered, whatever its content.
func (r *Reconciler) addWorkloads(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion, found *match, tied []*workload.Workload) error {
	rendered, err := r.renderedAt(ctx, s, found.commit.SHA)
	if err != nil {
		return err
	}
	for _, w := range rendered.Workloads {
		ref := lifecyclev1.KeptnWorkloadRef{Kind: w.Kind, Name: w.Name, Version: kav.Spec.Version}
		ns := cmp.Or(w.Namespace, s.lc.Namespace)
		allowed, err := trust.MayGovern(ctx, r, s.source, ns)
		if err != nil {
			return err
		}
		if !allowed {
			continue
		}
		if ns != kav.Namespace {
			ref.Namespace = ns
		}
		kav.Spec.Workloads = append(kav.Spec.Workloads, ref)
	}
	unchanged, err := r.unchanged(ctx, s, rendered)
	if err != nil {
		return err
	}
	installed := s.deliveredBy(rendered, tied)
	addInstalled(kav, installed)
	fill(kav, rendered, s, slices.Concat(found.named(tied), unchanged, s.carrying(found, installed, tied)))
	return nil
}

// unchanged are the live workloads of a commit that renders them as another one does:
// that leaves them as they are, whatever they carry.
func (r *Reconciler) unchanged(ctx context.Context, s *scope, rendered *manifest.Rendered) ([]*workload.Workload, error) {
	var same []*workload.Workload
	for _, w := range s.live {
		commit := statusOf(s.lc.Status.Workloads, w).Commit
		if commit == "" {
			continue
		}
		before, err := r.renderedAt(ctx, s, commit)
		if err := ignoreRewritten(err); err != nil {
			return nil, err
		}
		if before != nil && sameIn(before, rendered, w, s.lc.Namespace) {
			same = append(same, w)
		}
	}
	return same, nil
}
