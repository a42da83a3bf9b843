package evidence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// kustomization asks the Kustomization that applied an object.
func (d *documents) kustomization(ctx context.Context, o object, _ int) (Explanation, error) {
	of, named := kustomizationOf(o.labels)
	if !named {
		return Explanation{}, nil
	}
	var k kustomizev1.Kustomization
	if found, err := d.get(ctx, of, &k); !found {
		return Explanation{}, err
	}
	applied, waits := appliedBy(&k, o)
	if waits != "" {
		return pending("%s: %s", of, waits), nil
	}
	if applied.revision == "" {
		return Explanation{}, nil
	}
	source, err := d.source(ctx, sourceOf(&k))
	if err != nil {
		return Explanation{}, err
	}
	return source.explain(of.String(), applied), nil
}

// kustomizationOf is the Kustomization that labels name
// (https://fluxcd.io/flux/components/kustomize/kustomizations/#role-based-access-control).
func kustomizationOf(labels map[string]string) (document, bool) {
	return named(kustomizationKind, labels)
}

func sourceOf(k *kustomizev1.Kustomization) document {
	ref := k.Spec.SourceRef
	if ref.Namespace == "" {
		ref.Namespace = k.Namespace
	}
	return document{sourceVersion.WithKind(ref.Kind), types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}}
}

// applied is a revision of a source that was applied.
type applied struct {
	// revision of the source, and origin: the revision of what the source was made of.
	revision, origin string
	at               time.Time
	doubt            string
	// underway says that the source may have moved on since.
	underway bool
}

// appliedBy decides which revision the Kustomization applied to an object as it is,
// and else what is waited for; neither where the Kustomization does not apply it.
//
// Within a reconciliation, kustomize-controller writes lastAttemptedRevision before
// the first object; once all are applied, the inventory together with the condition
// Healthy where it checks health, and with it the history in any case. Thus before the
// one or the other nothing is certain of an object, and afterwards all is
// (https://github.com/fluxcd/kustomize-controller/blob/v1.9.6/internal/controller/kustomization_controller.go#L318).
// lastAppliedRevision is not for this: it stays behind where health checks fail.
func appliedBy(k *kustomizev1.Kustomization, o object) (a applied, waits string) {
	reconciling := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReconcilingCondition)
	switch {
	case k.Spec.KubeConfig != nil, leavesAlone(o):
		return applied{}, ""
	case checksHealth(k, reconciling):
		a = applied{revision: k.Status.LastAttemptedRevision, at: reconciling.LastTransitionTime.Time, underway: true}
	case reconciling != nil && reconciling.Status == metav1.ConditionTrue && reconciling.Reason == meta.ProgressingReason:
		return applied{}, "it is being reconciled, and does not say yet what it has applied"
	default:
		a = lastApplied(k, o.writtenAt)
	}
	if !applies(k, o) {
		return applied{}, ""
	}
	return a, ""
}

// checksHealth says whether the Kustomization waits for what it has applied to get
// healthy, or gave that up for a newer revision that it has not begun with: both
// conditions then have the message of that step.
func checksHealth(k *kustomizev1.Kustomization, reconciling *metav1.Condition) bool {
	healthy := apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition)
	return reconciling != nil && healthy != nil && healthy.Message != "" && healthy.Message == reconciling.Message
}

// skew is how far the clocks of the API server and of an applier may differ.
const skew = 5 * time.Second

// lastApplied is what was applied last by a Kustomization at rest. An apply that
// failed half way may have written the object or not; one whose health checks were
// given up for a newer revision is not in the history.
func lastApplied(k *kustomizev1.Kustomization, writtenAt time.Time) applied {
	for i := range k.Status.History {
		h := &k.Status.History[i]
		a := applied{revision: h.Metadata["revision"], origin: h.Metadata["originRevision"], at: h.LastReconciled.Time}
		if h.LastReconciledStatus != meta.ReconciliationFailedReason {
			if a.revision != k.Status.LastAttemptedRevision && writtenAt.After(h.LastReconciled.Add(skew)) {
				a.doubt = "it was written after the last apply that is recorded"
			}
			return a
		}
		if began := h.FirstReconciled.Add(-h.LastReconciledDuration.Duration).Truncate(time.Second); !writtenAt.Before(began) {
			a.doubt = fmt.Sprintf("revision %s was applied in part only", a.revision)
			return a
		}
	}
	return lastWithoutHistory(k)
}

// lastWithoutHistory is what was applied last by a kustomize-controller before 1.7,
// which keeps no history.
func lastWithoutHistory(k *kustomizev1.Kustomization) applied {
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	switch {
	case ready == nil:
		return applied{}
	case ready.Status == metav1.ConditionTrue:
		return applied{revision: k.Status.LastAppliedRevision, origin: k.Status.LastAppliedOriginRevision, at: ready.LastTransitionTime.Time}
	case ready.Reason == meta.HealthCheckFailedReason:
		return applied{revision: k.Status.LastAttemptedRevision, at: ready.LastTransitionTime.Time}
	default:
		return applied{}
	}
}

// applies says whether an object is in the inventory: anyone may copy a label.
func applies(k *kustomizev1.Kustomization, o object) bool {
	id := strings.Join([]string{o.namespace, o.name, o.Group, o.Kind}, "_")
	return k.Status.Inventory != nil && slices.ContainsFunc(k.Status.Inventory.Entries, func(e kustomizev1.ResourceRef) bool {
		return e.ID == id
	})
}

// leavesAlone says whether kustomize-controller was asked not to change an object
// (https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources).
func leavesAlone(o object) bool {
	for _, said := range []map[string]string{o.annotations, o.labels} {
		if strings.EqualFold(said[kustomizationKind.Group+"/reconcile"], kustomizev1.DisabledValue) {
			return true
		}
		switch ssa := said[kustomizationKind.Group+"/ssa"]; {
		case strings.EqualFold(ssa, kustomizev1.IgnoreValue), strings.EqualFold(ssa, kustomizev1.IfNotPresentValue):
			return true
		}
	}
	return false
}
