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
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// deliver sees to it that the delivery of a commit is recorded: a new one, or
// the one under way to which more workloads have come.
func (r *Reconciler) deliver(ctx context.Context, s *scope, found *match, tied []*workload) error {
	s.lc.Status.Commits = remember(s.lc.Status.Commits, found.commit.SHA, found.commit.Committer.When, s.now)
	newest := s.newest()
	if newest != nil && newest.Spec.Commit != nil && newest.Spec.Commit.SHA == found.commit.SHA && !cameBack(newest, tied) {
		return r.completeNewest(ctx, s)
	}
	kav, err := r.newDelivery(ctx, s, found, tied)
	if err != nil {
		return err
	}
	if err := apply.Object(ctx, r.Client, kav, fieldOwner); err != nil {
		return err
	}
	s.deliveries = slices.Insert(s.deliveries, 0, *kav)
	s.lc.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: kav.Namespace, Name: kav.Name, Commit: found.commit.SHA}
	return nil
}

func (s *scope) newest() *lifecyclev1.KeptnAppVersion {
	if len(s.deliveries) == 0 {
		return nil
	}
	return &s.deliveries[0]
}

// cameBack says whether a workload that already had the delivery's template lost
// it and got it again, as with a rollback: then the checks run again.
func cameBack(kav *lifecyclev1.KeptnAppVersion, tied []*workload) bool {
	for _, w := range tied {
		ref := refOf(kav.Spec.Workloads, kav.Namespace, w)
		if ref != nil && ref.TemplateHash == w.TemplateHash && !kav.Status.Status.Completed() {
			continue // it is under way, and was not seen to lose the template
		}
		if ref != nil && ref.AppliedAt != nil && timestamp(w.WrittenAt).After(ref.AppliedAt.Time) {
			return true
		}
	}
	return false
}

func refOf(refs []lifecyclev1.KeptnWorkloadRef, namespace string, w *workload) *lifecyclev1.KeptnWorkloadRef {
	for i := range refs {
		ref := &refs[i]
		if ref.Kind == w.Kind && ref.Name == w.Name && cmp.Or(ref.Namespace, namespace) == w.Namespace {
			return ref
		}
	}
	return nil
}

// completeNewest notes in the delivery under way which workloads have meanwhile
// got its commit's templates.
func (r *Reconciler) completeNewest(ctx context.Context, s *scope) error {
	newest := s.newest()
	if newest == nil || newest.Spec.Commit == nil || newest.Status.Status.Completed() {
		return nil
	}
	rendered, err := r.workloadsAt(ctx, s, newest.Spec.Commit.SHA)
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		return nil // history was rewritten, and nobody knows any more what it renders to
	}
	if err != nil {
		return err
	}
	kav := recordOnly(newest)
	if !fill(kav, rendered, s) {
		return nil
	}
	if err := apply.Object(ctx, r.Client, kav, fieldOwner); err != nil {
		return err
	}
	newest.Spec = kav.Spec
	return nil
}

// recordOnly is the part of a delivery that this controller applies.
func recordOnly(kav *lifecyclev1.KeptnAppVersion) *lifecyclev1.KeptnAppVersion {
	return &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       kav.Namespace,
			Name:            kav.Name,
			Labels:          kav.Labels,
			OwnerReferences: kav.OwnerReferences,
		},
		Spec: *kav.Spec.DeepCopy(),
	}
}

// fill notes the template of every live workload that carries what the commit
// renders, where it is not noted yet, and says whether there was one.
func fill(kav *lifecyclev1.KeptnAppVersion, rendered []manifest.Workload, s *scope) bool {
	changed := false
	for _, w := range s.live {
		ref := refOf(kav.Spec.Workloads, kav.Namespace, w)
		if ref == nil || ref.TemplateHash != "" || !renders(rendered, w, s.lc.Namespace) {
			continue
		}
		ref.TemplateHash = w.TemplateHash
		ref.AppliedAt = timestamp(w.WrittenAt)
		if status := statusOf(s.lc.Status.Workloads, w); kav.Spec.Commit.Evidence == lifecyclev1.EvidenceContent {
			status.Commit = kav.Spec.Commit.SHA
		}
		changed = true
	}
	return changed
}

// newDelivery is the record of a delivery that begins: what is delivered, and
// the policies of its commit that judge it.
func (r *Reconciler) newDelivery(ctx context.Context, s *scope, found *match, tied []*workload) (*lifecyclev1.KeptnAppVersion, error) {
	sha := found.commit.SHA
	attempt := s.attempts(sha) + 1
	kav := &lifecyclev1.KeptnAppVersion{}
	kav.Namespace = s.recordNamespace()
	kav.Name = resourceName(s.lc.Spec.App, short(sha), digest(8, s.lc.Spec.App, s.source.Spec.Environment, s.lc.Namespace, s.lc.Name, sha, strconv.Itoa(int(attempt)))) //nolint:gosec // a count of deliveries
	kav.Labels = map[string]string{gitopsv1alpha1.SourceLabel: s.source.Name}
	kav.Spec = lifecyclev1.KeptnAppVersionSpec{
		AppName:          s.lc.Spec.App,
		Version:          short(sha),
		Revision:         attempt,
		Lifecycle:        &lifecyclev1.LifecycleRef{Namespace: s.lc.Namespace, Name: s.lc.Name},
		Environment:      s.source.Spec.Environment,
		Commit:           &lifecyclev1.Commit{SHA: sha, Repository: s.source.Spec.URL, Evidence: found.evidence},
		RolloutStartedAt: timestamp(latest(tied)),
		Adopted:          len(s.deliveries) == 0 && latest(tied).Before(s.watchedSince()),
	}
	if newest := s.newest(); newest != nil && newest.Spec.Version != kav.Spec.Version {
		kav.Spec.PreviousVersion = newest.Spec.Version
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

// recordNamespace is where deliveries are recorded: beside the workloads.
func (s *scope) recordNamespace() string {
	for _, w := range s.live {
		if w.Namespace == s.lc.Namespace {
			return s.lc.Namespace
		}
	}
	return s.live[0].Namespace
}

// addWorkloads lists what the commit delivers. Where the commit was found by
// annotation, what carries it counts as delivered, whatever its content.
func (r *Reconciler) addWorkloads(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion, found *match, tied []*workload) error {
	rendered, err := r.workloadsAt(ctx, s, found.commit.SHA)
	if err != nil {
		return err
	}
	for _, w := range rendered {
		ref := lifecyclev1.KeptnWorkloadRef{Kind: w.Kind, Name: w.Name, Version: kav.Spec.Version}
		ns := cmp.Or(w.Namespace, s.lc.Namespace)
		if slices.Contains(s.denied, ns) {
			continue
		}
		if ns != kav.Namespace {
			ref.Namespace = ns
		}
		kav.Spec.Workloads = append(kav.Spec.Workloads, ref)
	}
	if found.evidence == lifecyclev1.EvidenceAnnotation {
		for _, w := range tied {
			if ref := refOf(kav.Spec.Workloads, kav.Namespace, w); ref != nil {
				ref.TemplateHash, ref.AppliedAt = w.TemplateHash, timestamp(w.WrittenAt)
			}
		}
	}
	fill(kav, rendered, s)
	return nil
}

// addChecks freezes what the lifecycle of the commit asks for.
func (r *Reconciler) addChecks(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion) error {
	sha := kav.Spec.Commit.SHA
	app, policies, problem, err := r.lifecycleAt(ctx, s, sha)
	if err != nil {
		return err
	}
	if problem != "" {
		kav.Spec.Problem = problem
		return nil
	}
	kav.Spec.RolloutTimeout = app.RolloutTimeout
	kav.Spec.Params = app.Params
	if app.PostDeployment == nil {
		return nil
	}
	kav.Spec.Soak = app.PostDeployment.Soak
	for _, name := range app.PostDeployment.Policies {
		kav.Spec.PostDeploymentPolicies = append(kav.Spec.PostDeploymentPolicies,
			lifecyclev1.NamedPolicy{Name: name, Spec: policies[name]})
	}
	return nil
}

// lifecycleAt returns what the app's lifecycle.yaml says at a commit, with the
// policies it names, or why it cannot be used.
func (r *Reconciler) lifecycleAt(ctx context.Context, s *scope, sha string) (lc gitopsv1alpha1.LifecycleSpec, policies map[string]*gitopsv1alpha1.SLOPolicySpec, problem string, err error) {
	found, err := r.Repositories.Found(ctx, s.repo, sha, s.source)
	if err != nil {
		return lc, nil, "", err
	}
	i := slices.IndexFunc(found.Apps, func(a manifest.App) bool {
		return a.Path == s.folder() && a.File == s.file() && repository.CopyName(s.source, a.Lifecycle.Name) == s.lc.Name
	})
	if i < 0 {
		return lc, nil, firstError(found.Problems, s.file()), nil // no lifecycle yet, no checks
	}
	app := &found.Apps[i]
	if app.Problems.HasErrors() {
		return lc, nil, firstError(app.Problems, ""), nil
	}
	policies = make(map[string]*gitopsv1alpha1.SLOPolicySpec, len(app.Policies))
	for i := range app.Policies {
		policies[app.Policies[i].Name] = &app.Policies[i].Spec
	}
	return app.Lifecycle.Spec, policies, "", nil
}

// firstError is the first error among the problems; with a file, of that file.
func firstError(problems manifest.Problems, file string) string {
	for _, p := range problems {
		if p.Severity == manifest.Error && (file == "" || p.File == file) {
			return p.String()
		}
	}
	return ""
}
