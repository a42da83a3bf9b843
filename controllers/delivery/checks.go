package delivery

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/telemetry/record"
)

// subject is what checks are made for: one delivery, of an app or of a workload.
type subject struct {
	// owner of the checks' objects, which are in its namespace.
	owner client.Object
	// asked are the names of what a phase is to check, and fields where it is recorded.
	asked  func(lifecyclev1.Phase) []string
	fields func(lifecyclev1.Phase) (*lifecyclev1.KeptnState, *[]lifecyclev1.ItemStatus)
	now    time.Time
	// timeout of a phase; zero is none.
	timeout time.Duration
	// problem says why what is to be checked is not known.
	problem string

	// task is what tasks are told; evaluation is what evaluations are of.
	task       lifecyclev1.TaskContext
	evaluation lifecyclev1.KeptnEvaluationSpec
	// rollout is how far the rollout has come.
	rollout func() *lifecyclev1.Rollout
	// definitions and policies count before those in the cluster.
	definitions []lifecyclev1.NamedTaskDefinition
	policies    []lifecyclev1.NamedPolicy
	confinement *lifecyclev1.Confinement
	// policyNamespace is where SLOPolicies are looked up by name.
	policyNamespace string
	commits         commits
	// previousGood finds the newest delivery before this one that passed.
	previousGood func(context.Context) (*good, error)
}

// commits are those that a delivery brings.
type commits struct {
	list      []lifecyclev1.Commit
	truncated bool
}

// a delivery is what has checks.
type delivery interface{ checked() *subject }

// checker makes the objects that run the checks of a phase.
type checker struct {
	client.Client
	// ownNamespace is where definitions are looked up that the delivery's namespace
	// does not have.
	ownNamespace string
}

// run brings a phase of a delivery as far as it will go.
type run[T delivery] = func(context.Context, T, *lifecyclev1.PhaseRecord) (phase.Outcome, error)

// tableOf is the life of a kind of delivery. A phase that has no run of its own runs its
// checks; a rollout that fails stops what follows even where checks do not block.
func tableOf[T delivery](c checker, names []lifecyclev1.Phase, runs map[lifecyclev1.Phase]run[T]) phase.Table[T] {
	var table phase.Table[T]
	for _, name := range names {
		row := phase.Phase[T]{Name: name, Run: runs[name], Stops: name.Stage() == lifecyclev1.StageDeployment}
		if row.Run == nil {
			row.Run = func(ctx context.Context, of T, rec *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
				return c.runChecks(ctx, of.checked(), rec)
			}
		}
		row.State = func(of T) *lifecyclev1.KeptnState {
			state, _ := of.checked().fields(name)
			return state
		}
		table = append(table, row)
	}
	return table
}

// handedOn is the metadata of an app's delivery as tasks are told of it: with its trace
// parent where traces are exported, so that what a task begins can be linked to it.
func handedOn(kav *lifecyclev1.KeptnAppVersion, traced bool) map[string]string {
	metadata := map[string]string{}
	if traced {
		metadata[lifecyclev1.TraceParentAnnotation] = record.OfApp(kav).Traceparent()
	}
	maps.Copy(metadata, kav.Spec.Metadata)
	return metadata
}

// itemKey identifies a check: the same delivery, phase, definition and attempt are
// one object, however often it is asked for.
type itemKey struct {
	kind       lifecyclev1.CheckType
	phase      lifecyclev1.Phase
	definition string
	attempt    int32
}

// object is the name of the object that runs a check.
func (k itemKey) object(of *subject) string {
	return workload.ResourceName(string(k.kind), k.definition,
		workload.Digest(10, string(of.owner.GetUID()), string(k.phase), k.definition, fmt.Sprint(k.attempt+1)))
}

// runChecks makes the object of every check of a phase that has none, and decides from
// them all. Where it is not known what is to be checked, nothing stops the rollout that
// is not known to be asked for: it is followed, and left without a verdict.
func (c checker) runChecks(ctx context.Context, of *subject, rec *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
	kind, names := rec.Name.Check(), of.asked(rec.Name)
	last := kind == lifecyclev1.PostDeploymentEvaluationCheckType || kind == lifecyclev1.PromotionCheckType
	if of.problem != "" && (len(names) > 0 || last) {
		return phase.Outcome{State: lifecyclev1.StateUnknown, Reason: reasonUnreadable, Message: "cannot be judged: " + of.problem}, nil
	}
	var noun string
	ensure := c.ensureTask
	switch kind {
	case lifecyclev1.PreDeploymentEvaluationCheckType, lifecyclev1.PostDeploymentEvaluationCheckType:
		noun, ensure = "evaluations", c.ensureEvaluation
	case lifecyclev1.PromotionCheckType:
		noun = "promotion"
	default:
		noun = "tasks"
	}
	_, items := of.fields(rec.Name)
	var found []phase.Item
	for _, name := range unique(names) {
		key := itemKey{kind, rec.Name, name, rec.Attempt}
		item, err := ensure(ctx, of, key, recorded(*items, key.object(of)))
		if err != nil {
			return phase.Outcome{}, err
		}
		found = append(found, item)
	}
	*items = phase.Statuses(found)
	return inTime(phase.Judge(noun, found), rec, of), nil
}

// inTime lets a phase fail that has not ended when its time is over.
func inTime(o phase.Outcome, rec *lifecyclev1.PhaseRecord, of *subject) phase.Outcome {
	if of.timeout == 0 || o.State.Completed() {
		return o
	}
	left := rec.StartTime.Add(of.timeout).Sub(of.now)
	if left <= 0 {
		return phase.Fail(phase.Timeout, "not done after %s: %s", of.timeout, o.Message)
	}
	return o.In(left)
}

// recorded is the entry of an object among those of a phase.
func recorded(items []lifecyclev1.ItemStatus, object string) lifecyclev1.ItemStatus {
	for _, item := range items {
		if item.Name == object {
			return item
		}
	}
	return lifecyclev1.ItemStatus{}
}

func unique(names []string) []string {
	var kept []string
	for _, name := range names {
		if name != "" && !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// ensureTask returns how the run of a task stands, and begins one where there is none.
func (c checker) ensureTask(ctx context.Context, of *subject, key itemKey, recorded lifecyclev1.ItemStatus) (phase.Item, error) {
	task := &lifecyclev1.KeptnTask{ObjectMeta: metav1.ObjectMeta{Namespace: of.owner.GetNamespace(), Name: key.object(of)}}
	err := c.Get(ctx, client.ObjectKeyFromObject(task), task)
	if err == nil && metav1.IsControlledBy(task, of.owner) {
		return taskItem(task), nil
	}
	if client.IgnoreNotFound(err) != nil {
		return phase.Item{}, fmt.Errorf("read task: %w", err)
	}
	if recorded.Status.Completed() {
		return phase.Item{ItemStatus: recorded}, nil // it ran, and somebody deleted it since
	}
	definition, err := c.taskDefinition(ctx, of, key.definition)
	if err != nil {
		return phase.Item{}, err
	}
	if definition == nil {
		return missing(key.definition, "no KeptnTaskDefinition of this name"), nil
	}
	spec := definition.Spec
	task.Labels, task.Annotations = maps.Clone(definition.Labels), maps.Clone(definition.Annotations)
	delete(task.Annotations, corev1.LastAppliedConfigAnnotation)
	task.Spec = lifecyclev1.KeptnTaskSpec{
		TaskDefinition: key.definition,
		Context:        of.task,
		Type:           key.kind,
		Retries:        spec.Retries,
		Timeout:        spec.Timeout,
	}
	task.Spec.Context.TaskType = string(key.kind)
	task.Spec.Confinement = of.confinement
	if frozen := of.definition(key.definition); frozen != nil {
		task.Spec.Definition = &frozen.Spec
	}
	return taskItem(task), c.create(ctx, createTask, of.owner, task)
}

func (of *subject) definition(name string) *lifecyclev1.NamedTaskDefinition {
	for i := range of.definitions {
		if of.definitions[i].Name == name {
			return &of.definitions[i]
		}
	}
	return nil
}

// taskDefinition returns what a task runs: as the commit has it, as the namespace
// has it, or as Keptn's own namespace has it; nil where none does.
func (c checker) taskDefinition(ctx context.Context, of *subject, name string) (*lifecyclev1.KeptnTaskDefinition, error) {
	found := &lifecyclev1.KeptnTaskDefinition{}
	if frozen := of.definition(name); frozen != nil {
		found.Labels, found.Annotations, found.Spec = frozen.Labels, frozen.Annotations, frozen.Spec.KeptnTaskDefinitionSpec
		return found, nil
	}
	ok, err := c.lookUp(ctx, found, name, of.owner.GetNamespace(), c.ownNamespace)
	if !ok {
		return nil, err
	}
	return found, err
}

// lookUp reads the object of a name from the first of the namespaces that has it.
func (c checker) lookUp(ctx context.Context, into client.Object, name string, namespaces ...string) (bool, error) {
	for _, namespace := range unique(namespaces) {
		err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, into)
		if err == nil {
			return true, nil
		}
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("read %T %s: %w", into, name, err)
		}
	}
	return false, nil
}

func missing(name, why string) phase.Item {
	return phase.Item{
		ItemStatus: lifecyclev1.ItemStatus{DefinitionName: name, Status: lifecyclev1.StatePending},
		Summary:    why, Missing: true,
	}
}

func taskItem(task *lifecyclev1.KeptnTask) phase.Item {
	s := &task.Status
	item := phase.Item{ItemStatus: lifecyclev1.ItemStatus{
		DefinitionName: task.Spec.TaskDefinition,
		Name:           task.Name,
		Status:         cmp.Or(s.Status, lifecyclev1.StatePending),
		StartTime:      s.StartTime,
		EndTime:        s.EndTime,
	}}
	if s.Message != "" {
		item.Summary = s.Message
		if s.Status.Completed() {
			item.Summary = task.Spec.TaskDefinition + ": " + s.Message
			if s.ExitCode != nil && *s.ExitCode != 0 {
				item.Summary += fmt.Sprintf(" (exit code %d)", *s.ExitCode)
			}
		}
	}
	return item
}

// createError says that the object of a check could not be created.
type createError struct {
	step lifecyclev1.Phase
	err  error
}

// Error implements error.
func (e *createError) Error() string { return e.err.Error() }

// Unwrap returns what the API server said.
func (e *createError) Unwrap() error { return e.err }

// create makes an object that is owned by a delivery, as a step of it; that it is there
// already is no error.
func (c checker) create(ctx context.Context, step lifecyclev1.Phase, owner, obj client.Object) error {
	if err := apply.Own(owner, obj, c.Scheme()); err != nil {
		return err
	}
	err := c.Create(ctx, obj, client.FieldOwner(fieldOwner))
	if err != nil && client.IgnoreAlreadyExists(err) != nil {
		return &createError{step, fmt.Errorf("create %T %s: %w", obj, obj.GetName(), err)}
	}
	return nil
}

// stop ends the tasks of a delivery that has ended before them.
func (c checker) stop(ctx context.Context, owner client.Object) error {
	var list lifecyclev1.KeptnTaskList
	if err := c.List(ctx, &list, client.InNamespace(owner.GetNamespace()), client.MatchingFields{byOwner: string(owner.GetUID())}); err != nil {
		return fmt.Errorf("list tasks of %s: %w", owner.GetName(), err)
	}
	for i := range list.Items {
		task := &list.Items[i]
		if task.Status.Status.Completed() || !task.DeletionTimestamp.IsZero() {
			continue
		}
		err := c.Delete(ctx, task, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("stop task %s: %w", task.Name, err)
		}
	}
	return nil
}
