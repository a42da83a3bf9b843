package gitops

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/kustomize/api/konfig"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/gitsource/manifest"
)

// settled is what the copies of a source were made of, and as what the cluster held them
// then: as long as both stay there is nothing to apply.
type settled struct {
	found *manifest.Found
	// source is its identity, generation and shard, and held its copies by their versions.
	source, held string
}

// applyCopies keeps one object for every Lifecycle and SLOPolicy that was found,
// and deletes those that are no longer in Git. What has an error in it stays as
// it last was without.
func (r *Reconciler) applyCopies(ctx context.Context, s *scope) error {
	s.source.Status.Lifecycles = lifecyclesOf(s.source, s.found.Apps)
	held, err := r.copiesOf(ctx, s.source)
	if err != nil {
		return err
	}
	now := settled{
		found:  s.found,
		source: fmt.Sprint(s.source.UID, s.source.Generation, s.source.Labels[shard.Label]),
		held:   versions(held),
	}
	name := client.ObjectKeyFromObject(s.source)
	r.mu.Lock()
	before := r.settled[name]
	r.mu.Unlock()
	if before == now {
		return nil
	}
	if err := r.changeCopies(ctx, s, held); err != nil || s.taken != "" {
		return err
	}
	r.mu.Lock()
	r.settled[name] = now // what was written is another version, which is looked at once more
	r.mu.Unlock()
	return nil
}

func (r *Reconciler) changeCopies(ctx context.Context, s *scope, held []client.Object) error {
	kept := map[string]bool{}
	var failures error
	for i := range s.found.Apps {
		app := &s.found.Apps[i]
		lc := r.lifecycleCopy(s.source, app)
		kept[key(lc)] = true
		if app.Problems.HasErrors() {
			continue
		}
		failures = errors.Join(failures, r.applyCopy(ctx, s, lc, app.Lifecycle.Name))
	}
	names := policyNames(s.found.Files)
	for _, file := range s.found.Files {
		if invalid(s.found.Problems, file.Path) {
			continue
		}
		for i := range file.Policies {
			p := r.policyCopy(s.source, names, file.Path, &file.Policies[i])
			kept[key(p)] = true
			failures = errors.Join(failures, r.applyCopy(ctx, s, p, file.Policies[i].Name))
		}
	}
	return errors.Join(failures, r.prune(ctx, s, held, kept))
}

// lifecyclesOf tells of the apps that were found.
func lifecyclesOf(source *gitopsv1alpha1.GitSource, apps []manifest.App) []gitopsv1alpha1.FoundLifecycle {
	var found []gitopsv1alpha1.FoundLifecycle
	for i := range apps {
		lc := &apps[i].Lifecycle
		found = append(found, gitopsv1alpha1.FoundLifecycle{
			Name: repository.CopyName(source, lc.Name), App: lc.AppName(), Path: apps[i].Path, File: apps[i].File,
		})
	}
	return found
}

// applyCopy writes a copy of what has a name in Git, unless the cluster already has it as
// it is, or somebody else has an object of the copy's name.
func (r *Reconciler) applyCopy(ctx context.Context, s *scope, obj client.Object, name string) error {
	live := obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the type of its original
	if err := r.Get(ctx, client.ObjectKeyFromObject(obj), live); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read the copy of %q: %w", name, err)
	}
	if err := apply.Own(s.source, obj, r.Scheme()); err != nil {
		return err
	}
	mine, owner := metav1.GetControllerOf(obj), metav1.GetControllerOf(live)
	if owner != nil && (owner.Kind != mine.Kind || owner.Name != mine.Name) {
		if s.taken == "" {
			s.taken = fmt.Sprintf("%q of %s has no effect: its copy would be %q in namespace %q, which %s %q has already; rename it, or this GitSource",
				name, obj.GetAnnotations()[gitopsv1alpha1.FileAnnotation], obj.GetName(), obj.GetNamespace(), owner.Kind, owner.Name)
		}
		return nil
	}
	return apply.Changed(ctx, r.Client, obj, fieldOwner)
}

// wakeNamed wakes the sources that may want the name of a copy.
func (r *Reconciler) wakeNamed() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, copied client.Object) []reconcile.Request {
		var sources gitopsv1alpha1.GitSourceList
		if err := r.List(ctx, &sources, client.InNamespace(copied.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List the sources that may want a name", "name", copied.GetName())
			return nil
		}
		var requests []reconcile.Request
		for i := range sources.Items {
			if strings.HasPrefix(copied.GetName(), repository.CopyName(&sources.Items[i], "")) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&sources.Items[i])})
			}
		}
		return requests
	})
}

// released lets through objects whose names, or which themselves, are free to be taken.
func released() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return metav1.GetControllerOf(e.ObjectOld) != nil && metav1.GetControllerOf(e.ObjectNew) == nil
		},
	}
}

// lifecycleCopy is the object of an app that was found.
func (r *Reconciler) lifecycleCopy(source *gitopsv1alpha1.GitSource, app *manifest.App) *gitopsv1alpha1.Lifecycle {
	lc := &gitopsv1alpha1.Lifecycle{Spec: *app.Lifecycle.Spec.DeepCopy()}
	lc.Spec.App = app.Lifecycle.AppName()
	describe(lc, source, app.Lifecycle.Name, app.File)
	lc.Annotations[gitopsv1alpha1.PathAnnotation] = app.Path
	return lc
}

// policyCopy is the object of a policy that was found.
func (r *Reconciler) policyCopy(source *gitopsv1alpha1.GitSource, names map[policyIn]string, file string, found *gitopsv1alpha1.SLOPolicy) *gitopsv1alpha1.SLOPolicy {
	p := &gitopsv1alpha1.SLOPolicy{Spec: *found.Spec.DeepCopy()}
	describe(p, source, names[policyIn{file, found.Name}], file)
	return p
}

// policyIn is a policy of a file.
type policyIn struct{ file, name string }

// policyNames are what policies are called in the cluster. Where several files have
// one of a name, each app has its own: a digest of the file tells them apart.
func policyNames(files []*manifest.File) map[policyIn]string {
	holders := map[string]int{}
	for _, file := range files {
		for i := range file.Policies {
			holders[file.Policies[i].Name]++
		}
	}
	names := map[policyIn]string{}
	for _, file := range files {
		for i := range file.Policies {
			in := policyIn{file.Path, file.Policies[i].Name}
			if names[in] = in.name; holders[in.name] > 1 {
				names[in] = fmt.Sprintf("%s-%.4x", in.name, sha256.Sum256([]byte(file.Path)))
			}
		}
	}
	return names
}

// describe writes where a copy comes from.
func describe(obj client.Object, source *gitopsv1alpha1.GitSource, name, file string) {
	obj.SetNamespace(source.Namespace)
	obj.SetName(repository.CopyName(source, name))
	labels := map[string]string{gitopsv1alpha1.SourceLabel: source.Name}
	if key := source.Labels[shard.Label]; key != "" {
		labels[shard.Label] = key
	}
	obj.SetLabels(labels)
	obj.SetAnnotations(map[string]string{gitopsv1alpha1.FileAnnotation: file})
}

func key(obj client.Object) string { return fmt.Sprintf("%T/%s", obj, obj.GetName()) }

// copiesOf are the copies that the cluster has of a source. They are the cache's own, and
// must not be changed.
func (r *Reconciler) copiesOf(ctx context.Context, source *gitopsv1alpha1.GitSource) ([]client.Object, error) {
	var lifecycles gitopsv1alpha1.LifecycleList
	var policies gitopsv1alpha1.SLOPolicyList
	mine := client.MatchingFields{repository.SourceIndex: client.ObjectKeyFromObject(source).String()}
	if err := r.List(ctx, &lifecycles, mine, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list lifecycles: %w", err)
	}
	if err := r.List(ctx, &policies, mine, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list policies: %w", err)
	}
	copies := make([]client.Object, 0, len(lifecycles.Items)+len(policies.Items))
	for i := range lifecycles.Items {
		copies = append(copies, &lifecycles.Items[i])
	}
	for i := range policies.Items {
		copies = append(copies, &policies.Items[i])
	}
	return copies, nil
}

// versions tells one state of objects from every other.
func versions(objects []client.Object) string {
	all := make([]string, len(objects))
	for i, obj := range objects {
		all[i] = string(obj.GetUID()) + "@" + obj.GetResourceVersion()
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// prune deletes copies of what is no longer in Git, but nothing of a file or
// folder that has problems: what it would hold is not known.
func (r *Reconciler) prune(ctx context.Context, s *scope, held []client.Object, kept map[string]bool) error {
	for _, obj := range held {
		if kept[key(obj)] || inDoubt(s.found.Problems, obj.GetAnnotations()) {
			continue
		}
		if err := r.Delete(ctx, obj); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("prune %s: %w", obj.GetName(), err)
		}
	}
	return nil
}

// invalid says whether a file has errors.
func invalid(problems manifest.Problems, file string) bool {
	return slices.ContainsFunc(problems, func(p manifest.Problem) bool {
		return p.File == file && p.Severity == manifest.Error
	})
}

// inDoubt says whether problems hide what a copy with these annotations was read
// from: an error of its file, or of a folder that it is in or that is in its own;
// or a kustomization there that cannot be read, which is a warning alone.
func inDoubt(problems manifest.Problems, annotations map[string]string) bool {
	file, folder := annotations[gitopsv1alpha1.FileAnnotation], annotations[gitopsv1alpha1.PathAnnotation]
	return slices.ContainsFunc(problems, func(p manifest.Problem) bool {
		if p.Severity != manifest.Error && !slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(p.File)) {
			return false
		}
		dir := path.Dir(p.File)
		return p.File == file || folder != "" && (within(folder, dir) || within(dir, folder))
	})
}

// within says whether a folder is another one, or in it.
func within(dir, other string) bool {
	return other == "." || dir == other || strings.HasPrefix(dir, other+"/")
}
