package event_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

// told is a Kubernetes event of Keptn's.
func told() event.Told {
	return event.Told{
		About:   corev1.ObjectReference{APIVersion: "lifecycle.keptn.sh/v1", Kind: "KeptnAppVersion", Namespace: "shop", Name: "checkout-1", UID: recordtest.UID},
		Version: "1", Phase: "App Deployment", State: "Started", Kind: "Normal",
		Message:     "App Deployment: has started / Namespace: shop, Name: checkout-1, Version: 1",
		At:          recordtest.At(3).Time,
		Traceparent: traceparent,
	}
}

func TestKeptnsEventIsByteForByteKeptns(t *testing.T) {
	e := event.OfKubernetes(told())
	const want = `{"message":"App Deployment: has started / Namespace: shop, Name: checkout-1, Version: 1",` +
		`"resource":{"group":"lifecycle.keptn.sh","kind":"KeptnAppVersion","name":"checkout-1","namespace":"shop","version":"v1"},` +
		`"type":"Normal","version":"1"}`
	if got := string(e.Data()); got != want {
		t.Errorf("data is\n%s, want\n%s", got, want)
	}
	if e.Type() != "App Deployment.Started" || e.Source() != "keptn.sh" || e.Subject() != "shop/checkout-1" || e.Extensions()["traceparent"] != traceparent {
		t.Errorf("event is %s", e)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEventsInKeptnsWordsAreHeard(t *testing.T) {
	about := told().About
	cases := map[string]struct {
		reason                string
		why, action, note     string
		phase, state, version string
		heard                 bool
	}{
		"Phase": {
			"A phase of a delivery.", "AppDeployStarted", "AppDeploy", told().Message,
			"App Deployment", "Started", "1", true,
		},
		"Task": {
			"A task has no version; what it is told of has a colon as well.", "CreateTaskFailed", "CreateTask", "Create Task: could not create Job: x / Namespace: shop, Name: t",
			"Create Task", "Failed", "", true,
		},
		"Evaluation": {
			"The action is another one, the phase is in the reason.", "ReconcileEvaluationStatusChanged", "Evaluate",
			"Reconcile Evaluation: evaluation status changed from Pending to Succeeded / Namespace: shop, Name: e, Version: 2",
			"Reconcile Evaluation", "StatusChanged", "2", true,
		},
		"Other": {"What is not Keptn's is not told as Keptn's.", "FetchFailed", "Fetch", "cannot fetch: no route", "", "", "", false},
		"Alien": {"Nor what only has a colon in it.", "Boom", "Reconcile", "boom: x / Namespace: shop, Name: e", "", "", "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, heard := event.Heard(about, map[string]string{"traceparent": traceparent}, "Normal", tc.why, tc.action, tc.note, recordtest.At(3).Time)
			want := event.Told{}
			if tc.heard {
				want = event.Told{
					About: about, Version: tc.version, Phase: tc.phase, State: tc.state, Kind: "Normal", Message: tc.note,
					At: recordtest.At(3).Time, Traceparent: traceparent,
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || heard != tc.heard {
				t.Errorf("%s\nheard is %t, -want +got:\n%s", tc.reason, heard, diff)
			}
		})
	}
}

func TestKeptnsEventsAreToldApart(t *testing.T) {
	first := event.OfKubernetes(told())
	for name, change := range map[string]func(*event.Told){
		"Object":  func(t *event.Told) { t.About.UID = "other" },
		"State":   func(t *event.Told) { t.State = "Failed" },
		"Message": func(t *event.Told) { t.Message = "other" },
		"Time":    func(t *event.Told) { t.At = t.At.Add(time.Second) },
	} {
		other := told()
		change(&other)
		if event.OfKubernetes(other).ID() == first.ID() {
			t.Errorf("%s: another event has the same id", name)
		}
	}
	if event.OfKubernetes(told()).ID() != first.ID() {
		t.Error("the same event has another id")
	}
}

func TestTasksAndEvaluationsAreToldAsTheyBeginAndEnd(t *testing.T) {
	task, begun := recordtest.Task(), recordtest.Task()
	begun.Status = lifecyclev1.KeptnTaskStatus{Status: lifecyclev1.StateProgressing, StartTime: recordtest.At(1)}
	task.Spec.Context.Metadata = map[string]string{"traceparent": traceparent}
	forged := begun.DeepCopy()
	forged.Spec.Context.Metadata = map[string]string{"traceparent": "\r\nX: y"}
	evaluation := recordtest.Evaluation()
	evaluation.Spec.Commit = &lifecyclev1.Commit{SHA: recordtest.SHA}
	cases := map[string]struct {
		reason string
		events []cloudevents.Event
		want   []said
		data   string
		trace  any
	}{
		"TaskBegins": {
			"A task that runs; what it was told of the trace is no trace parent.",
			event.OfTask(nil, forged), []said{{event.TaskStartedType, "task/started", recordtest.At(1).Time}},
			`{"app":"checkout","workload":"checkout-web","workloadVersion":"1.2","namespace":"shop","name":"pre-migrate-1","definition":"migrate","type":"pre","state":"Progressing"}`, nil,
		},
		"TaskEnds": {
			"Its end says why.",
			event.OfTask(&begun, &task), []said{{event.TaskFinishedType, "task/finished/Failed", recordtest.At(21).Time}},
			`{"app":"checkout","workload":"checkout-web","workloadVersion":"1.2","namespace":"shop","name":"pre-migrate-1","definition":"migrate","type":"pre","state":"Failed","reason":"BackoffLimitExceeded","message":"it crashed","exitCode":3}`, traceparent,
		},
		"TaskHadEnded": {"Nothing changed.", event.OfTask(&task, &task), nil, "", nil},
		"Evaluation": {
			"An evaluation may begin and end at once; the end says the verdict.",
			event.OfEvaluation(nil, &evaluation), []said{
				{event.EvaluationStartedType, "evaluation/started", recordtest.At(91).Time},
				{event.EvaluationFinishedType, "evaluation/finished/Warning", recordtest.At(99).Time},
			},
			`{"app":"checkout","appVersion":"4b825dc","namespace":"shop","name":"post-eval-checkout-slo-1","definition":"checkout-slo","type":"post-eval","commit":"` + recordtest.SHA + `","state":"Warning","message":"error ratio 0.7 %","verdict":"warning"}`, nil,
		},
		"EvaluationHadEnded": {"Nothing changed.", event.OfEvaluation(&evaluation, &evaluation), nil, "", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, saidBy(tc.events)); diff != "" {
				t.Fatalf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			if len(tc.events) == 0 {
				return
			}
			last := tc.events[len(tc.events)-1]
			if diff := cmp.Diff(tc.data, string(last.Data())); diff != "" {
				t.Errorf("%s\ndata, -want +got:\n%s", tc.reason, diff)
			}
			if got := last.Extensions()["traceparent"]; got != tc.trace {
				t.Errorf("%s\ntraceparent is %v, want %v", tc.reason, got, tc.trace)
			}
		})
	}
}

func TestAWorkloadsDeliveryHasTypesOfItsOwn(t *testing.T) {
	events := event.OfDelivery(record.OfWorkload(nil, nil), record.OfWorkload(recordtest.Workload(), recordtest.Delivered()))
	var types []string
	for _, e := range events {
		types = append(types, e.Type())
	}
	want := []string{event.WorkloadStartedType, event.WorkloadPhaseFinishedType, event.WorkloadFinishedType}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	var data event.DeliveryData
	if err := json.Unmarshal(events[2].Data(), &data); err != nil {
		t.Fatal(err)
	}
	if data.Workload != "checkout-web" || data.Version != "1.2" || data.Environment != "production" || data.Commit != recordtest.SHA || data.State != "Failed" {
		t.Errorf("data is %+v", data)
	}
	if got := events[2].Extensions()["traceparent"].(string); !strings.HasPrefix(got, traceparent[:36]) {
		t.Errorf("traceparent is %s, want the trace of the app", got)
	}
}

// cdSchema is what the specification demands of all CDEvents, and of each type: the
// fields of the subject's content, those that are required marked
// (https://github.com/cdevents/spec/tree/v0.4.1/schemas).
var cdSchema = map[string]struct {
	subject  string
	required []string
	allowed  []string
}{
	event.ServiceDeployedType:     {"service", []string{"environment", "artifactId"}, nil},
	event.ServiceUpgradedType:     {"service", []string{"environment", "artifactId"}, nil},
	event.ServiceRolledBackType:   {"service", []string{"environment", "artifactId"}, nil},
	event.TestCaseRunFinishedType: {"testCaseRun", []string{"outcome", "environment"}, []string{"severity", "reason", "testSuiteRun", "testCase"}},
	event.IncidentDetectedType:    {"incident", []string{"environment"}, []string{"description", "service", "artifactId"}},
	event.IncidentResolvedType:    {"incident", []string{"environment"}, []string{"description", "service", "artifactId"}},
}

func keys(m map[string]any) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// conforms checks a CDEvent by the specification.
func conforms(t *testing.T, e cloudevents.Event) map[string]any {
	t.Helper()
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	all := decode(t, e.Data())
	context, _ := all["context"].(map[string]any)
	subject, _ := all["subject"].(map[string]any)
	content, _ := subject["content"].(map[string]any)
	schema, known := cdSchema[e.Type()]
	if !known || subject["type"] != schema.subject || subject["id"] != e.Subject() || e.Subject() == "" {
		t.Errorf("%s has the subject %v", e.Type(), subject)
	}
	for name, want := range map[string]string{
		"version": "0.4.1", "id": e.ID(), "source": e.Source(), "type": e.Type(), "timestamp": e.Time().UTC().Format(time.RFC3339Nano),
	} {
		if context[name] != want {
			t.Errorf("%s: context has %s=%v, want %s, as the CloudEvent", e.Type(), name, context[name], want)
		}
	}
	for _, name := range keys(context) {
		if !slices.Contains([]string{"version", "id", "source", "type", "timestamp", "chainId"}, name) {
			t.Errorf("%s: there is no %s in a context", e.Type(), name)
		}
	}
	for _, name := range schema.required {
		if content[name] == nil {
			t.Errorf("%s lacks %s", e.Type(), name)
		}
	}
	for _, name := range keys(content) {
		if !slices.Contains(schema.required, name) && !slices.Contains(schema.allowed, name) {
			t.Errorf("%s has no %s", e.Type(), name)
		}
	}
	if purl, ok := content["artifactId"].(string); ok && !regexp.MustCompile(`^pkg:generic/[^@?]+@[^?]+(\?vcs_url=\S+)?$`).MatchString(purl) {
		t.Errorf("%s: %q is no package URL", e.Type(), purl)
	}
	return content
}

func TestCDEventsTellOfDeploymentsAndTests(t *testing.T) {
	upgraded, rolledBack, annotated := recordtest.Delivered(), recordtest.Delivered(), recordtest.Delivered()
	upgraded.Spec.PreviousVersion, upgraded.Spec.Commits = "8d1c8b6", []lifecyclev1.Commit{*upgraded.Spec.Commit}
	rolledBack.Spec.PreviousVersion, rolledBack.Spec.Commits = "8d1c8b6", nil
	annotated.Spec.Commit, annotated.Spec.Environment = nil, ""
	built := rolledBack.DeepCopy()
	built.Spec.Commit.Evidence = lifecyclev1.EvidenceImage
	facts := record.Facts{Evaluations: []lifecyclev1.KeptnEvaluation{recordtest.Evaluation()}}
	tested := event.TestCaseRunFinishedType
	cases := map[string]struct {
		reason string
		after  record.Delivery
		facts  record.Facts
		want   []string
	}{
		"First":      {"What never ran before is deployed, and its evaluation is a test.", record.OfApp(recordtest.Delivered()), facts, []string{tested, event.ServiceDeployedType}},
		"Upgraded":   {"Another version ran before.", record.OfApp(upgraded), facts, []string{tested, event.ServiceUpgradedType}},
		"RolledBack": {"It brings no commit that had not run before.", record.OfApp(rolledBack), facts, []string{tested, event.ServiceRolledBackType}},
		"Built":      {"A commit by its image need not be among those that change the app.", record.OfApp(built), facts, []string{tested, event.ServiceUpgradedType}},
		"Failed":     {"What did not roll out is not deployed.", record.OfApp(recordtest.Failed()), record.Facts{}, nil},
		"Annotated":  {"An app that does not come from Git is in its namespace.", record.OfApp(annotated), facts, []string{tested, event.ServiceDeployedType}},
		"Workload":   {"A workload is part of the service; its tests are told.", record.OfWorkload(recordtest.Workload(), nil), record.Facts{Tasks: []lifecyclev1.KeptnTask{recordtest.Task()}}, []string{tested}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range event.CDEventsOf(record.OfApp(nil), tc.after, tc.facts) {
				got = append(got, e.Type())
				conforms(t, e)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheContentOfCDEventsSaysWhatRunsWhereAndHowTestsEnded(t *testing.T) {
	facts := record.Facts{Tasks: []lifecyclev1.KeptnTask{recordtest.Task()}}
	service := conforms(t, event.CDEventsOf(record.OfApp(nil), record.OfApp(recordtest.Delivered()), record.Facts{})[1])
	want := map[string]any{
		"environment": map[string]any{"id": "production"},
		"artifactId":  "pkg:generic/checkout@4b825dc?vcs_url=git%2Bhttps%3A%2F%2Fgit.example.com%2Facme%2Fshop.git%40" + recordtest.SHA,
	}
	if diff := cmp.Diff(want, service); diff != "" {
		t.Errorf("service, -want +got:\n%s", diff)
	}
	test := conforms(t, event.CDEventsOf(record.OfApp(nil), record.OfWorkload(recordtest.Workload(), nil), facts)[0])
	want = map[string]any{
		"outcome": "fail", "reason": "it crashed", "environment": map[string]any{"id": "shop"},
		"testCase":     map[string]any{"id": "migrate", "name": "migrate"},
		"testSuiteRun": map[string]any{"id": "shop/checkout-web-1.2/WorkloadPreDeployTasks"},
	}
	if diff := cmp.Diff(want, test); diff != "" {
		t.Errorf("test, -want +got:\n%s", diff)
	}
}

func TestIncidentsAreCDEvents(t *testing.T) {
	incident := event.Incident{
		ID: "4f0c", Namespace: "shop", App: "checkout", Environment: "production", Summary: "5xx over 1 %",
		Commit: recordtest.SHA, StartedAt: recordtest.At(0).Time,
	}
	resolved := incident
	resolved.ResolvedAt = recordtest.At(60).Time
	all := []cloudevents.Event{
		event.OfIncident(incident), event.OfIncident(resolved), event.OfIncident(event.Incident{ID: "x", Namespace: "shop", StartedAt: recordtest.At(0).Time}),
	}
	seen := map[string]bool{}
	for _, e := range all {
		conforms(t, e)
		if seen[e.ID()] {
			t.Errorf("%s has the id of another", e.Type())
		}
		seen[e.ID()] = true
	}
	if all[0].Type() != event.IncidentDetectedType || all[1].Type() != event.IncidentResolvedType || !all[1].Time().Equal(resolved.ResolvedAt) {
		t.Errorf("incidents are %s and %s", all[0].Type(), all[1].Type())
	}
}

func TestFluxIsToldWhatItsAlertsAndStatusesTake(t *testing.T) {
	fromGit := recordtest.Delivered()
	fromGit.Spec.Lifecycle = &lifecyclev1.LifecycleRef{Namespace: "apps", Name: "checkout"}
	kustomization := corev1.ObjectReference{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "flux-system", Name: "shop"}
	type line struct{ Kind, Name, Severity, Reason, Message, Group, CommitStatus string }
	const update = "update"
	cases := map[string]struct {
		reason string
		kav    *lifecyclev1.KeptnAppVersion
		facts  record.Facts
		want   []line
	}{
		"Applied": {
			"An Alert knows Flux's kinds alone; only the end is for chats.", fromGit, record.Facts{Applier: kustomization},
			[]line{
				{"Kustomization", "shop", "info", "Progressing", "checkout 4b825dc: delivery has started", "kustomize.toolkit.fluxcd.io", update},
				{"Kustomization", "shop", "info", "Warning", "checkout 4b825dc: delivery has succeeded: error ratio 0.7 %", "kustomize.toolkit.fluxcd.io", ""},
			},
		},
		"Lifecycle": {
			"Else it is of the Lifecycle.", fromGit, record.Facts{},
			[]line{
				{"Lifecycle", "checkout", "info", "Progressing", "checkout 4b825dc: delivery has started", "gitops.keptn.sh", update},
				{"Lifecycle", "checkout", "info", "Warning", "checkout 4b825dc: delivery has succeeded: error ratio 0.7 %", "gitops.keptn.sh", ""},
			},
		},
		"Failed": {
			"A failure is an error; a record without a Lifecycle stands for itself.", recordtest.Failed(), record.Facts{},
			[]line{
				{"KeptnAppVersion", "checkout-4b825dc-1a2b3c4d", "info", "Progressing", "checkout 4b825dc: delivery has started", "lifecycle.keptn.sh", update},
				{"KeptnAppVersion", "checkout-4b825dc-1a2b3c4d", "error", "Failed", "checkout 4b825dc: delivery has failed: 1 of 3 replicas available after 5m", "lifecycle.keptn.sh", ""},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []line
			for _, e := range event.OfFlux(record.OfApp(nil), record.OfApp(tc.kav), tc.facts) {
				group, _, _ := strings.Cut(e.InvolvedObject.APIVersion, "/")
				got = append(got, line{e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Severity, e.Reason, e.Message, group, e.Metadata[group+"/commit_status"]})
				for key, want := range map[string]string{
					"revision": "sha1:" + recordtest.SHA, "commit": "sha1:" + recordtest.SHA, "app": "checkout", "environment": "production", "version": "4b825dc",
				} {
					if value := e.Metadata[group+"/"+key]; value != want {
						t.Errorf("%s\n%s is %q, want %q", tc.reason, key, value, want)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFluxHearsOfPhasesWhileADeliveryGoesOn(t *testing.T) {
	s := story()
	events := event.OfFlux(record.OfApp(s[1]), record.OfApp(s[2]), record.Facts{})
	if len(events) != 1 || events[0].Reason != "Progressing" || events[0].Message != "checkout 4b825dc: App Deployment has finished: 3 of 3 replicas run 4b825dc" {
		t.Errorf("events are %+v", events)
	}
	if got := event.OfFlux(record.OfWorkload(nil, nil), record.OfWorkload(recordtest.Workload(), nil), record.Facts{}); got != nil {
		t.Errorf("Flux hears of workloads: %+v", got)
	}
}
