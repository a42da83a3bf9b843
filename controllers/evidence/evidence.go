// Package evidence says from which commit a live workload comes, by what those say who
// applied it: Flux' Kustomizations and HelmReleases, Argo CD's Applications, and the
// images that it runs. It reads their objects and decides from these documents alone;
// it never changes one, never reads Git, and never guesses: where an applier has not
// said yet which revision it applied, that is what it answers.
//
// A claim gives the revision of a whole repository. It is as much as to say that what
// runs is what that revision renders; the commit that a delivery is of is the newest
// one at or before it that changes what the app renders to.
package evidence

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// Kinds of evidence that this package finds, strongest first.
const (
	// Applier: the revision that who applied the workload says it applied.
	Applier lifecyclev1.Evidence = "Applier"
	// Trailer: a commit that a delivered one of another repository refers to.
	Trailer lifecyclev1.Evidence = "Trailer"
	// Image: the commit that an image of the workload was built from.
	Image lifecyclev1.Evidence = "Image"
)

// A Claim is one commit that a workload is said to come from.
type Claim struct {
	Evidence lifecyclev1.Evidence
	// By is who claims it, as users write it: a kind, a namespace and a name
	// (Kustomization flux-system/apps), or an image.
	By string
	// Repository is the URL of the repository that the commit is in, as who claims it
	// has it, without credentials; empty where that is not known. SameRepository
	// compares it with others.
	Repository string
	// Commit in full, or abbreviated to seven digits at least; empty where Revision
	// names none, as that of a bucket or of a chart.
	Commit string
	// Revision as it is written there (main@sha1:…, 1.2.3, latest@sha256:…).
	Revision string
	// At is when it was applied, or is being applied since; zero where that is not
	// known.
	At time.Time
	// Doubt is why the claim may be wrong; empty where it cannot be, unless what was
	// applied was changed by someone else afterwards.
	Doubt string
}

// Certain says whether there is no doubt.
func (c Claim) Certain() bool { return c.Doubt == "" }

// An Explanation is what is known of one workload.
type Explanation struct {
	// Claims, strongest first.
	Claims []Claim
	// Pending are what is still to be said, each with who is to say it. Where there is
	// one, the claims are not all, and weaker evidence may mislead: the next change of
	// who is named by it (Concerned) tells.
	Pending []string
}

// Explain collects what is claimed of the workloads, in their order.
//
// The reader has to read from the API server (manager.GetAPIReader), not from a
// cache: an applier writes into its status which revision it is about to apply before
// it writes the first object, so that a status that is read after a workload was seen
// speaks of that workload's write or of a later one. A workload that has another
// generation by then is pending: its event is under way.
func Explain(ctx context.Context, r client.Reader, workloads ...*workload.Workload) ([]Explanation, error) {
	documents := newDocuments(r)
	explanations := make([]Explanation, len(workloads))
	for i, w := range workloads {
		o := objectOf(kindOf(w.Kind), w.Object, w.WrittenAt)
		found, err := documents.explain(ctx, o, maxOwners)
		if err != nil {
			return nil, fmt.Errorf("evidence for %s of namespace %s: %w", w, w.Namespace, err)
		}
		if explanations[i], err = settled(ctx, r, kindOf(w.Kind), w.Object, found); err != nil {
			return nil, fmt.Errorf("evidence for %s of namespace %s: %w", w, w.Namespace, err)
		}
	}
	return explanations, nil
}

// settled is what was found of an object, if the object is still as it was seen.
func settled(ctx context.Context, r client.Reader, kind schema.GroupVersionKind, seen metav1.Object, found Explanation) (Explanation, error) {
	if len(found.Claims) == 0 && len(found.Pending) == 0 {
		return found, nil
	}
	of := document{kind, types.NamespacedName{Namespace: seen.GetNamespace(), Name: seen.GetName()}}
	now := &metav1.PartialObjectMetadata{}
	now.SetGroupVersionKind(kind)
	err := r.Get(ctx, of.NamespacedName, now)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return Explanation{}, fmt.Errorf("read %s: %w", of, err)
	case apierrors.IsNotFound(err), now.UID != seen.GetUID(), now.Generation != seen.GetGeneration():
		return pending("%s was changed since it was seen", of), nil
	default:
		return found, nil
	}
}

// kindOf is the kind of a workload in full.
func kindOf(kind string) schema.GroupVersionKind {
	if kind == workload.Rollout {
		return workload.RolloutKind
	}
	return appsv1.SchemeGroupVersion.WithKind(kind)
}

// object is what was applied: a workload, or a HelmRelease that makes workloads.
type object struct {
	schema.GroupKind
	namespace, name     string
	labels, annotations map[string]string
	// writtenAt is when its spec was written last, with a resolution of one second.
	writtenAt time.Time
}

func objectOf(kind schema.GroupVersionKind, of metav1.Object, writtenAt time.Time) object {
	return object{
		GroupKind: kind.GroupKind(),
		namespace: of.GetNamespace(), name: of.GetName(),
		labels: of.GetLabels(), annotations: of.GetAnnotations(),
		writtenAt: writtenAt,
	}
}

// maxOwners is how many appliers are followed that apply each other: a HelmRelease
// may come from a chart, which comes from a HelmRelease.
const maxOwners = 3

// explain asks those that an object's labels and annotations name.
func (d *documents) explain(ctx context.Context, o object, depth int) (Explanation, error) {
	var all Explanation
	if depth == 0 {
		return all, nil
	}
	for _, ask := range []func(context.Context, object, int) (Explanation, error){d.kustomization, d.application, d.helmRelease} {
		found, err := ask(ctx, o, depth)
		if err != nil {
			return Explanation{}, err
		}
		all.Claims = append(all.Claims, found.Claims...)
		all.Pending = append(all.Pending, found.Pending...)
	}
	return all, nil
}

// pending is an explanation that is still to come.
func pending(format string, args ...any) Explanation {
	return Explanation{Pending: []string{fmt.Sprintf(format, args...)}}
}
