package chaos_test

import (
	"fmt"
	"strings"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

const (
	namespace = "chaos"
	// size is how many apps are delivered, and every contextOf-th of them has tasks of
	// its own, beside those of its workload.
	size      = 50
	contextOf = 5
	// workload is the one that every app has.
	workload = "web"
)

// nameOf is the name of an app.
func nameOf(i int) string { return fmt.Sprintf("app-%02d", i) }

// surroundings are the namespaces, and the tasks that checks run. Their Jobs are kept
// for longer than the test takes, so that they can be counted.
func surroundings() string {
	text := fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: keptn-system}
---
apiVersion: v1
kind: Namespace
metadata:
  name: %s
  annotations: {%s: enabled}
`, namespace, lifecyclev1.NamespaceEnabledAnnotation)
	for _, name := range []string{"before", "after", "app-before", "app-after"} {
		text += fmt.Sprintf(`---
apiVersion: lifecycle.keptn.sh/v1
kind: KeptnTaskDefinition
metadata: {namespace: %s, name: %s}
spec:
  ttlSecondsAfterFinished: 86400
  container: {name: main, image: "busybox:1.36", command: ["true"]}
`, namespace, name)
	}
	return text
}

// deployments are the apps: one annotated Deployment each, of one replica.
func deployments() string {
	var text strings.Builder
	for i := range size {
		if i%contextOf == 0 {
			fmt.Fprintf(&text, `---
apiVersion: lifecycle.keptn.sh/v1
kind: KeptnAppContext
metadata: {namespace: %s, name: %s}
spec: {preDeploymentTasks: [app-before], postDeploymentTasks: [app-after]}
`, namespace, nameOf(i))
		}
		fmt.Fprintf(&text, `---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: %[1]s, name: %[2]s}
spec:
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata:
      labels: {app: %[2]s}
      annotations:
        %[3]s: %[2]s
        %[4]s: %[5]s
        %[6]s: "1"
        %[7]s: before
        %[8]s: after
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: main, image: "busybox:1.36"}
`, namespace, nameOf(i), lifecyclev1.AppAnnotation, lifecyclev1.WorkloadAnnotation, workload, lifecyclev1.VersionAnnotation,
			lifecyclev1.PreDeploymentTasksAnnotation, lifecyclev1.PostDeploymentTasksAnnotation)
	}
	return text.String()
}

// expected are the deliveries of the apps, and the runs of their tasks, by what
// identifies each.
func expected() (apps, workloads, tasks []string) {
	for i := range size {
		app := nameOf(i)
		apps = append(apps, app)
		workloads = append(workloads, app+"-"+workload)
		tasks = append(tasks, run("Workload", app, "pre", "before"), run("Workload", app, "post", "after"))
		if i%contextOf == 0 {
			tasks = append(tasks, run("App", app, "pre", "app-before"), run("App", app, "post", "app-after"))
		}
	}
	return apps, workloads, tasks
}

// run identifies the run of a task: there is one in each phase of each delivery.
func run(of, app, phase, definition string) string {
	return strings.Join([]string{of, app, phase, definition}, " ")
}

// runOf identifies what a KeptnTask runs.
func runOf(t *lifecyclev1.KeptnTask) string {
	return run(t.Spec.Context.ObjectType, t.Spec.Context.AppName, string(t.Spec.Type), t.Spec.TaskDefinition)
}
