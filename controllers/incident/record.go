package incident

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/directory"
)

// fieldOwner is who writes incidents.
const fieldOwner = "keptn-incidents"

// Recorder writes incidents into the status of Lifecycles. Those of several replicas
// may, at a time.
type Recorder struct {
	// Reader reads the newest Lifecycle there is, and is therefore no cache.
	Reader client.Reader
	// Client writes.
	Client client.Client
	// Tell is told of each incident that began or was resolved, once it is written; nil
	// tells nobody.
	Tell func(ctx context.Context, of directory.Entry, news Incident)

	// mu lets one write at a time: alerts come in groups, and would meet each other.
	mu sync.Mutex
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=lifecycles,verbs=get
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=lifecycles/status,verbs=patch

// Record merges what is reported into the incidents of a Lifecycle, and returns once
// the cluster has them: the ID of each, as Merge does. What is known already is not
// written again.
func (r *Recorder) Record(ctx context.Context, of directory.Entry, reports []Report) ([]string, error) {
	lifecycle := client.ObjectKeyFromObject(of.Lifecycle)
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) {
		ids, err = r.record(ctx, of, reports)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("record incidents of Lifecycle %s: %w", lifecycle, err)
	}
	return ids, nil
}

// record fails with a conflict where somebody else wrote the Lifecycle since it was
// read: all incidents are written at once, so none may be missed.
func (r *Recorder) record(ctx context.Context, of directory.Entry, reports []Report) ([]string, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(gitopsv1alpha1.GroupVersion.WithKind(gitopsv1alpha1.LifecycleKind))
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(of.Lifecycle), live); err != nil {
		return nil, err
	}
	known, err := incidentsOf(live)
	if err != nil {
		return nil, err
	}
	merged := known
	ids := make([]string, len(reports))
	for i, report := range reports {
		merged, ids[i] = Merge(merged, report)
	}
	if equality.Semantic.DeepEqual(merged, known) {
		return ids, nil
	}
	said := &unstructured.Unstructured{}
	said.SetGroupVersionKind(live.GroupVersionKind())
	said.SetNamespace(live.GetNamespace())
	said.SetName(live.GetName())
	said.SetUID(live.GetUID())
	said.SetResourceVersion(live.GetResourceVersion())
	if err := setIncidents(said, merged); err != nil {
		return nil, err
	}
	patch, err := apply.Patch(said)
	if err != nil {
		return nil, err
	}
	written := &gitopsv1alpha1.Lifecycle{}
	written.SetNamespace(live.GetNamespace())
	written.SetName(live.GetName())
	err = r.Client.Status().Patch(ctx, written, patch, client.FieldOwner(fieldOwner), client.ForceOwnership)
	if err == nil && r.Tell != nil {
		for _, i := range news(known, merged) {
			r.Tell(ctx, of, i)
		}
	}
	return ids, err
}

// news are the incidents that are new, or that were resolved.
func news(before, after []Incident) []Incident {
	return slices.DeleteFunc(slices.Clone(after), func(i Incident) bool {
		at := slices.IndexFunc(before, func(was Incident) bool { return was.ID == i.ID })
		return at >= 0 && (before[at].ResolvedAt == nil) == (i.ResolvedAt == nil)
	})
}

// list is where a Lifecycle has its incidents.
type list struct {
	Incidents []Incident `json:"incidents,omitempty"`
}

func incidentsOf(u *unstructured.Unstructured) ([]Incident, error) {
	status, _, err := unstructured.NestedMap(u.Object, "status")
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	var l list
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &l); err != nil {
		return nil, fmt.Errorf("read status.incidents: %w", err)
	}
	return l.Incidents, nil
}

func setIncidents(u *unstructured.Unstructured, incidents []Incident) error {
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&list{incidents})
	if err != nil {
		return fmt.Errorf("write status.incidents: %w", err)
	}
	u.Object["status"] = status
	return nil
}
