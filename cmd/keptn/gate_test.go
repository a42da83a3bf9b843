package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/lifecycle"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

// waitedFor is a Lifecycle of the app checkout in an environment, of which nothing was
// delivered.
func waitedFor(namespace, environment string) *gitopsv1alpha1.Lifecycle {
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "git-checkout", UID: types.UID(namespace), Labels: map[string]string{gitopsv1alpha1.SourceLabel: "git"},
	}}
	lc.Spec.App = "checkout"
	lc.Status.Workloads = []gitopsv1alpha1.WorkloadStatus{{Kind: "Deployment", Namespace: namespace, Name: "web"}}
	lc.Status.Reported = []gitopsv1alpha1.ReportedStatus{{Context: "keptn/" + environment + "/checkout/deployment"}}
	return lc
}

// deliveryIn is a delivery of the commit whose first phases are in these states.
func deliveryIn(states ...lifecyclev1.KeptnState) *lifecyclev1.KeptnAppVersion {
	kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-0123456", UID: "kav"}}
	kav.Spec.Lifecycle = &lifecyclev1.LifecycleRef{Namespace: "shop", Name: "git-checkout"}
	kav.Spec.Environment, kav.Spec.Commit = "production", &lifecyclev1.Commit{SHA: sha}
	began := metav1.NewTime(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	for i, state := range states {
		kav.Status.Phases = append(kav.Status.Phases, lifecyclev1.PhaseRecord{Name: lifecyclev1.AppPhases()[i], State: state, Message: fmt.Sprintf("m%d", i), StartTime: &began})
	}
	return kav
}

// asking is an API server with these objects, which calls asked with each request
// for a delivery.
func asking(t *testing.T, asked func(c client.Client, commit string), objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&gitopsv1alpha1.Lifecycle{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				if err := c.Apply(ctx, obj, opts...); err != nil || asked == nil {
					return err
				}
				var all gitopsv1alpha1.LifecycleList
				err := c.List(ctx, &all)
				for i := range all.Items {
					if commit := all.Items[i].Annotations[lifecycle.DeliverAnnotation]; commit != "" {
						asked(c, commit)
					}
				}
				return err
			},
		}).Build()
}

// waitFor runs a wait with the flags that a command line would have set.
func waitFor(t *testing.T, c client.WithWatch, change func(*gateFlags)) (stdout, stderr string, code int) {
	t.Helper()
	flags := gateFlags{app: "checkout", commit: sha[:7], until: "pre-deployment", timeout: time.Minute, format: formatText}
	if change != nil {
		change(&flags)
	}
	if err := flags.check(); err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	err := flags.run(t.Context(), c, &out, &progress)
	var exit exitCode
	switch {
	case errors.As(err, &exit):
		code = int(exit)
	case err != nil:
		return out.String(), err.Error(), exitError
	}
	return out.String(), progress.String(), code
}

func TestAWaitEndsAsTheChecksDo(t *testing.T) {
	const (
		succeeded, progressing = lifecyclev1.StateSucceeded, lifecyclev1.StateProgressing
		warning, failed        = lifecyclev1.StateWarning, lifecyclev1.StateFailed
		unknown, deprecated    = lifecyclev1.StateUnknown, lifecyclev1.StateDeprecated
	)
	type states = []lifecyclev1.KeptnState
	cases := map[string]struct {
		reason, until string
		phases        states
		code          int
		want          string // of the last line
	}{
		"Passed":       {"What follows the gate does not matter.", "pre-deployment", states{succeeded, succeeded, failed}, 0, "pass: AppPreDeployEvaluations: m1"},
		"Warned":       {"A warning passes.", "pre-deployment", states{warning, succeeded}, 0, "warning: AppPreDeployTasks: m0"},
		"Failed":       {"The phase that failed says why.", "promotion", states{succeeded, failed, deprecated}, exitBad, "fail: AppPreDeployEvaluations: m1"},
		"Inconclusive": {"No verdict is none.", "pre-deployment", states{succeeded, unknown}, exitInconclusive, "inconclusive: AppPreDeployEvaluations: m1"},
		"Superseded":   {"Nor is one that nobody waited for.", "deployment", states{succeeded, succeeded, deprecated}, exitInconclusive, "inconclusive: AppDeploy: m2"},
		"All":          {"Everything up to the promotion.", "promotion", states{succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded}, 0, "pass: PromotionTasks: m6"},
		"Late":         {"Time is limited.", "deployment", states{succeeded, succeeded, progressing}, exitInconclusive, "inconclusive: not decided after 50ms: AppDeploy: m2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, _, code := waitFor(t, asking(t, nil, waitedFor("shop", "production"), deliveryIn(tc.phases...)), func(f *gateFlags) {
				f.until = tc.until
				if name == "Late" {
					f.timeout = 50 * time.Millisecond
				}
			})
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if last := lines[len(lines)-1]; code != tc.code || last != tc.want {
				t.Errorf("%s\ngot %d %q, want %d %q", tc.reason, code, last, tc.code, tc.want)
			}
		})
	}
}

func TestAGateAsksForTheDeliveryThatItWaitsFor(t *testing.T) {
	var once sync.Once
	c := asking(t, func(c client.Client, commit string) {
		once.Do(func() {
			kav := deliveryIn(lifecyclev1.StateProgressing)
			// The commit that was asked for does not change the app; an earlier one does.
			kav.Spec.Commit.SHA = strings.Repeat("f", 40)
			kav.Annotations = map[string]string{lifecycle.DeliverAnnotation: commit}
			if err := c.Create(context.WithoutCancel(t.Context()), kav); err != nil {
				t.Error(err)
			}
			kav.Status.Phases = deliveryIn(lifecyclev1.StateSucceeded, lifecyclev1.StateSucceeded).Status.Phases
			if err := c.Update(context.WithoutCancel(t.Context()), kav); err != nil {
				t.Error(err)
			}
		})
	}, waitedFor("shop", "production"), waitedFor("other", "staging"))
	out, _, code := waitFor(t, c, func(f *gateFlags) { f.environment = "production" })
	want := `asked Lifecycle shop/git-checkout for a delivery of 0123456
delivery shop/checkout-0123456 of ffffffffffffffffffffffffffffffffffffffff
AppPreDeployTasks Progressing: m0
AppPreDeployTasks Succeeded: m0
AppPreDeployEvaluations Succeeded: m1
pass: AppPreDeployEvaluations: m1
`
	if diff := cmp.Diff(want, out); diff != "" || code != 0 {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
}

func TestNobodyIsAskedForADeliveryThatIsARollout(t *testing.T) {
	c := asking(t, func(client.Client, string) { t.Error("it was asked for") }, waitedFor("shop", "production"))
	out, _, code := waitFor(t, c, func(f *gateFlags) { f.until, f.timeout = "deployment", 20*time.Millisecond })
	if want := "waiting for a delivery of 0123456\ninconclusive: not decided after 20ms: there is no delivery of 0123456\n"; out != want || code != exitInconclusive {
		t.Errorf("got %d %q", code, out)
	}
}

func TestARequestThatIsRefusedEndsTheWait(t *testing.T) {
	lc := waitedFor("shop", "production")
	lc.Status.Conditions = []metav1.Condition{{Type: lifecycle.RequestedCondition, Status: metav1.ConditionFalse, Message: "of another request"}}
	c := asking(t, func(c client.Client, _ string) {
		ctx := context.WithoutCancel(t.Context())
		var lc gitopsv1alpha1.Lifecycle
		err := c.Get(ctx, types.NamespacedName{Namespace: "shop", Name: "git-checkout"}, &lc)
		lc.Status.Conditions[0].Message = "no such commit"
		if err = errors.Join(err, c.Status().Update(ctx, &lc)); err == nil {
			delete(lc.Annotations, lifecycle.DeliverAnnotation)
			err = c.Update(ctx, &lc)
		}
		if err != nil {
			t.Error(err)
		}
	}, lc)
	out, _, code := waitFor(t, c, nil)
	if !strings.HasSuffix(out, "inconclusive: no such commit\n") || code != exitInconclusive {
		t.Errorf("got %d %q", code, out)
	}
}

func TestADeliveryThatIsDeletedDecidesNothing(t *testing.T) {
	kav := deliveryIn(lifecyclev1.StateProgressing)
	c := asking(t, nil, waitedFor("shop", "production"), kav)
	watched := interceptor.NewClient(c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if _, ok := list.(*lifecyclev1.KeptnAppVersionList); ok && err == nil {
				return c.Delete(ctx, kav)
			}
			return err
		},
	})
	out, _, code := waitFor(t, watched, nil)
	if !strings.HasSuffix(out, "inconclusive: the delivery shop/checkout-0123456 was deleted\n") || code != exitInconclusive {
		t.Errorf("got %d %q", code, out)
	}
}

func TestAWaitInJSONIsOneObject(t *testing.T) {
	out, progress, code := waitFor(t, asking(t, nil, waitedFor("shop", "production"), deliveryIn(lifecyclev1.StateFailed)), func(f *gateFlags) { f.format = formatJSON })
	want := `{
  "app": "checkout",
  "environment": "production",
  "commit": "0123456789abcdef0123456789abcdef01234567",
  "until": "pre-deployment",
  "verdict": "fail",
  "message": "AppPreDeployTasks: m0",
  "delivery": "shop/checkout-0123456",
  "phases": [
    {
      "name": "AppPreDeployTasks",
      "state": "Failed",
      "message": "m0"
    }
  ]
}
`
	if diff := cmp.Diff(want, out); diff != "" || code != exitBad {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	if !strings.Contains(progress, "AppPreDeployTasks Failed: m0") {
		t.Errorf("the progress is not on standard error: %q", progress)
	}
}

func TestAGateThatCannotLookSaysWhy(t *testing.T) {
	forbidden := interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "lifecycles"}, "", errors.New("no right"))
	}}
	cases := map[string]struct {
		reason  string
		client  client.WithWatch
		change  func(*gateFlags)
		message string
	}{
		"NoApp":     {"A misspelled app is shown with those there are.", asking(t, nil, waitedFor("shop", "production")), func(f *gateFlags) { f.app = "chekout" }, `no Lifecycle of the app "chekout" that a GitSource reads is in any namespace: there are the apps ["checkout"]`},
		"Several":   {"Which of two has to be said.", asking(t, nil, waitedFor("shop", "production"), waitedFor("other", "staging")), nil, `several Lifecycles are of the app "checkout"`},
		"Namespace": {"It can be said by the namespace.", asking(t, nil, waitedFor("shop", "production"), waitedFor("other", "staging")), func(f *gateFlags) { f.namespace = "third" }, `is in third`},
		"Elsewhere": {"A delivery to another environment is not the one.", asking(t, nil, withoutReports(), deliveryIn()), func(f *gateFlags) { f.environment = "staging" }, `is to the environment "production", not "staging"`},
		"Forbidden": {"Rights are missing.", interceptor.NewClient(asking(t, nil), forbidden), nil, "list Lifecycles: lifecycles is forbidden: no right"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, message, code := waitFor(t, tc.client, tc.change)
			if code != exitError || !strings.Contains(message, tc.message) {
				t.Errorf("%s\ngot %d %q", tc.reason, code, message)
			}
		})
	}
}

// withoutReports is a Lifecycle of which nothing says its environment.
func withoutReports() *gitopsv1alpha1.Lifecycle {
	lc := waitedFor("shop", "")
	lc.Status.Reported = nil
	return lc
}

func TestFlagsOfAGateAreChecked(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"NoCommit": {"Which commit has to be said.", []string{"--app", "a"}, `required flag(s) "commit" not set`},
		"Branch":   {"A branch is no commit.", []string{"--app", "a", "--commit", "main"}, `--commit "main": has to be a SHA, with seven digits at least`},
		"Until":    {"Phases are named as contexts are.", []string{"--app", "a", "--commit", sha, "--until", "deploy"}, `--until "deploy": has to be pre-deployment, deployment, post-deployment or promotion`},
		"Timeout":  {"No time is too little.", []string{"--app", "a", "--commit", sha, "--timeout", "0s"}, "--timeout 0s: has to be more than nothing"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out, problem bytes.Buffer
			code := run(t.Context(), &out, &problem, append([]string{"gate", "wait"}, tc.args...)...)
			if code != exitError || !strings.Contains(problem.String(), tc.want) {
				t.Errorf("%s\ngot %d %q", tc.reason, code, problem.String())
			}
		})
	}
}

func TestAWaitWithRightsInTwoNamespacesFindsTheDeliveryInTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		young := waitedFor("shop", "production") // its workloads are not known yet
		young.Status.Workloads = nil
		c := asking(t, func(c client.Client, _ string) {
			ctx := context.WithoutCancel(t.Context())
			kav := deliveryIn(lifecyclev1.StateSucceeded, lifecyclev1.StateSucceeded)
			kav.Namespace = "web"
			lc := waitedFor("web", "production")
			lc.Namespace = "shop"
			var live gitopsv1alpha1.Lifecycle
			err := errors.Join(c.Create(ctx, kav), c.Get(ctx, client.ObjectKeyFromObject(lc), &live))
			live.Status.Workloads = lc.Status.Workloads
			if err = errors.Join(err, c.Status().Update(ctx, &live)); err != nil {
				t.Error(err)
			}
		}, young)
		everywhere := func(opts []client.ListOption) error {
			if (&client.ListOptions{}).ApplyOptions(opts).Namespace == "" {
				return errors.New("may not look at all namespaces")
			}
			return nil
		}
		narrow := interceptor.NewClient(c, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				return errors.Join(everywhere(opts), c.List(ctx, list, opts...))
			},
			Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
				events, err := c.Watch(ctx, list, opts...)
				return events, errors.Join(everywhere(opts), err)
			},
		})
		out, problem, code := waitFor(t, narrow, func(f *gateFlags) { f.namespace = "shop" })
		if code != 0 || !strings.Contains(out, "delivery web/checkout-0123456") {
			t.Errorf("exit code %d: %s%s", code, out, problem)
		}
	})
}
