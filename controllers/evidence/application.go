package evidence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/gitname"
)

// application is what is read of an Argo CD Application
// (https://github.com/argoproj/argo-cd/blob/v3.6.1/pkg/apis/application/v1alpha1/types.go).
type application struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Destination struct {
			Server string `json:"server"`
			Name   string `json:"name"`
		} `json:"destination"`
		SourceHydrator *sourceHydrator `json:"sourceHydrator"`
	} `json:"spec"`
	Status struct {
		Resources           []resource      `json:"resources"`
		History             []deployment    `json:"history"`
		OperationState      *operationState `json:"operationState"`
		SourceHydrator      hydratorStatus  `json:"sourceHydrator"`
		ControllerNamespace string          `json:"controllerNamespace"`
	} `json:"status"`
}

type (
	// resource is an object of an application; within the result of a sync, with what
	// became of it.
	resource struct {
		Group     string `json:"group"`
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Status    string `json:"status"`
	}
	applicationSource struct {
		RepoURL string `json:"repoURL"`
		Chart   string `json:"chart"`
	}
	// revisions are those of one source, or of several.
	revisions struct {
		Revision  string              `json:"revision"`
		Revisions []string            `json:"revisions"`
		Source    applicationSource   `json:"source"`
		Sources   []applicationSource `json:"sources"`
	}
	// deployment is a sync that succeeded, and was of the whole application.
	deployment struct {
		revisions  `json:",inline"`
		DeployedAt metav1.Time `json:"deployedAt"`
	}
	syncResult struct {
		revisions `json:",inline"`
		Resources []resource `json:"resources"`
	}
	operationState struct {
		Operation struct {
			Sync *struct {
				DryRun    bool       `json:"dryRun"`
				Resources []resource `json:"resources"`
				Manifests []string   `json:"manifests"`
			} `json:"sync"`
		} `json:"operation"`
		Phase      string       `json:"phase"`
		StartedAt  metav1.Time  `json:"startedAt"`
		FinishedAt *metav1.Time `json:"finishedAt"`
		SyncResult *syncResult  `json:"syncResult"`
	}
)

// Words of an Application's status.
const (
	phaseRunning     = "Running"
	phaseTerminating = "Terminating"
	phaseSucceeded   = "Succeeded"
	resultSynced     = "Synced"
)

// application asks the Application that tracks an object.
func (d *documents) application(ctx context.Context, o object, _ int) (Explanation, error) {
	id, tracked := trackedBy(o)
	if !tracked {
		return Explanation{}, nil
	}
	candidates, err := d.applications(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	var all Explanation
	for i := range candidates {
		found := candidates[i].explain(o, id)
		all.Claims = append(all.Claims, found.Claims...)
		all.Pending = append(all.Pending, found.Pending...)
	}
	return all, nil
}

// applications reads the Applications that a tracking name may stand for: it has the
// namespace of those only that are not in Argo CD's own, which is not known here.
func (d *documents) applications(ctx context.Context, id tracking) ([]application, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(applicationKind.GroupVersion().WithKind(applicationKind.Kind + "List"))
	err := d.reader.List(ctx, list, client.InNamespace(id.namespace), client.MatchingFields{"metadata.name": id.name})
	if err != nil {
		if absent(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list %s %s: %w", applicationKind.Kind, id.name, err)
	}
	var found []application
	for i := range list.Items {
		var app application
		if err := convert(&list.Items[i], &app); err != nil {
			return nil, err
		}
		home := app.Status.ControllerNamespace
		if id.namespace != "" || home == "" || home == app.Namespace {
			found = append(found, app)
		}
	}
	return found, nil
}

// explain is what an Application claims of an object.
func (app *application) explain(o object, id tracking) Explanation {
	if id.byLabel && !lists(app.Status.Resources, o) {
		return Explanation{} // many set that label who are not Argo CD
	}
	by := fmt.Sprintf("%s %s/%s", applicationKind.Kind, app.Namespace, app.Name)
	synced, waits := app.synced(o)
	switch {
	case waits != "":
		return pending("%s: %s", by, waits)
	case synced == nil:
		return Explanation{}
	}
	if to := app.Spec.Destination; to.Server != "" && to.Server != inCluster || to.Name != "" && to.Name != "in-cluster" {
		synced.doubt = strings.TrimPrefix(synced.doubt+"; it deploys to "+to.Server+to.Name+", which may be another cluster", "; ")
	}
	return Explanation{Claims: app.claims(by, synced)}
}

// inCluster is the URL of the cluster that Argo CD runs in
// (https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#clusters).
const inCluster = "https://kubernetes.default.svc"

// synced are the revisions that an object was synced to.
type synced struct {
	revisions

	at    time.Time
	doubt string
}

// synced decides which revisions the Application synced an object to, and else what
// is waited for; neither where it did not.
//
// Argo CD writes operationState without a result when an operation begins, and the
// revision together with the resources that it has applied after each step; it
// remembers the revision for the steps that follow. What a result lists as Synced is
// thus as of its revision, also while later waves are still to come
// (https://github.com/argoproj/argo-cd/blob/v3.6.1/controller/sync.go#L82). sync.revision
// is what the desired state was last compared with, and says nothing of what runs.
func (app *application) synced(o object) (s *synced, waits string) {
	op := app.Status.OperationState
	switch {
	case !op.applies():
		return app.deployed(o), ""
	case op.lists(o), op.succeeds() && lists(app.Status.Resources, o):
		if len(op.Operation.Sync.Manifests) > 0 {
			return nil, "" // argocd app sync --local: they are of no commit
		}
		return &synced{revisions: op.SyncResult.revisions, at: op.when()}, ""
	case op.runs() && !o.writtenAt.Before(op.StartedAt.Add(-skew)):
		return nil, "it is being synced, and is not said to have applied this"
	default:
		return app.deployed(o), ""
	}
}

// applies says whether there was an operation that applies something.
func (op *operationState) applies() bool {
	return op != nil && op.Operation.Sync != nil && !op.Operation.Sync.DryRun
}

// succeeds says whether an operation has synced the whole application; it need not
// list what was in sync already.
func (op *operationState) succeeds() bool {
	return op.Phase == phaseSucceeded && op.SyncResult != nil && len(op.Operation.Sync.Resources) == 0
}

// runs says whether an operation goes on, or will be tried again.
func (op *operationState) runs() bool {
	return op.Phase == phaseRunning || op.Phase == phaseTerminating
}

// lists says whether an operation has applied an object.
func (op *operationState) lists(o object) bool {
	return op.SyncResult != nil && slices.ContainsFunc(op.SyncResult.Resources, func(r resource) bool {
		return r.is(o) && r.Status == resultSynced // hooks have no status
	})
}

// when is the end of an operation, or its beginning while it goes on.
func (op *operationState) when() time.Time {
	if op.FinishedAt != nil {
		return op.FinishedAt.Time
	}
	return op.StartedAt.Time
}

// deployed is the last sync of the whole application that succeeded. What was written
// after it is of another one.
func (app *application) deployed(o object) *synced {
	if len(app.Status.History) == 0 || !lists(app.Status.Resources, o) {
		return nil
	}
	last := slices.MaxFunc(app.Status.History, func(a, b deployment) int { return a.DeployedAt.Compare(b.DeployedAt.Time) })
	s := &synced{revisions: last.revisions, at: last.DeployedAt.Time}
	if o.writtenAt.After(last.DeployedAt.Add(skew)) {
		s.doubt = "it was written after the last sync that is recorded"
	}
	return s
}

func (r resource) is(o object) bool {
	return r.Group == o.Group && r.Kind == o.Kind && r.Namespace == o.namespace && r.Name == o.name
}

func lists(resources []resource, o object) bool {
	return slices.ContainsFunc(resources, func(r resource) bool { return r.is(o) })
}

// claims are those of all sources; where manifests were hydrated, first the commit
// that they were made of.
func (app *application) claims(by string, s *synced) []Claim {
	sources, found := s.Sources, s.Revisions
	if len(sources) == 0 {
		sources, found = []applicationSource{s.Source}, []string{s.Revision}
	}
	var all []Claim
	for i, revision := range found[:min(len(found), len(sources))] {
		c := Claim{
			Evidence: Applier, By: by, Repository: gitname.PublicURL(sources[i].RepoURL),
			Revision: revision, At: s.at, Doubt: s.doubt,
		}
		if sources[i].Chart == "" && gitname.IsCommit(revision) {
			c.Commit = revision
			all = append(all, app.Status.SourceHydrator.dry(app.Spec.SourceHydrator, c)...)
		}
		all = append(all, c)
	}
	return all
}
