package gitops

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/konfig"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/manifest"
)

// applyCopies keeps one object for every Lifecycle and SLOPolicy that was found,
// and deletes those that are no longer in Git. What has an error in it stays as
// it last was without.
func (r *Reconciler) applyCopies(ctx context.Context, s *scope) error {
	kept := map[string]bool{}
	var failures error
	s.source.Status.Lifecycles = nil
	for i := range s.found.Apps {
		app := &s.found.Apps[i]
		lc := r.lifecycleCopy(s.source, app)
		kept[key(lc)] = true
		s.source.Status.Lifecycles = append(s.source.Status.Lifecycles, gitopsv1alpha1.FoundLifecycle{
			Name: lc.Name, App: lc.Spec.App, Path: app.Path, File: app.File,
		})
		if app.Problems.HasErrors() {
			continue
		}
		failures = errors.Join(failures, r.applyCopy(ctx, s.source, lc))
	}
	names := policyNames(s.found.Files)
	for _, file := range s.found.Files {
		if invalid(s.found.Problems, file.Path) {
			continue
		}
		for i := range file.Policies {
			p := r.policyCopy(s.source, names, file.Path, &file.Policies[i])
			kept[key(p)] = true
			failures = errors.Join(failures, r.applyCopy(ctx, s.source, p))
		}
	}
	return errors.Join(failures, r.prune(ctx, s, kept))
}

// applyCopy writes a copy, unless the cluster already has it as it is.
func (r *Reconciler) applyCopy(ctx context.Context, source *gitopsv1alpha1.GitSource, obj client.Object) error {
	if err := apply.Own(source, obj, r.Scheme()); err != nil {
		return err
	}
	return apply.Changed(ctx, r.Client, obj, fieldOwner)
}

// lifecycleCopy is the object of an app that was found.
func (r *Reconciler) lifecycleCopy(source *gitopsv1alpha1.GitSource, app *manifest.App) *gitopsv1alpha1.Lifecycle {
	lc := &gitopsv1alpha1.Lifecycle{Spec: *app.Lifecycle.Spec.DeepCopy()}
	lc.Spec.App = appName(&app.Lifecycle)
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
	obj.SetLabels(map[string]string{gitopsv1alpha1.SourceLabel: source.Name})
	obj.SetAnnotations(map[string]string{gitopsv1alpha1.FileAnnotation: file})
}

func appName(lc *gitopsv1alpha1.Lifecycle) string {
	if lc.Spec.App != "" {
		return lc.Spec.App
	}
	return lc.Name
}

func key(obj client.Object) string { return fmt.Sprintf("%T/%s", obj, obj.GetName()) }

// prune deletes copies of what is no longer in Git, but nothing of a file or
// folder that has problems: what it would hold is not known.
func (r *Reconciler) prune(ctx context.Context, s *scope, kept map[string]bool) error {
	var lifecycles gitopsv1alpha1.LifecycleList
	var policies gitopsv1alpha1.SLOPolicyList
	mine := client.MatchingFields{repository.SourceIndex: client.ObjectKeyFromObject(s.source).String()}
	if err := r.List(ctx, &lifecycles, mine); err != nil {
		return fmt.Errorf("list lifecycles: %w", err)
	}
	if err := r.List(ctx, &policies, mine); err != nil {
		return fmt.Errorf("list policies: %w", err)
	}
	var copies []client.Object
	for i := range lifecycles.Items {
		copies = append(copies, &lifecycles.Items[i])
	}
	for i := range policies.Items {
		copies = append(copies, &policies.Items[i])
	}
	for _, obj := range copies {
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
