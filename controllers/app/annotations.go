// Package app turns what Keptn's annotations say into records: an annotated
// workload becomes a KeptnWorkload, each revision of it a KeptnWorkloadVersion, the
// workloads of an app a KeptnApp, and each version of that a KeptnAppVersion. It
// never looks at pods, runs no checks, and changes no workload.
package app

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// errUnmanaged says that a workload carries no name for Keptn.
var errUnmanaged = errors.New("neither the pod template nor the workload has the annotation or label " +
	lifecyclev1.WorkloadAnnotation + " or " + lifecyclev1.K8sRecommendedWorkloadAnnotation)

// A said is what the annotations and labels of a workload say.
type said struct {
	// App is valid as an object name; Workload is as it was written.
	App, Workload string
	// Single says that the workload names no app, and is one by itself.
	Single  bool
	Version string
	lifecyclev1.Checks
	Metadata map[string]string
}

// name is the name of the KeptnWorkload, and of more of them where more is said. What
// it has after the app's name is valid by itself, as the app's list of workloads
// needs it.
func (s said) name(more ...string) string {
	return workload.ResourceName(append([]string{s.App, workload.ResourceName(s.Workload)}, more...)...)
}

// Managed says whether the annotations of a workload make it one of Keptn's: its
// pod template names the workload, or the workload itself does, and the container
// that is to give the version exists. Whether its namespace is opted in is another
// question.
func Managed(top *workload.Workload) bool {
	_, err := read(top)
	return err == nil
}

// read reads the annotations of a workload. The error says why it is not managed.
func read(w *workload.Workload) (said, error) {
	from := sources(w)
	if len(from) == 0 {
		return said{}, errUnmanaged
	}
	version, err := versionOf(from, w.Template.Spec.Containers)
	if err != nil {
		return said{}, err
	}
	name := value(from, lifecyclev1.WorkloadAnnotation, lifecyclev1.K8sRecommendedWorkloadAnnotation)
	app := value(from, lifecyclev1.AppAnnotation, lifecyclev1.K8sRecommendedAppAnnotation)
	single := app == ""
	if single {
		app = name
	}
	return said{
		App: workload.ResourceName(app), Workload: name, Single: single, Version: version,
		Checks: lifecyclev1.Checks{
			PreDeploymentTasks:        list(value(from, lifecyclev1.PreDeploymentTasksAnnotation)),
			PostDeploymentTasks:       list(value(from, lifecyclev1.PostDeploymentTasksAnnotation)),
			PreDeploymentEvaluations:  list(value(from, lifecyclev1.PreDeploymentEvaluationsAnnotation)),
			PostDeploymentEvaluations: list(value(from, lifecyclev1.PostDeploymentEvaluationsAnnotation)),
		},
		Metadata: pairs(value(from, lifecyclev1.MetadataAnnotation)),
	}, nil
}

// sources are what is read, first to last: the pod template where it names the
// workload; else the workload itself where it does, and what the template has
// besides. A ReplicaSet is read by its template alone.
func sources(w *workload.Workload) []metav1.Object {
	names := func(o metav1.Object) bool {
		return value([]metav1.Object{o}, lifecyclev1.WorkloadAnnotation, lifecyclev1.K8sRecommendedWorkloadAnnotation) != ""
	}
	template := &w.Template.ObjectMeta
	switch {
	case names(template):
		return []metav1.Object{template}
	case w.Kind != workload.ReplicaSet && names(w.Object):
		return []metav1.Object{w.Object, template}
	default:
		return nil
	}
}

// value is what the first source says that says anything: by the annotation or the
// label of the first key, else of the second.
func value(from []metav1.Object, keys ...string) string {
	for _, o := range from {
		for _, key := range keys {
			if v := o.GetAnnotations()[key]; v != "" {
				return v
			}
			if v := o.GetLabels()[key]; v != "" {
				return v
			}
		}
	}
	return ""
}

// list reads a,b,c.
func list(text string) []string {
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}

// pairs reads k=v,k2=v2. What has no key, or not one = exactly, is left out.
func pairs(text string) map[string]string {
	var read map[string]string
	for _, entry := range list(text) {
		key, val, found := strings.Cut(entry, "=")
		if key = strings.TrimSpace(key); !found || key == "" || strings.Contains(val, "=") {
			continue
		}
		if read == nil {
			read = map[string]string{}
		}
		read[key] = strings.TrimSpace(val)
	}
	return read
}

// noContainer says that the container that is to give the version does not exist.
type noContainer struct{ name string }

func (e *noContainer) Error() string {
	return fmt.Sprintf("the annotation %s names the container %q, which the pod template does not have: name one of its containers, or set %s",
		lifecyclev1.ContainerAnnotation, e.name, lifecyclev1.VersionAnnotation)
}
