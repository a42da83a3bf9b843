package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/forge"
)

// abroad is what commits of one other repository should show.
type abroad struct {
	repository        string
	statuses, records []forge.Status
}

// abroad is what the commits of other repositories that deliveries bring should show, by
// the sources that read these: the same as the delivered ones. Of several deliveries of
// one commit the newest counts; what the delivery before it brought already is left to
// that. Deliveries are newest first.
func (p projection) abroad(deliveries []lifecyclev1.KeptnAppVersion, cluster string) map[string]*abroad {
	bySource := map[string]*abroad{}
	shown := map[string]bool{}
	var superseding *successor
	for i := range deliveries {
		kav := &deliveries[i]
		for _, c := range broughtAnew(deliveries, i) {
			at := c.Source + " " + c.SHA
			if !shown[at] && len(shown) == maxAbroad {
				continue
			}
			a := bySource[c.Source]
			if a == nil {
				a = &abroad{repository: c.Repository}
				bySource[c.Source] = a
			}
			if !shown[at] {
				shown[at] = true
				a.statuses = append(a.statuses, p.on(c.SHA, p.deliveryStatuses(kav, superseding))...)
			}
			if d, deployed := measure.Deployment(kav, cluster); deployed {
				d.Commit = c.SHA
				a.records = append(a.records, p.record(&d, kav.Name))
			}
		}
		if wasApplied(&kav.Spec) {
			superseding = &successor{kav.Spec.Version, kav.CreationTimestamp.Time}
		}
	}
	return bySource
}

// maxAbroad is how many commits of other repositories are told of at a time.
const maxAbroad = 50

// broughtAnew are the commits of other repositories that a delivery brings, and the
// delivery of another commit before it had not: an app of many images has but few of
// them built at a time.
func broughtAnew(deliveries []lifecyclev1.KeptnAppVersion, i int) []lifecyclev1.SourceCommit {
	brought := broughtAlong(&deliveries[i])
	before := slices.IndexFunc(deliveries[i+1:], func(kav lifecyclev1.KeptnAppVersion) bool {
		return kav.Status.Provenance != nil && kav.Spec.Commit != nil && kav.Spec.Commit.SHA != deliveries[i].Spec.Commit.SHA
	})
	if before < 0 {
		return brought
	}
	had := broughtAlong(&deliveries[i+1+before])
	return slices.DeleteFunc(slices.Clone(brought), func(c lifecyclev1.SourceCommit) bool {
		return slices.ContainsFunc(had, func(of lifecyclev1.SourceCommit) bool { return of.SHA == c.SHA && of.Source == c.Source })
	})
}

// broughtAlong are the commits of other repositories that a delivery brings.
func broughtAlong(kav *lifecyclev1.KeptnAppVersion) []lifecyclev1.SourceCommit {
	if kav.Status.Provenance == nil {
		return nil
	}
	return kav.Status.Provenance.Commits
}

// elsewhere are the places where commits of other repositories show how far the
// deliveries have come that bring them. A source that is gone, or reads another
// repository by now, shows nothing; one that cannot be opened tells of it itself.
func (r *Reconciler) elsewhere(ctx context.Context, s *scope, p projection) ([]report.Destination, error) {
	bySource := p.abroad(s.deliveries, r.Cluster)
	var all []report.Destination
	for _, name := range slices.Sorted(maps.Keys(bySource)) {
		a := bySource[name]
		source := &gitopsv1alpha1.GitSource{}
		err := r.Get(ctx, types.NamespacedName{Namespace: s.lc.Namespace, Name: name}, source)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read GitSource %s: %w", name, err)
		}
		if err != nil || !gitname.SameRepository(source.Status.URL, a.repository) {
			continue
		}
		origin, err := r.Repositories.Origin(ctx, source)
		if err != nil && repository.Problem(err) == "" {
			return nil, err
		}
		if err != nil {
			continue
		}
		to := report.To(r.Repositories.Destinations(origin), a.statuses)
		for i := range to {
			if to[i].Notes {
				to[i].Wanted = slices.Concat(a.statuses, a.records)
			}
		}
		all = append(all, to...)
	}
	return all, nil
}
