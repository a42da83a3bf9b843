package task

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
)

// begin makes the Job of a task that has none. The Job's name follows from the
// task, so that whoever tries again after a failure finds the first try's.
func (r *Reconciler) begin(ctx context.Context, t *lifecyclev1.KeptnTask) (*batchv1.Job, error) {
	lookup := resolver{definitions: r.Client, configMaps: r.APIReader, task: t, own: r.Namespace}
	d, err := lookup.resolve(ctx)
	if err != nil {
		return nil, err
	}
	job := jobOf(t, d, r.Options)
	if err := notAllowed(&job.Spec.Template, t.Spec.Confinement); err != nil {
		return nil, err
	}
	if err := r.keepScripts(ctx, t, d); err != nil {
		return nil, err
	}
	if err := apply.Own(t, job, r.Scheme()); err != nil {
		return nil, err
	}
	err = r.Create(ctx, job, client.FieldOwner(fieldOwner))
	if err == nil || !apierrors.IsAlreadyExists(err) {
		return job, unmade(err)
	}
	have, err := r.job(ctx, r.APIReader, t)
	if err == nil && have == nil {
		err = fmt.Errorf("Job %s/%s was there, and is gone", job.Namespace, job.Name)
	}
	return have, err
}

// keepScripts keeps what a task has of scripts that no ConfigMap of its namespace
// holds: it is named like the Job, and goes with the task.
func (r *Reconciler) keepScripts(ctx context.Context, t *lifecyclev1.KeptnTask, d *definition) error {
	data := map[string]string{}
	for _, p := range d.programs {
		if p.script.code != "" {
			data[p.script.key] = p.script.code
		}
	}
	if len(data) == 0 {
		return nil
	}
	kept := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: jobName(t)},
		Immutable:  new(true),
		Data:       data,
	}
	if err := apply.Own(t, kept, r.Scheme()); err != nil {
		return err
	}
	err := r.Create(ctx, kept, client.FieldOwner(fieldOwner))
	if !apierrors.IsAlreadyExists(err) {
		return unmade(err)
	}
	var have corev1.ConfigMap
	if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: kept.Namespace, Name: kept.Name}, &have); err != nil {
		return fmt.Errorf("ConfigMap %s/%s: %w", kept.Namespace, kept.Name, err)
	}
	if !metav1.IsControlledBy(&have, t) {
		return refused(reasonJobConflict, "there is a ConfigMap %q already, and it is not of this task: delete it, and run the task anew", kept.Name)
	}
	return nil
}

// unmade is what it means that the API server did not take an object. It returns
// nil for nil.
func unmade(err error) error {
	switch {
	case err == nil, apply.Terminating(err):
		return err
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return refused(reasonJobInvalid, "the API server does not take it: %v", err)
	case apierrors.IsForbidden(err):
		return &problem{reason: reasonJobForbidden, message: err.Error(), cause: err}
	default:
		return err
	}
}

// unbegun records why a task did not begin. Where the namespace is being deleted
// there is nothing left to do, since the task goes with it.
func (r *Reconciler) unbegun(ctx context.Context, before, t *lifecyclev1.KeptnTask, err error) (reconcile.Result, error) {
	p := problemOf(err)
	switch {
	case p == nil:
		return apply.Result(0, err)
	case p.final:
		r.end(t, p.reason, p.message)
	default:
		t.Status.Status, t.Status.Reason, t.Status.Message = lifecyclev1.StatePending, p.reason, bounded(p.message)
	}
	if err := r.record(ctx, before, t); err != nil {
		return apply.Result(0, client.IgnoreNotFound(err))
	}
	return reconcile.Result{}, p.cause
}
