package delivery

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
)

// deliveriesOfApp are the deliveries of a KeptnApp.
func deliveriesOfApp(ctx context.Context, r client.Reader, namespace, app string) ([]lifecyclev1.KeptnAppVersion, error) {
	var all lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &all, client.InNamespace(namespace), client.MatchingFields{workload.ByApp: app}); err != nil {
		return nil, fmt.Errorf("list deliveries of app %s: %w", app, err)
	}
	return slices.DeleteFunc(all.Items, func(kav lifecyclev1.KeptnAppVersion) bool { return kav.Spec.Lifecycle != nil }), nil
}

// newer says whether one delivery is newer than another. Those of one owner are
// counted; where an owner took the place of another that had its name, the delivery
// is newer that was made later.
func newer(a, b client.Object, countA, countB int64) bool {
	madeA, madeB := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if uidOf(a) == uidOf(b) || madeA.Equal(&madeB) {
		return countA > countB
	}
	return madeB.Before(&madeA)
}

// newestOf is the newest of the deliveries of a KeptnApp for which a condition
// holds, or nil.
func newestOf(all []lifecyclev1.KeptnAppVersion, holds func(*lifecyclev1.KeptnAppVersion) bool) *lifecyclev1.KeptnAppVersion {
	var newest *lifecyclev1.KeptnAppVersion
	for i := range all {
		kav := &all[i]
		if holds(kav) && (newest == nil || newer(kav, newest, kav.Spec.AppGeneration, newest.Spec.AppGeneration)) {
			newest = kav
		}
	}
	return newest
}

func anyOf(*lifecyclev1.KeptnAppVersion) bool { return true }

// replacementOf is the newest delivery that delivers the same version of the same
// KeptnApp again, or nil.
func replacementOf(kav *lifecyclev1.KeptnAppVersion, all []lifecyclev1.KeptnAppVersion) *lifecyclev1.KeptnAppVersion {
	return newestOf(all, func(other *lifecyclev1.KeptnAppVersion) bool {
		return uidOf(other) == uidOf(kav) && other.Spec.Version == kav.Spec.Version && other.Spec.AppGeneration > kav.Spec.AppGeneration
	})
}

// retired says whether a delivery is marked as delivered again.
func retired(d *lifecyclev1.Delivery) bool {
	return d.Status == lifecyclev1.StateDeprecated && !slices.ContainsFunc(d.Phases, func(rec lifecyclev1.PhaseRecord) bool {
		return rec.State != lifecyclev1.StateDeprecated
	})
}

// part is a workload of a KeptnApp as a delivery of the app sees it.
type part struct {
	// ours is the delivery of the workload that counts for that of the app, or nil.
	ours *lifecyclev1.KeptnWorkloadVersion
	// newest is the newest delivery of the workload, at any version, or nil.
	newest *lifecyclev1.KeptnWorkloadVersion
}

// parts are the workloads of a KeptnApp, in the order of the record.
func (r *AppVersionReconciler) parts(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) ([]part, error) {
	found := make([]part, len(kav.Spec.Workloads))
	for i, ref := range kav.Spec.Workloads {
		var all lifecyclev1.KeptnWorkloadVersionList
		key := workloadNameKey(kav.Spec.AppName, ref.Name)
		if err := r.List(ctx, &all, client.InNamespace(kav.Namespace), client.MatchingFields{byWorkloadName: key}); err != nil {
			return nil, fmt.Errorf("list deliveries of workload %s: %w", ref.Name, err)
		}
		found[i] = partOf(kav, ref.Version, all.Items)
	}
	return found, nil
}

// absent are the names of the workloads that have no delivery yet which counts for that
// of the app.
func (d *appDelivery) absent() []string {
	var names []string
	for i, p := range d.parts {
		if p.ours == nil {
			names = append(names, d.kav.Spec.Workloads[i].Name)
		}
	}
	return names
}

// partOf finds the delivery of a workload that counts for that of its app: the newest
// at the version. One that ended before the app's began does not count if it was
// given up, or if something newer took its place, as before a rollback: the workload
// is to come to that version again.
func partOf(kav *lifecyclev1.KeptnAppVersion, version string, all []lifecyclev1.KeptnWorkloadVersion) part {
	var p part
	for i := range all {
		kwv := &all[i]
		later := func(than *lifecyclev1.KeptnWorkloadVersion) bool {
			return than == nil || newer(kwv, than, kwv.Spec.WorkloadGeneration, than.Spec.WorkloadGeneration)
		}
		if later(p.newest) {
			p.newest = kwv
		}
		if kwv.Spec.Version == version && later(p.ours) {
			p.ours = kwv
		}
	}
	if p.ours == nil || p.ours.Status.EndTime.IsZero() || !p.ours.Status.EndTime.Before(&kav.CreationTimestamp) {
		return p
	}
	if p.ours != p.newest || p.ours.Status.Status == lifecyclev1.StateDeprecated {
		p.ours = nil
	}
	return p
}

// instead is the version of the Lifecycle that was rolled out since a delivery was
// asked for, of which nothing was rolled out; empty where there is none.
func (r *AppVersionReconciler) instead(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (string, error) {
	if kav.Spec.RolloutStartedAt != nil {
		return "", nil
	}
	var all lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &all, client.MatchingFields{ByLifecycle: lifecycleOf(kav)[0]}); err != nil {
		return "", fmt.Errorf("list deliveries of %s: %w", kav.Spec.AppName, err)
	}
	for i := range all.Items {
		other := &all.Items[i]
		if at := other.Spec.RolloutStartedAt; at != nil && sameController(other, kav) && kav.CreationTimestamp.Before(at) {
			return other.Spec.Version, nil
		}
	}
	return "", nil
}

// superseded says what took the delivery's place, or is empty: one of its workloads
// got another pod template, or a newer revision.
func (d *appDelivery) superseded() string {
	if d.kav.Spec.Lifecycle != nil {
		if replaced := d.replaced(); replaced != nil {
			return fmt.Sprintf("another pod template took the place of %s's", replaced)
		}
		if d.instead != "" {
			return d.instead + " was rolled out instead"
		}
		return ""
	}
	for i, ref := range d.kav.Spec.Workloads {
		switch p := d.parts[i]; {
		case p.ours != nil && p.ours.Status.Status == lifecyclev1.StateDeprecated:
			return fmt.Sprintf("%s: %s", ref.Name, phase.Decisive(&p.ours.Status.Delivery).Message)
		case p.ours == nil && p.newest != nil && p.newest.Spec.Version != ref.Version && d.overtaken:
			return fmt.Sprintf("the app has a newer delivery, and %s has version %s", ref.Name, p.newest.Spec.Version)
		}
	}
	return ""
}

// replaced returns a workload that carried the delivery's pod template and now
// carries another, or nil.
func (d *appDelivery) replaced() *workload.Workload {
	for i, w := range d.live {
		if hash := d.kav.Spec.Workloads[i].TemplateHash; w != nil && hash != "" && w.TemplateHash != hash {
			return w
		}
	}
	return nil
}
