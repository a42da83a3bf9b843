package task

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// JobOf is the Job of a task, with what it refers to looked up by a client, or why
// the task may not run.
func JobOf(ctx context.Context, c client.Reader, t *lifecyclev1.KeptnTask, o Options) (*batchv1.Job, error) {
	d, err := (&resolver{definitions: c, configMaps: c, task: t, own: o.Namespace}).resolve(ctx)
	if err != nil {
		return nil, err
	}
	job := jobOf(t, d, o)
	return job, notAllowed(&job.Spec.Template, t.Spec.Confinement)
}

// ReasonOf is the reason of the problem that an error is, with an exclamation mark
// where it fails the task; it is empty where the error is none.
func ReasonOf(err error) string {
	p := problemOf(err)
	switch {
	case p == nil:
		return ""
	case p.final:
		return p.reason + "!"
	default:
		return p.reason
	}
}

// Watching has the reconciler see the Jobs and the pods of tasks through c.
func (r *Reconciler) Watching(c client.Reader) *Reconciler {
	r.watched = c
	return r
}

// Awaiting are the tasks that a definition wakes.
func (r *Reconciler) Awaiting(ctx context.Context, d *lifecyclev1.KeptnTaskDefinition) []string {
	var names []string
	for _, request := range r.awaiting(ctx, d) {
		names = append(names, request.String())
	}
	return names
}

var (
	JobName       = jobName
	LabelOf       = labelOf
	ScriptsName   = scriptsName
	ContainerName = containerName
	StateOf       = func(job *batchv1.Job) (lifecyclev1.KeptnState, string, string) {
		o := stateOf(job)
		return o.state, o.reason, o.message
	}
	Progress = progress
	EndOf    = endOf
	Slim     = slim
	Tail     = tail
)

// End keeps the end of a log.
type End = end

// String is an ending as <pod>/<container> <exit code>.
func (e *ending) String() string {
	switch {
	case e == nil:
		return ""
	case e.exitCode == nil:
		return e.pod + "/" + e.container + " -"
	default:
		return fmt.Sprintf("%s/%s %d", e.pod, e.container, *e.exitCode)
	}
}
