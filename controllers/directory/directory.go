// Package directory finds the Lifecycle that is meant by a namespace, an app and an
// environment, which is how others outside of the cluster name it. It only reads.
package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// Why there is not one Lifecycle that is meant.
var (
	// ErrNotFound: there is none.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous: there are several.
	ErrAmbiguous = errors.New("ambiguous")
)

// Name is what others call a Lifecycle.
type Name struct {
	// Namespace of the Lifecycle.
	Namespace string
	// App that it delivers.
	App string
	// Environment of the GitSource that it was read by. Empty: the only one.
	Environment string
}

// Entry is a Lifecycle and the environment of its GitSource.
type Entry struct {
	*gitopsv1alpha1.Lifecycle
	Environment string
}

// Find returns the Lifecycle that is meant, of those that a GitSource reads. The errors
// are ErrNotFound and ErrAmbiguous, whose messages say what there is, and those of the
// reader.
func Find(ctx context.Context, r client.Reader, name Name) (Entry, error) {
	if name.Namespace == "" { // would be all of them
		return Entry{}, fmt.Errorf("no namespace is named: %w", ErrNotFound)
	}
	var all gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &all, client.InNamespace(name.Namespace)); err != nil {
		return Entry{}, fmt.Errorf("list Lifecycles: %w", err)
	}
	var found []Entry
	var environments []string
	for i := range all.Items {
		lc := &all.Items[i]
		source := lc.Labels[gitopsv1alpha1.SourceLabel]
		if source == "" || lc.AppName() != name.App {
			continue
		}
		var gs gitopsv1alpha1.GitSource
		err := r.Get(ctx, types.NamespacedName{Namespace: lc.Namespace, Name: source}, &gs)
		if client.IgnoreNotFound(err) != nil {
			return Entry{}, fmt.Errorf("read GitSource: %w", err)
		}
		environments = append(environments, gs.Spec.Environment)
		if name.Environment == "" || name.Environment == gs.Spec.Environment {
			found = append(found, Entry{lc, gs.Spec.Environment})
		}
	}
	slices.Sort(environments)
	listed := strings.Join(environments, ", ")
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Entry{}, fmt.Errorf("the app %q of namespace %s is in the environments %s: name one of them: %w", name.App, name.Namespace, listed, ErrAmbiguous)
	case len(environments) > 0:
		return Entry{}, fmt.Errorf("the app %q of namespace %s is in the environments %s, not in %q: %w", name.App, name.Namespace, listed, name.Environment, ErrNotFound)
	default:
		return Entry{}, fmt.Errorf("no GitSource of namespace %q reads a Lifecycle of the app %q: %w", name.Namespace, name.App, ErrNotFound)
	}
}
