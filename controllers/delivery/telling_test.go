package delivery

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

func TestWhatHoldsAWorkloadIsToldOnce(t *testing.T) {
	rejected := appVersion("kav", 1, "1")
	rejected.Status.Status = failed
	const phase = "Warning AppPreDeployEvaluations"
	cases := map[string]struct {
		reason string
		app    *lifecyclev1.KeptnAppVersion
		want   string
	}{
		"AppFailed": {"It is told at once (R41).", rejected, phase + "Failed App Pre-Deployment Evaluations: has failed since app has failed"},
		"NotFound": {
			"It is told once it has not come for a while (R37).", appVersion("kav", 1, "2"),
			phase + "AppVersionNotFound App Pre-Deployment Evaluations: has failed since app could not be found",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, append(rolling("1"), ofRevision1("kwv", 1, "1"), tc.app)...)
			look := func(after time.Duration) error {
				c.clock.SetTime(noon.Add(after))
				r := &WorkloadVersionReconciler{Client: c.Client, Clock: c.clock, Events: c.events}
				_, err := r.Reconcile(t.Context(), read(c, "kwv", &lifecyclev1.KeptnWorkloadVersion{}))
				return err
			}
			if err := look(0); err != nil {
				t.Fatal(err)
			}
			if at := said(c.events); (len(at) > 0) != (name == "AppFailed") {
				t.Errorf("%s\nat once it is told: %v", tc.reason, at)
			}
			// Somebody takes the record back: it is told again, though not while the
			// write is lost.
			kwv := read(c, "kwv", &lifecyclev1.KeptnWorkloadVersion{})
			kwv.Status = lifecyclev1.KeptnWorkloadVersionStatus{}
			if err := c.Status().Update(t.Context(), kwv); err != nil {
				t.Fatal(err)
			}
			lost := errors.New("the write is lost")
			c.refuse = func(string, client.Object) error { return lost }
			if err := look(settle); !errors.Is(err, lost) {
				t.Fatal(err)
			}
			c.refuse = nil
			if err := look(time.Hour); err != nil {
				t.Fatal(err)
			}
			// The app's next delivery holds it for the same reason, and the record says so.
			next := tc.app.DeepCopy()
			next.Name, next.UID, next.ResourceVersion, next.Spec.AppGeneration = "next", "next", "", 2
			if err := c.Create(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			if err := look(2 * time.Hour); err != nil {
				t.Fatal(err)
			}
			if ready := read(c, "kwv", kwv).Status.Conditions[0]; !strings.Contains(ready.Message, "next") {
				t.Errorf("it is held for %q", ready.Message)
			}
			if diff := cmp.Diff([]string{tc.want}, said(c.events)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if kwv := read(c, "kwv", kwv); !kwv.Status.StartTime.Equal(&kwv.CreationTimestamp) {
				t.Errorf("it began at %s, and was made at %s (O15)", kwv.Status.StartTime, kwv.CreationTimestamp)
			}
		})
	}
}

func TestAWorkloadThatHasNoDeliveryIsToldOfOnce(t *testing.T) {
	kav, db := appVersion("kav", 1, "1"), workloadVersion("db", 1, "1")
	kav.Spec.Workloads = append(kav.Spec.Workloads, lifecyclev1.KeptnWorkloadRef{Name: "db", Version: "1"})
	db.Spec.WorkloadName = "shop-db"
	c := newCluster(t, kav, db)
	if _, err := c.app("kav"); err != nil {
		t.Fatal(err)
	}
	db = read(c, "db", db)
	db.Status.Status = succeeded
	if err := c.Status().Update(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if kav, err := c.app("kav"); err != nil || kav.Status.WorkloadStatus[1].Status != succeeded {
		t.Fatalf("the record is not written again: %+v, %v", kav.Status.WorkloadStatus, err)
	}
	want := []string{
		"Normal AppDeployStarted App Deployment: has started",
		"Warning ReconcileWorkloadNotFound Reconcile Workloads: could not find KeptnWorkloadVersion for KeptnWorkload: cart",
	}
	if diff := cmp.Diff(want, said(c.events)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestACheckThatCannotBeCreatedIsToldOf(t *testing.T) {
	kav := checking("a")
	kav.Spec.PostDeploymentEvaluations = []string{"fast"}
	c := newCluster(t, definition("a"), kav, &lifecyclev1.KeptnEvaluationDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "fast"}})
	c.refuse = func(verb string, _ client.Object) error {
		if verb == "create" {
			return errors.New("no quota")
		}
		return nil
	}
	if _, err := c.app("shop-1"); err == nil {
		t.Error("it is not tried again")
	}
	refuse := c.refuse
	c.refuse = nil
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	c.refuse = refuse
	c.end("a", succeeded)
	if _, err := c.app("shop-1"); err == nil {
		t.Error("it is not tried again")
	}
	told := slices.DeleteFunc(said(c.events), func(line string) bool { return !strings.Contains(line, "could not") })
	if len(told) != 2 || !strings.HasPrefix(told[0], "Warning CreateTaskFailed Create Task: could not create KeptnTask: ") ||
		!strings.HasPrefix(told[1], "Warning CreateEvaluationFailed Create Evaluation: could not create KeptnEvaluation: ") {
		t.Errorf("it is told: %q", told)
	}
}
