package evidence

import (
	"cmp"
	"context"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keptn/gitops/gitsource/image"
)

// helmRelease asks the HelmRelease that an object was installed by. It knows a chart
// and values; the commits are those of who applied the HelmRelease, and of the chart.
func (d *documents) helmRelease(ctx context.Context, o object, depth int) (Explanation, error) {
	of, named := helmReleaseOf(o.labels)
	if !named {
		return Explanation{}, nil
	}
	var hr helmv2.HelmRelease
	if found, err := d.get(ctx, of, &hr); !found {
		return Explanation{}, err
	}
	runs, waits := released(&hr, o.writtenAt)
	if waits != "" {
		return pending("%s: %s", of, waits), nil
	}
	if !runs {
		return Explanation{}, nil
	}
	owned, err := d.ownersOf(ctx, of, &hr, depth-1)
	if err != nil {
		return Explanation{}, err
	}
	all := Explanation{Pending: owned.Pending}
	for _, c := range owned.Claims {
		c.By = of.String() + " by " + c.By
		all.Claims = append(all.Claims, c)
	}
	chart, err := d.chart(ctx, of, &hr)
	all.Claims = append(all.Claims, chart.Claims...)
	return all, err
}

// ownersOf asks those who applied a HelmRelease. What was read of them before counts
// no more: the HelmRelease was seen later.
func (d *documents) ownersOf(ctx context.Context, of document, hr *helmv2.HelmRelease, depth int) (Explanation, error) {
	if known, ok := d.owners[of]; ok {
		return known, nil
	}
	found, err := newDocuments(d.reader).explain(ctx, objectOf(helmReleaseKind, hr, specWrittenAt(hr)), depth)
	if err != nil {
		return Explanation{}, err
	}
	if found, err = settled(ctx, d.reader, helmReleaseKind, hr, found); err != nil {
		return Explanation{}, err
	}
	d.owners[of] = found
	return found, nil
}

// helmReleaseOf is the HelmRelease that labels name
// (https://fluxcd.io/flux/components/helm/helmreleases/#helm-release-placement).
func helmReleaseOf(labels map[string]string) (document, bool) {
	return named(helmReleaseKind, labels)
}

// released decides whether an object is as the present spec of the HelmRelease has
// it, and else what is waited for; neither where it is not, as after a rollback.
//
// Before helm-controller runs an action it writes lastAttemptedGeneration together
// with the conditions; the history follows after the action, which waits for the
// pods of the release unless it is told not to. While an install or an upgrade runs,
// what was written since it began is therefore its work
// (https://github.com/fluxcd/helm-controller/blob/v1.6.0/internal/reconcile/atomic_release.go#L166).
func released(hr *helmv2.HelmRelease, writtenAt time.Time) (runs bool, waits string) {
	status := &hr.Status
	switch {
	case hr.Spec.KubeConfig != nil:
		return false, ""
	case status.LastAttemptedGeneration != hr.Generation:
		return false, "its newest generation is not being released yet"
	case installs(status.Conditions):
		if began := actionBegan(hr); writtenAt.Before(began) {
			return false, "it is being released, and this was not written yet"
		}
		return true, ""
	case apimeta.IsStatusConditionTrue(status.Conditions, helmv2.RemediatedCondition):
		return false, "" // an earlier release runs again
	case len(status.History) == 0:
		return false, "it does not say yet what it has released"
	default:
		return status.History[0].Status == "deployed", ""
	}
}

// installs says whether an install or an upgrade runs: the message of the action is
// that of both conditions then, and of no other action.
func installs(conditions []metav1.Condition) bool {
	reconciling := apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition)
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	return reconciling != nil && ready != nil && reconciling.Reason == meta.ProgressingReason &&
		ready.Status == metav1.ConditionUnknown && ready.Message == reconciling.Message
}

// actionBegan is when the action began that runs: the status was last written then.
func actionBegan(hr *helmv2.HelmRelease) time.Time {
	if at := statusWrittenAt(hr); !at.IsZero() {
		return at
	}
	return apimeta.FindStatusCondition(hr.Status.Conditions, meta.ReconcilingCondition).LastTransitionTime.Time
}

// chart is the claim of a chart, if it tells a commit.
func (d *documents) chart(ctx context.Context, of document, hr *helmv2.HelmRelease) (Explanation, error) {
	from, revision, err := d.chartFrom(ctx, hr)
	if revision == "" || err != nil {
		return Explanation{}, err
	}
	s, err := d.source(ctx, from)
	if err != nil {
		return Explanation{}, err
	}
	if from.GroupVersionKind == ociRepositoryKind {
		if s.Status.Artifact == nil || !strings.HasSuffix(s.Status.Artifact.Revision, "@"+revision) {
			return Explanation{}, nil // it has moved on
		}
		revision = s.Status.Artifact.Revision
	}
	released := applied{revision: revision}
	if len(hr.Status.History) > 0 {
		released.at = hr.Status.History[0].LastDeployed.Time
	}
	return s.explain("chart of "+of.String(), released), nil
}

// chartFrom is the source of a chart that tells commits, and the chart's revision in it:
// of one from a GitRepository the revision that its HelmChart was packed from, while that
// is the one that runs, else the commit that is part of its version where reconcileStrategy
// is Revision; of one from an OCIRepository the digest, whose artifact says what it was
// made of.
func (d *documents) chartFrom(ctx context.Context, hr *helmv2.HelmRelease) (from document, revision string, err error) {
	if ref := hr.Spec.ChartRef; ref != nil && ref.Kind == ociRepositoryKind.Kind {
		from = document{ociRepositoryKind, types.NamespacedName{Namespace: cmp.Or(ref.Namespace, hr.Namespace), Name: ref.Name}}
		return from, hr.Status.LastAttemptedRevisionDigest, nil
	}
	if hr.Spec.Chart == nil || hr.Spec.Chart.Spec.SourceRef.Kind != gitRepositoryKind.Kind {
		return document{}, "", nil
	}
	ref := hr.Spec.Chart.Spec.SourceRef
	from = document{gitRepositoryKind, types.NamespacedName{Namespace: cmp.Or(ref.Namespace, hr.Namespace), Name: ref.Name}}
	if packed, err := d.packedFrom(ctx, hr); packed != "" || err != nil {
		return from, packed, err
	}
	if hr.Spec.Chart.Spec.ReconcileStrategy != "Revision" {
		return from, "", nil
	}
	_, build, _ := strings.Cut(hr.Status.LastAttemptedRevision, "+")
	build, _, _ = strings.Cut(build, ".") // a generation may follow
	return from, image.CommitIn(build), nil
}

// packedFrom is the revision of its source that the HelmChart of a HelmRelease was packed
// from, if it is the one that was released last
// (https://fluxcd.io/flux/components/source/helmcharts/#observed-source-artifact-revision).
func (d *documents) packedFrom(ctx context.Context, hr *helmv2.HelmRelease) (string, error) {
	namespace, name, _ := strings.Cut(hr.Status.HelmChart, "/")
	var chart struct {
		Status struct {
			Artifact                       *meta.Artifact `json:"artifact"`
			ObservedSourceArtifactRevision string         `json:"observedSourceArtifactRevision"`
		} `json:"status"`
	}
	found, err := d.get(ctx, document{sourceVersion.WithKind("HelmChart"), types.NamespacedName{Namespace: namespace, Name: name}}, &chart)
	if !found || chart.Status.Artifact == nil || chart.Status.Artifact.Revision != hr.Status.LastAttemptedRevision {
		return "", err
	}
	return chart.Status.ObservedSourceArtifactRevision, nil
}
