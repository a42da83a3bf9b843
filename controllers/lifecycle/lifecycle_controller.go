// Package lifecycle follows commits into the cluster: it ties the rollouts of an
// app's workloads to the commits they come from (Lifecycle), records each as a
// delivery (KeptnAppVersion) with all that its commit has checked, and says on the
// commits how far they have come. That deliveries are walked through their phases
// is package delivery's. It never changes a workload.
package lifecycle

import (
	"context"
	"errors"
	"path"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/optional"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource"
)

// fieldOwner is who applies deliveries.
const fieldOwner = "keptn-lifecycle"

// Reconciler follows the commits of one app, which is a Lifecycle, into the
// cluster, and says on them how far they have come.
type Reconciler struct {
	client.Client

	Clock  clock.PassiveClock
	Events events.EventRecorder
	// APIReader reads past the cache what appliers say of what they apply.
	APIReader client.Reader
	// Kinds are those of appliers, which a cluster need not have.
	Kinds *optional.Kinds
	// Images tell what the images of pods were built from.
	Images       *evidence.Images
	Repositories *repository.Repositories
	Reporter     *report.Reporter
	// Fetch asks for a look at the remote of a GitSource, since something runs
	// that no known commit explains.
	Fetch func(ctx context.Context, source types.NamespacedName)
	// DetailsURL is the address with more on a delivery, which its statuses lead to;
	// [CheckDetailsURL] says what it may hold. Empty: they lead nowhere.
	DetailsURL string
	// Cluster names this cluster in the record of deployments.
	Cluster string
	// Shard is whose Lifecycles are followed here.
	Shard shard.Shard

	news  chan event.GenericEvent
	turns remote.Turns
}

// scope is what one reconcile of a Lifecycle works on; each step fills in what
// it is named for.
type scope struct {
	lc     *gitopsv1alpha1.Lifecycle
	source *gitopsv1alpha1.GitSource
	// origin is where the source reads from and reports to.
	origin repository.Origin
	app    *repository.App
	now    time.Time
	// head is the newest commit of the source.
	head string
	// live are the app's workloads that exist and may be governed.
	live []*workload.Workload
	// denied are namespaces that do not agree to be governed.
	denied []string
	// deliveries of the app, newest first.
	deliveries []lifecyclev1.KeptnAppVersion
	// recheck is when to look again if no event will tell; zero is never.
	recheck time.Duration
	// pending are what appliers have yet to say of what newly runs.
	pending []string
	// unasked are why registries could not be asked for the images of what newly runs.
	unasked []string
	// handled is the request for a delivery that nothing is left to be done for.
	handled string
	// visit is to the servers that are asked.
	visit visit
}

// observedHead is the commit up to which commits have been looked at.
func (s *scope) observedHead() string {
	revision, err := gitsource.ParseRevision(s.lc.Status.ObservedRevision)
	if err != nil {
		return ""
	}
	return revision.Commit
}

// lookAgain notes that the reconcile is wanted again after d at the latest.
func (s *scope) lookAgain(d time.Duration) {
	if d > 0 && (s.recheck == 0 || d < s.recheck) {
		s.recheck = d
	}
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=lifecycles,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=lifecycles/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=kustomize.toolkit.fluxcd.io,resources=kustomizations,verbs=get;list;watch
// +kubebuilder:rbac:groups=helm.toolkit.fluxcd.io,resources=helmreleases,verbs=get;list;watch
// +kubebuilder:rbac:groups=source.toolkit.fluxcd.io,resources=gitrepositories;ocirepositories;buckets;externalartifacts;helmcharts,verbs=get
// +kubebuilder:rbac:groups=argoproj.io,resources=applications,verbs=get;list;watch

// SetupWithManager registers the reconciler and what wakes it: its own object,
// a new revision of its source, a source with the same contexts, its workloads, its
// deliveries, the consent of a namespace, and news from the forge.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	r.news = make(chan event.GenericEvent)
	opts.MaxConcurrentReconciles = r.turns.Among(opts.MaxConcurrentReconciles)
	b := ctrl.NewControllerManagedBy(mgr).
		Named("lifecycle").
		For(&gitopsv1alpha1.Lifecycle{}, builder.WithPredicates(changedByOthers())).
		Watches(&gitopsv1alpha1.GitSource{}, r.wake(bySource), builder.WithPredicates(newRevision())).
		Watches(&gitopsv1alpha1.GitSource{}, r.wakeUnmatched(), builder.WithPredicates(newRevision())).
		Watches(&gitopsv1alpha1.GitSource{}, r.wakeSame(), builder.WithPredicates(report.WritesOtherwise())).
		Watches(&lifecyclev1.KeptnAppVersion{}, handler.EnqueueRequestsFromMapFunc(lifecycleOfDelivery)).
		Watches(&corev1.Namespace{}, r.wakeByNamespace(), builder.WithPredicates(predicate.AnnotationChangedPredicate{})).
		WatchesRawSource(source.Channel(r.news, &handler.EnqueueRequestForObject{})).
		WithOptions(opts)
	for kind, object := range workload.Committed {
		b = b.Watches(object(), r.wakeByWorkload(kind), builder.WithPredicates(newGeneration()))
	}
	c, err := b.Build(r)
	if err != nil {
		return err
	}
	return r.watchAppliers(c)
}

// steps are what is done with a Lifecycle, first to last. Each works on what the
// ones above it found.
func steps() []func(*Reconciler, context.Context, *scope) error {
	return []func(*Reconciler, context.Context, *scope) error{
		(*Reconciler).readHistory,
		(*Reconciler).verifyCommits,
		(*Reconciler).observeWorkloads,
		(*Reconciler).readDeliveries,
		(*Reconciler).tieToCommit,
		(*Reconciler).deliverVerified,
		(*Reconciler).deliverRequested,
		(*Reconciler).pruneDeliveries,
		(*Reconciler).reportStatuses,
	}
}

// Reconcile brings the app's deliveries and what commits show of them up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	lc := &gitopsv1alpha1.Lifecycle{}
	lc.Namespace, lc.Name = req.Namespace, req.Name
	err := r.Get(ctx, req.NamespacedName, lc)
	if apierrors.IsNotFound(err) || err == nil && !r.Shard.Owns(lc) {
		r.Reporter.Forget(lc)
		return reconcile.Result{}, nil
	}
	if err != nil || !lc.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, err
	}
	before := lc.DeepCopy()
	s := &scope{lc: lc, source: &gitopsv1alpha1.GitSource{}, now: r.Clock.Now(), visit: visit{turns: &r.turns}}
	err = r.follow(ctx, s)
	lc.Status.ObservedGeneration = lc.Generation
	if _, patchErr := apply.Status(ctx, r.Client, before, lc); patchErr != nil {
		return apply.Result(0, patchErr)
	}
	announce(r.Events, before, lc)
	if s.handled != "" {
		err = errors.Join(err, r.consume(ctx, lc, s.handled))
	}
	if err != nil {
		return apply.Result(0, err)
	}
	return apply.Result(s.recheck, nil)
}

// follow brings the status up to date, in memory.
func (r *Reconciler) follow(ctx context.Context, s *scope) error {
	defer s.visit.end()
	if inert(s.lc) {
		condition.Summarize(s.lc, condition.Ready(gitopsv1alpha1.ReadFromGitReason,
			"this object has no effect: a GitSource reads the same file from Git"))
		return nil
	}
	source := types.NamespacedName{Namespace: s.lc.Namespace, Name: s.lc.Labels[gitopsv1alpha1.SourceLabel]}
	if err := r.Get(ctx, source, s.source); err != nil {
		return client.IgnoreNotFound(err)
	}
	revision, err := gitsource.ParseRevision(s.source.Status.ObservedRevision)
	if err != nil {
		return nil // the source has not been read yet, and wakes us when it is
	}
	s.head = revision.Commit
	if err := r.open(ctx, s); err != nil {
		if repository.Problem(err) != "" {
			return nil // the source tells of it, and wakes us when it is mended
		}
		return s.failed(err)
	}
	if s.origin.PublicURL() != s.source.Status.URL {
		return nil // the revision is of another repository; the source wakes us when it has read this one
	}
	for _, step := range steps() {
		if err := step(r, ctx, s); err != nil {
			return s.failed(err)
		}
	}
	condition.Summarize(s.lc, s.outcome())
	return nil
}

// failed says that something could not be done yet. For want of a turn at a server it is
// tried again when there may be one, and what was said of the app stands.
func (s *scope) failed(err error) error {
	var busy *remote.BusyError
	isBusy := errors.As(err, &busy)
	if ready := condition.Of(s.lc, meta.ReadyCondition); !isBusy || ready == nil || ready.ObservedGeneration != s.lc.Generation {
		condition.Summarize(s.lc, condition.Waiting(meta.ProgressingWithRetryReason, "%v", err))
	}
	if !isBusy {
		return err
	}
	s.lookAgain(busy.Wait)
	return nil
}

// open opens the repository of the source, and the app in it.
func (r *Reconciler) open(ctx context.Context, s *scope) (err error) {
	if s.origin, err = r.Repositories.Origin(ctx, s.source); err != nil {
		return err
	}
	s.app, err = r.Repositories.App(ctx, r.opener(s), s.origin, s.lc, s.head)
	return err
}

// outcome says how the app stands.
func (s *scope) outcome() condition.Outcome {
	switch {
	case s.app.Problem != "":
		return condition.Failed(s.app.Reason, "%s", s.app.Problem)
	case len(s.denied) > 0:
		return condition.Failed(gitopsv1alpha1.AccessDeniedReason,
			"namespace %q does not agree to be governed from %q: list it in the GitSource's targetNamespaces, and annotate it with %s: %s",
			s.denied[0], s.lc.Namespace, gitopsv1alpha1.AllowFromAnnotation, s.lc.Namespace)
	case len(s.app.Rendered.Workloads)+len(s.app.Rendered.Releases) == 0:
		return condition.Failed(gitopsv1alpha1.NoWorkloadsReason,
			"%s renders to no Deployment, StatefulSet or DaemonSet, and to no HelmRelease", path.Join("/", s.app.Folder))
	case len(s.deliveries) == 0:
		return condition.Waiting(phase.Waiting, "waiting for the first rollout")
	}
	newest := &s.deliveries[0].Status
	message := strings.TrimSuffix(s.deliveries[0].Spec.Version+": "+phase.Decisive(&newest.Delivery).Message, ": ")
	switch {
	case newest.Status.Passed():
		return condition.Ready(phase.Decisive(&newest.Delivery).Reason, "%s", message)
	case newest.Status.Completed():
		return condition.Failed(phase.Decisive(&newest.Delivery).Reason, "%s", message)
	default:
		return condition.Waiting(phase.Progressing, "%s", message)
	}
}

// announce emits an event for every condition whose status or reason changed.
func announce(recorder events.EventRecorder, before, after *gitopsv1alpha1.Lifecycle) {
	for _, change := range condition.Changes(before.Status.Conditions, after.Status.Conditions) {
		recorder.Eventf(after, nil, change.EventType(), change.Reason, change.Type, "%s", condition.Note(change.Message))
	}
}

// inert says whether a Lifecycle has no effect: it is no copy that a GitSource made
// of what it read.
func inert(lc *gitopsv1alpha1.Lifecycle) bool {
	name := lc.Labels[gitopsv1alpha1.SourceLabel]
	owner := metav1.GetControllerOf(lc)
	return name == "" || owner == nil || owner.Kind != gitopsv1alpha1.GitSourceKind || owner.Name != name
}
