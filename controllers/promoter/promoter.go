// Package promoter tells gitops-promoter what it may promote: for an app on a branch
// that a PromotionStrategy asks Keptn about, it keeps one CommitStatus at the branch's
// newest commit, which says whether what runs of that commit has passed. It promotes
// nothing, and changes no object of gitops-promoter but those.
package promoter

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/optional"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/gitsource"
)

// fieldOwner is who applies CommitStatuses.
const fieldOwner = "keptn-promoter"

// definition is the CustomResourceDefinition of what asks.
const definition = "promotionstrategies." + group

// Reconciler keeps the CommitStatus of each Lifecycle that gitops-promoter asks about.
type Reconciler struct {
	client.Client
	// Kinds are those of gitops-promoter, which a cluster need not have.
	Kinds *optional.Kinds
	// Details is the address with more on a delivery, empty for none; nil if there is
	// none for any.
	Details func(*lifecyclev1.KeptnAppVersion) string
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources;lifecycles,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions,verbs=get;list;watch
// +kubebuilder:rbac:groups=promoter.argoproj.io,resources=promotionstrategies;gitrepositories,verbs=get;list;watch
// +kubebuilder:rbac:groups=promoter.argoproj.io,resources=commitstatuses,verbs=get;list;watch;create;patch;delete

// SetupWithManager registers the reconciler and what wakes it: a Lifecycle, its source,
// its deliveries, and, while the cluster has those kinds, who asks and what was answered.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	c, err := ctrl.NewControllerManagedBy(mgr).
		Named("promoter").
		For(&gitopsv1alpha1.Lifecycle{}).
		Watches(&gitopsv1alpha1.GitSource{}, handler.EnqueueRequestsFromMapFunc(r.readBy), builder.WithPredicates(otherRepository())).
		Watches(&lifecyclev1.KeptnAppVersion{}, handler.EnqueueRequestsFromMapFunc(delivered)).
		WithOptions(opts).
		Build(r)
	if err != nil {
		return err
	}
	asked := handler.EnqueueRequestsFromMapFunc(r.beside)
	answered := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &gitopsv1alpha1.Lifecycle{}, handler.OnlyControllerOwner())
	for kind, wake := range map[string]handler.EventHandler{strategyKind: asked, repositoryKind: asked, statusKind: answered} {
		if err := r.Kinds.Watch(c, newObject(kind), wake, changedByOthers()); err != nil {
			return fmt.Errorf("watch %s: %w", kind, err)
		}
	}
	return nil
}

// changedByOthers lets through what is changed of an object but its status, which
// gitops-promoter writes often.
func changedByOthers() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})
}

// otherRepository lets sources through that have another spec, or another repository.
func otherRepository() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*gitopsv1alpha1.GitSource)
		after, ok2 := e.ObjectNew.(*gitopsv1alpha1.GitSource)
		return ok && ok2 && before.Status.URL != after.Status.URL
	}})
}

// readBy are the Lifecycles that a source reads.
func (r *Reconciler) readBy(ctx context.Context, source client.Object) []reconcile.Request {
	return r.find(ctx, client.MatchingFields{repository.SourceIndex: client.ObjectKeyFromObject(source).String()})
}

// beside are the Lifecycles in the namespace of an object.
func (r *Reconciler) beside(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.find(ctx, client.InNamespace(obj.GetNamespace()))
}

func (r *Reconciler) find(ctx context.Context, which client.ListOption) []reconcile.Request {
	var found gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &found, which); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List lifecycles", "which", which)
		return nil
	}
	requests := make([]reconcile.Request, len(found.Items))
	for i := range found.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&found.Items[i])
	}
	return requests
}

// delivered is the Lifecycle of a delivery.
func delivered(_ context.Context, obj client.Object) []reconcile.Request {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Spec.Lifecycle == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: kav.Spec.Lifecycle.Namespace, Name: kav.Spec.Lifecycle.Name}}}
}

// Reconcile brings the CommitStatus of a Lifecycle up to date. With the Lifecycle it
// goes by itself, which owns it.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	// The definitions are in the cache, so that a cluster without gitops-promoter is not
	// asked for its kinds time and again.
	err := r.Get(ctx, types.NamespacedName{Name: definition}, optional.Definition())
	if err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	lc := &gitopsv1alpha1.Lifecycle{}
	if err := r.Get(ctx, req.NamespacedName, lc); err != nil || !lc.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	err = r.answer(ctx, lc)
	if absent(err) {
		return reconcile.Result{}, nil // a kind has gone, or has not quite come; its watch wakes us
	}
	return apply.Result(0, err)
}

// answer sees to it that there is the CommitStatus that is asked for, and none else.
func (r *Reconciler) answer(ctx context.Context, lc *gitopsv1alpha1.Lifecycle) error {
	source := &gitopsv1alpha1.GitSource{}
	err := r.Get(ctx, types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}, source)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	revision, unread := gitsource.ParseRevision(lc.Status.ObservedRevision)
	if err != nil || unread != nil || !metav1.IsControlledBy(lc, source) {
		return r.withdraw(ctx, lc)
	}
	q := question{branch: strings.TrimPrefix(revision.Name, "refs/heads/"), key: keyOf(source, lc), url: source.Status.URL}
	by, asked, err := r.askedBy(ctx, lc.Namespace, q)
	if err != nil {
		return err
	}
	if !asked {
		return r.withdraw(ctx, lc)
	}
	deliveries, err := r.deliveries(ctx, lc, source)
	if err != nil {
		return err
	}
	status := by.commitStatus(lc, q, revision.Commit, r.judge(lc, deliveries, revision.Commit))
	if err := apply.Own(lc, status, r.Scheme()); err != nil {
		return err
	}
	return apply.Changed(ctx, reading{r.Client, r.Kinds}, status, fieldOwner)
}

// reading is a client that reads one object where Kinds do.
type reading struct {
	client.Client
	kinds *optional.Kinds
}

// Get implements client.Reader.
func (r reading) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return r.kinds.Get(ctx, key, obj, opts...)
}

// withdraw deletes the CommitStatus of a Lifecycle.
func (r *Reconciler) withdraw(ctx context.Context, lc *gitopsv1alpha1.Lifecycle) error {
	status := newObject(statusKind)
	err := r.Kinds.Get(ctx, types.NamespacedName{Namespace: lc.Namespace, Name: nameOf(lc)}, status)
	if err != nil || !metav1.IsControlledBy(status, lc) {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(r.Delete(ctx, status, client.Preconditions{UID: new(status.GetUID())}))
}

// deliveries are those of a Lifecycle, and none that only say so.
func (r *Reconciler) deliveries(ctx context.Context, lc *gitopsv1alpha1.Lifecycle, source *gitopsv1alpha1.GitSource) ([]lifecyclev1.KeptnAppVersion, error) {
	var list lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &list, client.MatchingFields{delivery.ByLifecycle: lc.Namespace + "/" + lc.Name}); err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	var own []lifecyclev1.KeptnAppVersion
	for i := range list.Items {
		mine, err := trust.Belongs(ctx, r, &list.Items[i], lc, source)
		if err != nil {
			return nil, err
		}
		if mine {
			own = append(own, list.Items[i])
		}
	}
	return own, nil
}

// askedBy is the first PromotionStrategy of a namespace, by its name, that asks; false if
// none does.
func (r *Reconciler) askedBy(ctx context.Context, namespace string, q question) (s strategy, asked bool, err error) {
	list := newList(strategyKind)
	if err := r.Kinds.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return s, false, fmt.Errorf("list PromotionStrategies: %w", err)
	}
	for i := range list.Items {
		var s strategy
		if err := convert(&list.Items[i], &s); err != nil {
			return s, false, err
		}
		if !s.asks(q) {
			continue
		}
		in, err := r.repository(ctx, namespace, s.Spec.GitRepositoryRef.Name)
		if err != nil || in.isAt(q.url) {
			return s, err == nil, err
		}
	}
	return s, false, nil
}

// repository reads a GitRepository; one that is not there is at no address.
func (r *Reconciler) repository(ctx context.Context, namespace, name string) (gitRepository, error) {
	var g gitRepository
	obj := newObject(repositoryKind)
	err := r.Kinds.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, obj)
	if err == nil {
		err = convert(obj, &g)
	}
	if client.IgnoreNotFound(err) != nil {
		return g, fmt.Errorf("read GitRepository %s/%s: %w", namespace, name, err)
	}
	return g, nil
}

// absent says whether the cluster does not have a kind.
func absent(err error) bool { return apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) }
