package chaos_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// auditPolicy has the API server log whatever it answers to who writes deliveries,
// tasks and Jobs; see https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: RequestResponse
  verbs: [create, update, patch, delete]
  resources:
  - group: lifecycle.keptn.sh
    resources: [keptnappversions, keptnworkloadversions, keptntasks, keptntasks/status]
  - group: batch
    resources: [jobs, jobs/status]
- level: None
`

// A census is which objects have ever been, by what each is one of: of one delivery,
// one run of a task, or one task. It counts UIDs: an object that is made again under
// its old name counts twice.
type census struct {
	apps, workloads, tasks, jobs map[string][]types.UID
	// torn is how many lines of the log cannot be read: the last that an API server
	// wrote before it was killed.
	torn int
}

func newCensus() *census {
	return &census{map[string][]types.UID{}, map[string][]types.UID{}, map[string][]types.UID{}, map[string][]types.UID{}, 0}
}

func note(seen map[string][]types.UID, identity string, uid types.UID) {
	if !slices.Contains(seen[identity], uid) {
		seen[identity] = append(seen[identity], uid)
	}
}

// add counts an object that is known to be, or to have been.
func (c *census) add(object any) {
	switch o := object.(type) {
	case *lifecyclev1.KeptnAppVersion:
		note(c.apps, o.Spec.AppName, o.UID)
	case *lifecyclev1.KeptnWorkloadVersion:
		note(c.workloads, o.Spec.WorkloadName, o.UID)
	case *lifecyclev1.KeptnTask:
		note(c.tasks, runOf(o), o.UID)
	case *batchv1.Job:
		if owner := metav1.GetControllerOf(o); owner != nil {
			note(c.jobs, string(owner.UID), o.UID)
		} else {
			note(c.jobs, "nobody's "+o.Name, o.UID)
		}
	}
}

// read counts all that an audit log tells of.
func (c *census) read(file string) error {
	log, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	defer log.Close()
	for lines := bufio.NewReader(log); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		var event auditv1.Event
		if json.Unmarshal(line, &event) != nil {
			c.torn++
			continue
		}
		if err := c.answered(event); err != nil {
			return err
		}
	}
}

// answered counts the object that a request was answered with, if it succeeded.
func (c *census) answered(event auditv1.Event) error {
	if event.Stage != auditv1.StageResponseComplete || event.ObjectRef == nil || event.ObjectRef.Namespace != namespace ||
		event.ResponseObject == nil || event.ResponseStatus == nil || event.ResponseStatus.Code/100 != 2 ||
		strings.Contains(event.RequestURI, "dryRun=") {
		return nil
	}
	object, ok := map[string]any{
		"keptnappversions": &lifecyclev1.KeptnAppVersion{}, "keptnworkloadversions": &lifecyclev1.KeptnWorkloadVersion{},
		"keptntasks": &lifecyclev1.KeptnTask{}, "jobs": &batchv1.Job{},
	}[event.ObjectRef.Resource]
	if !ok {
		return nil
	}
	var kind metav1.TypeMeta
	if err := json.Unmarshal(event.ResponseObject.Raw, &kind); err != nil || kind.Kind == "Status" { // that it is deleted
		return err
	}
	if err := json.Unmarshal(event.ResponseObject.Raw, object); err != nil {
		return fmt.Errorf("the answer to %s %s: %w", event.Verb, event.RequestURI, err)
	}
	c.add(object)
	return nil
}

// wrong is what is more or less than one, of what is expected to be one each.
func wrong(what string, seen map[string][]types.UID, want []string) []string {
	var all []string
	for _, identity := range want {
		if n := len(seen[identity]); n != 1 {
			all = append(all, fmt.Sprintf("%d %s for %s: %v", n, what, identity, seen[identity]))
		}
	}
	for identity, uids := range seen {
		if !slices.Contains(want, identity) {
			all = append(all, fmt.Sprintf("%d %s for %s, which nobody asked for: %v", len(uids), what, identity, uids))
		}
	}
	slices.Sort(all)
	return all
}
