package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// logged is a line of the audit log, as the API server writes it, n milliseconds into
// a minute.
func logged(agent, verb, resource, subresource string, n int, answer string) string {
	if answer != "" {
		answer = `"responseObject":` + answer + `,`
	}
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"ResponseComplete","requestURI":"/x","verb":%q,"user":{},`+
		`"userAgent":"%s/v1 (linux/amd64)","objectRef":{"resource":%q,"namespace":"n","name":"x","apiVersion":"v1","subresource":%q},`+
		`"responseStatus":{"metadata":{},"code":200},%s"requestReceivedTimestamp":"2026-11-23T02:34:01.%03d000Z","stageTimestamp":"2026-11-23T02:34:01.%03d500Z"}`+"\n",
		verb, agent, resource, subresource, answer, n, n)
}

func pod(app, gate string) string {
	return fmt.Sprintf(`{"kind":"Pod","metadata":{"annotations":{"keptn.sh/app":%q,"keptn.sh/workload":"web"}},"spec":{"schedulingGates":[{"name":%q}]}}`, app, gate)
}

func version(app, phases string) string {
	return fmt.Sprintf(`{"kind":"KeptnWorkloadVersion","spec":{"workloadName":"%s-web"},"status":{"phases":[%s]}}`, app, phases)
}

const (
	checked  = `{"name":"WorkloadPreDeployTasks","startTime":"2026-11-23T02:34:01Z"}`
	released = checked + `,{"name":"WorkloadDeploy","startTime":"2026-11-23T02:34:01Z"}`
)

func TestTheAuditLogTellsRequestsAndHowLongGatesStay(t *testing.T) {
	const gate = lifecyclev1.SchedulingGate
	lines := []string{
		"left from before\n",
		logged("replicaset", "create", "pods", "", 100, pod("a", gate)),
		logged("keptn", "patch", "keptnworkloadversions", "status", 150, version("a", checked)),
		logged("keptn", "patch", "keptnworkloadversions", "status", 200, version("a", released)),
		logged("keptn", "patch", "keptnworkloadversions", "status", 220, version("a", released)),
		logged("keptn", "patch", "pods", "", 230, pod("a", "other.example.com/gate")),
		logged("keptn", "patch", "keptnworkloadversions", "status", 300, version("late", released)), // released before its pod was there
		logged("replicaset", "create", "pods", "", 400, pod("late", gate)),
		logged("keptn", "patch", "pods", "", 410, pod("late", "")),
		logged("replicaset", "create", "pods", "", 500, pod("free", "")), // never gated
		logged("keptn", "patch", "keptnworkloadversions", "status", 510, version("free", released)),
		logged("keptn", "patch", "pods", "", 520, pod("free", "")),
		logged("replicaset", "create", "pods", "", 600, pod("held", gate)), // never let go
		strings.Replace(logged("keptn", "create", "keptnworkloads", "", 690, `{"kind":"Status"}`), `"code":200`, `"code":409`, 1),
		logged("keptn", "watch", "pods", "", 700, ""),
		logged("keptn", "update", "leases", "", 710, ""),
		logged("keptn", "create", "events", "", 720, ""),
		logged("kubectl", "create", "deployments", "", 730, ""),
		`{"kind":"Event","half a li`,
	}
	file := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readAudit(file, int64(len(lines[0])))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"patch keptnworkloadversions/status": 5, "patch pods": 3, "create keptnworkloads: 409": 1}, got.requests); diff != "" || got.total() != 9 || got.events != 1 {
		t.Errorf("%d requests and %d events: %s", got.total(), got.events, diff)
	}
	latencies := got.latencies()
	if len(latencies) != 2 || quantile(latencies, 0) != 9.5 || quantile(latencies, 1) != 30 {
		t.Errorf("gates stayed for %v ms, want 9.5 and 30", latencies)
	}
}

func TestAnAuditLogThatIsNoneIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"text":          "no log\n",
		"no pod at all": logged("keptn", "patch", "pods", "", 1, `{"metadata":[]}`),
	} {
		file := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAudit(file, 0); err == nil {
			t.Errorf("%s passes for a log", name)
		}
	}
}

func running(app string) watch.Event {
	return watch.Event{Type: watch.Modified, Object: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}}
}

func succeeded(app string, state lifecyclev1.KeptnState) watch.Event {
	v := &lifecyclev1.KeptnAppVersion{Spec: lifecyclev1.KeptnAppVersionSpec{AppName: app}}
	v.Status.Status = state
	return watch.Event{Type: watch.Modified, Object: v}
}

func TestADeliveryEndsWhenAllIsThereOrNothingHappens(t *testing.T) {
	cases := map[string]struct {
		reason   string
		applying time.Duration
		versions []watch.Event
		want     int
		after    time.Duration
	}{
		"All": {"The last arrival is the end.", time.Minute,
			[]watch.Event{succeeded("a", lifecyclev1.StateProgressing), succeeded("a", lifecyclev1.StateSucceeded), succeeded("b", lifecyclev1.StateSucceeded)}, 2, 0},
		"Failed": {"A version that fails is not waited for for ever.", 0,
			[]watch.Event{succeeded("a", lifecyclev1.StateSucceeded), succeeded("b", lifecyclev1.StateFailed)}, 1, standstill},
		"Again": {"An app that is told of twice is one.", 0,
			[]watch.Event{succeeded("a", lifecyclev1.StateSucceeded), succeeded("a", lifecyclev1.StateSucceeded)}, 1, standstill},
		"Applying": {"What is not applied yet cannot have happened.", 5 * standstill,
			[]watch.Event{succeeded("a", lifecyclev1.StateSucceeded)}, 1, 6 * standstill},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pods, versions := make(chan watch.Event, 2), make(chan watch.Event, len(c.versions))
				pods <- running("a")
				pods <- running("b")
				for _, event := range c.versions {
					versions <- event
				}
				began, applied := time.Now(), make(chan struct{})
				time.AfterFunc(c.applying, func() { close(applied) })
				got, err := arrivals(t.Context(), applied, pods, versions, &delivery{size: 2})
				if err != nil || len(got.running) != 2 || len(got.succeeded) != c.want || time.Since(began) != c.after {
					t.Errorf("%s got %d running and %d succeeded after %s (%v)", c.reason, len(got.running), len(got.succeeded), time.Since(began), err)
				}
			})
		})
	}
}

func TestAWatchThatEndsEndsTheMeasurement(t *testing.T) {
	closed := make(chan watch.Event)
	close(closed)
	if _, err := arrivals(t.Context(), nil, closed, nil, &delivery{size: 1}); err == nil {
		t.Error("a watch that ended is taken for a delivery")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := arrivals(ctx, nil, nil, nil, &delivery{size: 1}); err == nil {
		t.Error("a measurement that was interrupted is taken for a delivery")
	}
}

func TestEveryAppIsOneAnnotatedDeployment(t *testing.T) {
	names := map[string]bool{}
	for text := range strings.SplitSeq(strings.TrimPrefix(string(deployments("apps-3", 3)), "---\n"), "---\n") {
		var d appsv1.Deployment
		if err := yaml.UnmarshalStrict([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		names[d.Name] = true
		want := map[string]string{"keptn.sh/app": d.Name, "keptn.sh/workload": "web", "keptn.sh/version": "1"}
		if diff := cmp.Diff(want, d.Spec.Template.Annotations); diff != "" || d.Namespace != "apps-3" || d.Spec.Selector.MatchLabels["app"] != d.Name {
			t.Errorf("%s/%s: %s", d.Namespace, d.Name, diff)
		}
	}
	if len(names) != 3 {
		t.Errorf("there are %v, want 3", names)
	}
}

func TestADeliveryIsToldPerApp(t *testing.T) {
	began := time.Unix(1000, 0)
	d := delivery{
		size: 2, began: began, applied: 400 * time.Millisecond,
		reached: reached{
			running:   map[string]time.Time{"a": began.Add(time.Second), "b": began.Add(3 * time.Second)},
			succeeded: map[string]time.Time{"a": began.Add(2 * time.Second)},
		},
		used: usage{cpu: 30 * time.Millisecond, peak: 5e7, own: 2e7},
		audit: audit{
			requests: map[string]int{"patch pods": 2, "get pods": 1}, events: 4,
			released: map[string]time.Time{"a": began}, gated: map[string]time.Time{"a": began}, ungated: map[string]time.Time{"a": began.Add(8 * time.Millisecond)},
		},
	}
	want := []string{"2", "0.40 s", "3.00 s", "1 of 2 after 2.00 s", "1.5", "2.0", "15.0 ms", "50.0 MB", "20.0 MB", "8.00 ms", "8.00 ms (of 1)"}
	if diff := cmp.Diff(want, d.row()); diff != "" {
		t.Error(diff)
	}
	tables := deliveryTables([]delivery{{size: 2, bare: true}, d, {size: 10, audit: audit{requests: map[string]int{"get pods": 10}}}})
	if diff := cmp.Diff([][]string{{"get pods", "0.50", "1.00"}, {"patch pods", "1.00", "0.00"}}, tables[1].rows); diff != "" || tables[1].flags != "-n 2,10" {
		t.Error(tables[1].flags, diff)
	}
	for _, row := range tables[0].rows {
		if len(row) != len(tables[0].columns) {
			t.Errorf("%v has %d cells, want %d", row, len(row), len(tables[0].columns))
		}
	}
}

func TestTheNumberOfAppsIsAFlag(t *testing.T) {
	for _, args := range [][]string{{"apps", "-n", "0"}, {"-n", "some", "apps"}, {"apps", "-x"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v is understood", args)
		}
	}
}

func TestTheAuditLogIsAskedForWhereItIsNeeded(t *testing.T) {
	b := &bench{work: t.TempDir()}
	plain, err := b.upArguments([]string{"api", "git"})
	if diff := cmp.Diff([]string{"up", "--only", "api,git"}, plain); diff != "" || err != nil {
		t.Error(err, diff)
	}
	args, err := b.upArguments([]string{"api", audited, "kwok"})
	policy := filepath.Join(b.work, "audit-policy.yaml")
	if diff := cmp.Diff([]string{"up", "--only", "api,kwok", "--audit-policy", policy}, args); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if text, err := os.ReadFile(policy); err != nil || string(text) != auditPolicy {
		t.Errorf("the policy is %q (%v)", text, err)
	}
}
