package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// auditPolicy has the API server log the requests of all but Kubernetes' own
// components, with what gates pods and lets them go; see
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ["*"]
- level: RequestResponse
  verbs: [create, update, patch]
  resources: [{group: "", resources: [pods]}]
- level: RequestResponse
  verbs: [update, patch]
  resources: [{group: lifecycle.keptn.sh, resources: [keptnworkloadversions/status]}]
- level: None
  userGroups: ["system:serviceaccounts:kube-system", "system:nodes"]
- level: None
  users: ["system:kube-scheduler", "system:kube-controller-manager", "system:apiserver"]
- level: Metadata
`

// controllerAgent is how the controller's requests begin to call themselves: by the
// name of its binary.
const controllerAgent = "keptn/"

// An audit is what the API server logged while something was delivered.
type audit struct {
	// requests of the controller by verb, resource and, if it is an error, the answer;
	// but for watches, leases and events, which are counted apart.
	requests map[string]int
	events   int
	// released is when the status that releases a workload was received, by workload,
	// gated when a gated pod of it was created, and ungated when the request was
	// received that took its gate away.
	released, gated, ungated map[string]time.Time
}

// total is how many requests the controller made.
func (a audit) total() int {
	var n int
	for _, m := range a.requests {
		n += m
	}
	return n
}

// latencies are how long pods stayed gated that nothing kept gated any more, in
// milliseconds: from the status that releases their workload, or from their creation
// if that came later, until the request that takes their gate away.
func (a audit) latencies() []float64 {
	var all []float64
	for workload, since := range a.gated {
		released, decided := a.released[workload]
		ungated, gone := a.ungated[workload]
		if !decided || !gone {
			continue
		}
		if released.After(since) {
			since = released
		}
		all = append(all, milliseconds(ungated.Sub(since)))
	}
	return all
}

// logSize is how long the log is by now.
func logSize(file string) (int64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, fmt.Errorf("look at the audit log: %w", err)
	}
	return info.Size(), nil
}

// readAudit reads what was logged from a place in the file on.
func readAudit(file string, from int64) (audit, error) {
	log, err := os.Open(file)
	if err != nil {
		return audit{}, fmt.Errorf("read the audit log: %w", err)
	}
	defer log.Close()
	if _, err := log.Seek(from, io.SeekStart); err != nil {
		return audit{}, fmt.Errorf("read the audit log: %w", err)
	}
	a := audit{map[string]int{}, 0, map[string]time.Time{}, map[string]time.Time{}, map[string]time.Time{}}
	events := json.NewDecoder(log)
	for {
		var event auditv1.Event
		err := events.Decode(&event)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last line is being written
			return a, nil
		}
		if err == nil {
			err = a.note(event)
		}
		if err != nil {
			return a, fmt.Errorf("read the audit log: %w", err)
		}
	}
}

// note takes an event of the log into account.
func (a *audit) note(event auditv1.Event) error {
	if event.Stage != auditv1.StageResponseComplete || event.ObjectRef == nil {
		return nil
	}
	if strings.HasPrefix(event.UserAgent, controllerAgent) {
		a.count(event)
	}
	switch resource(*event.ObjectRef) {
	case "pods":
		return a.notePod(event)
	case "keptnworkloadversions/status":
		return a.noteRelease(event)
	default:
		return nil
	}
}

// count counts a request of the controller.
func (a *audit) count(event auditv1.Event) {
	switch {
	case event.Verb == "watch", event.ObjectRef.Resource == "leases":
	case event.ObjectRef.Resource == "events":
		a.events++
	case event.ResponseStatus != nil && event.ResponseStatus.Code/100 != 2:
		a.requests[fmt.Sprintf("%s %s: %d", event.Verb, resource(*event.ObjectRef), event.ResponseStatus.Code)]++
	default:
		a.requests[event.Verb+" "+resource(*event.ObjectRef)]++
	}
}

// resource is what a request is about, with its subresource.
func resource(object auditv1.ObjectReference) string {
	if object.Subresource == "" {
		return object.Resource
	}
	return object.Resource + "/" + object.Subresource
}

// notePod notes that a pod was created with a gate, or has lost it.
func (a *audit) notePod(event auditv1.Event) error {
	var pod corev1.Pod
	if ok, err := answer(event, &pod); !ok {
		return err
	}
	workload := pod.Annotations[lifecyclev1.AppAnnotation] + "-" + pod.Annotations[lifecyclev1.WorkloadAnnotation]
	switch {
	case event.Verb == "create" && gated(&pod):
		first(a.gated, workload, event.StageTimestamp.Time)
	case event.Verb != "create" && !gated(&pod):
		first(a.ungated, workload, event.RequestReceivedTimestamp.Time)
	}
	return nil
}

// noteRelease notes the first status of a workload that releases its pods.
func (a *audit) noteRelease(event auditv1.Event) error {
	var version lifecyclev1.KeptnWorkloadVersion
	ok, err := answer(event, &version)
	if ok && version.Released() {
		first(a.released, version.Spec.WorkloadName, event.RequestReceivedTimestamp.Time)
	}
	return err
}

// answer reads the object that a request that succeeded was answered with.
func answer(event auditv1.Event, object any) (bool, error) {
	if event.ResponseObject == nil || event.ResponseStatus == nil || event.ResponseStatus.Code/100 != 2 {
		return false, nil
	}
	if strings.Contains(event.RequestURI, "dryRun=") {
		return false, nil
	}
	if err := json.Unmarshal(event.ResponseObject.Raw, object); err != nil {
		return false, fmt.Errorf("the answer to %s %s: %w", event.Verb, event.RequestURI, err)
	}
	return true, nil
}
