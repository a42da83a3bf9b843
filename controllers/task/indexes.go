package task

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Field indexes, so that an event finds whom it concerns without a search.
const (
	// byDefinition finds tasks that have not begun by the definitions that they
	// name: those of their namespace as namespace/name, and of any as */name.
	byDefinition = "taskDefinition"
	// byConfigMap finds what refers to a ConfigMap: definitions, and tasks that bring
	// their definition and have not begun.
	byConfigMap = "configMap"
	// byParent finds definitions by the names of those that they take scripts from.
	byParent = "functionRef"
)

// anywhere stands for any namespace.
const anywhere = "*"

// AddIndexes registers the field indexes that this package's reconcilers use.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		object client.Object
		field  string
		keys   client.IndexerFunc
	}{
		{&lifecyclev1.KeptnTask{}, byDefinition, definitionsAwaited},
		{&lifecyclev1.KeptnTask{}, byConfigMap, configMapsAwaited},
		{&lifecyclev1.KeptnTaskDefinition{}, byConfigMap, configMapsOf},
		{&lifecyclev1.KeptnTaskDefinition{}, byParent, parentsOf},
	} {
		if err := indexer.IndexField(ctx, i.object, i.field, i.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.object, i.field, err)
		}
	}
	return nil
}

// waiting returns the task that an object is, where no Job runs it yet.
func waiting(obj client.Object) (*lifecyclev1.KeptnTask, bool) {
	t, ok := obj.(*lifecyclev1.KeptnTask)
	return t, ok && t.Status.JobName == "" && !t.Status.Status.Completed()
}

func definitionsAwaited(obj client.Object) []string {
	t, ok := waiting(obj)
	if !ok {
		return nil
	}
	names := []string{t.Spec.TaskDefinition}
	if frozen := t.Spec.Definition; frozen != nil {
		names = parents(&frozen.KeptnTaskDefinitionSpec)
	}
	var keys []string
	for _, name := range names {
		keys = append(keys, t.Namespace+"/"+name, anywhere+"/"+name)
	}
	return unique(keys)
}

func configMapsAwaited(obj client.Object) []string {
	t, ok := waiting(obj)
	if !ok || t.Spec.Definition == nil {
		return nil
	}
	return unique(referenced(&t.Spec.Definition.KeptnTaskDefinitionSpec))
}

func configMapsOf(obj client.Object) []string {
	d, ok := obj.(*lifecyclev1.KeptnTaskDefinition)
	if !ok {
		return nil
	}
	names := referenced(&d.Spec)
	if kept := keptIn(d); kept != "" {
		names = append(names, kept)
	}
	return unique(names)
}

func parentsOf(obj client.Object) []string {
	d, ok := obj.(*lifecyclev1.KeptnTaskDefinition)
	if !ok {
		return nil
	}
	return unique(parents(&d.Spec))
}

func unique(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}

// awaiting are the tasks that may begin now that a definition came or changed:
// those that name it, or a definition that takes its script.
func (r *Reconciler) awaiting(ctx context.Context, of client.Object) []reconcile.Request {
	scope := of.GetNamespace()
	if scope == r.Namespace {
		scope = anywhere
	}
	var requests []reconcile.Request
	names := []string{of.GetName()}
	for i := 0; i < len(names); i++ {
		var tasks lifecyclev1.KeptnTaskList
		if err := r.List(ctx, &tasks, client.MatchingFields{byDefinition: scope + "/" + names[i]}, client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List tasks by their definition", "definition", names[i])
			return requests
		}
		requests = append(requests, requestsFor(tasks.Items)...)
		var children lifecyclev1.KeptnTaskDefinitionList
		if err := r.List(ctx, &children, client.MatchingFields{byParent: names[i]}, client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List definitions by functionRef", "definition", names[i])
			return requests
		}
		for j := range children.Items {
			if name := children.Items[j].Name; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return requests
}

// awaitingScript are the tasks that brought a definition which refers to a
// ConfigMap.
func (r *Reconciler) awaitingScript(ctx context.Context, of client.Object) []reconcile.Request {
	var tasks lifecyclev1.KeptnTaskList
	if err := r.List(ctx, &tasks, client.InNamespace(of.GetNamespace()), client.MatchingFields{byConfigMap: of.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List tasks by their ConfigMap", "configMap", of.GetName())
		return nil
	}
	return requestsFor(tasks.Items)
}

func requestsFor(tasks []lifecyclev1.KeptnTask) []reconcile.Request {
	requests := make([]reconcile.Request, len(tasks))
	for i := range tasks {
		requests[i].NamespacedName = types.NamespacedName{Namespace: tasks[i].Namespace, Name: tasks[i].Name}
	}
	return requests
}
