package verdict_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/verdict"
	"github.com/keptn/gitops/controllers/workload"
)

// sha is a commit that is told by one letter.
func sha(letter string) string { return strings.Repeat(letter, 40) }

// source is a GitSource of shop.
func source(name, environment string) *gitopsv1alpha1.GitSource {
	gs := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	gs.Spec.Environment, gs.Spec.TargetNamespaces = environment, []string{"web", "evil"}
	return gs
}

// checkout is the Lifecycle of the app checkout that a GitSource reads, with its
// commits newest first; one with an exclamation mark changes no workload.
func checkout(source string, commits ...string) *gitopsv1alpha1.Lifecycle {
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: source + "-checkout", UID: types.UID(source), Labels: map[string]string{gitopsv1alpha1.SourceLabel: source},
	}}
	lc.Spec.App = "checkout"
	for _, c := range commits {
		letter, quiet := strings.CutSuffix(c, "!")
		lc.Status.Commits = append(lc.Status.Commits, gitopsv1alpha1.AppCommit{SHA: sha(letter), ChangesWorkloads: !quiet})
	}
	return lc
}

// delivered is a delivery of a commit of checkout, begun at a minute, whose first phases
// are in these states.
func delivered(letter string, minute int, states ...lifecyclev1.KeptnState) *lifecyclev1.KeptnAppVersion {
	kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{
		Namespace: "web", Name: "checkout-" + letter + string(rune('0'+minute)), UID: types.UID(letter),
		CreationTimestamp: metav1.NewTime(time.Date(2026, 11, 23, 12, minute, 0, 0, time.UTC)),
	}}
	kav.Spec.AppName, kav.Spec.Environment = "checkout", "production"
	kav.Spec.Lifecycle = &lifecyclev1.LifecycleRef{Namespace: "shop", Name: "prod-checkout"}
	kav.Spec.Commit = &lifecyclev1.Commit{SHA: sha(letter)}
	kav.Spec.RolloutStartedAt = &metav1.Time{Time: kav.CreationTimestamp.Time}
	for i, state := range states {
		kav.Status.Phases = append(kav.Status.Phases, lifecyclev1.PhaseRecord{Name: lifecyclev1.AppPhases()[i], State: state, Message: "m" + string(rune('0'+i))})
	}
	return kav
}

// States of phases.
const (
	ok      = lifecyclev1.StateSucceeded
	warning = lifecyclev1.StateWarning
	failed  = lifecyclev1.StateFailed
	running = lifecyclev1.StateProgressing
	unknown = lifecyclev1.StateUnknown
	never   = lifecyclev1.StateDeprecated
)

// cluster is a cache with these objects.
func cluster(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	web := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{gitopsv1alpha1.AllowFromAnnotation: "shop"}}}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, web)...).
		WithIndex(&lifecyclev1.KeptnAppVersion{}, delivery.ByLifecycle, func(obj client.Object) []string {
			ref := obj.(*lifecyclev1.KeptnAppVersion).Spec.Lifecycle
			return []string{ref.Namespace + "/" + ref.Name}
		}).Build()
}

// said is what the gate says.
type said struct {
	Code       int
	RetryAfter string
	phase.Answer
	// Text is the body, where that is no answer.
	Text string
}

// ask asks the gate.
func ask(t *testing.T, c client.Reader, method, path string) said {
	t.Helper()
	h := &verdict.Handler{Reader: c, Log: logr.Discard()}
	handler := guard.Handler(h.Routes(nil), time.Now, logr.Discard())
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(`{"name":"checkout","phase":"Progressing"}`)))
	got := said{Code: recorder.Code, RetryAfter: recorder.Header().Get("Retry-After")}
	if recorder.Header().Get("Content-Type") != "application/json" {
		got.Text = recorder.Body.String()
		return got
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &got.Answer); err != nil {
		t.Fatalf("%v: %s", err, recorder.Body)
	}
	return got
}

func TestTheVerdictOfACommitIsACodeAndAText(t *testing.T) {
	all := []lifecyclev1.KeptnState{ok, ok, ok, ok, ok, ok, ok}
	cases := map[string]struct {
		reason, query string
		states        []lifecyclev1.KeptnState
		code          int
		verdict       lifecyclev1.Verdict
		message       string
	}{
		"Passed":       {"All is well.", "", all, 200, "pass", "AppPostDeployEvaluations: m5"},
		"Warned":       {"A warning is no obstacle.", "", []lifecyclev1.KeptnState{ok, warning, ok, ok, ok, ok}, 200, "warning", "AppPreDeployEvaluations: m1"},
		"Failed":       {"409 is not asked again by curl.", "", []lifecyclev1.KeptnState{ok, ok, ok, ok, failed}, 409, "fail", "AppPostDeployTasks: m4"},
		"Inconclusive": {"No verdict is no consent.", "", []lifecyclev1.KeptnState{ok, unknown}, 409, "inconclusive", "AppPreDeployEvaluations: m1"},
		"Superseded":   {"It never will pass.", "", []lifecyclev1.KeptnState{ok, ok, never}, 409, "inconclusive", "AppDeploy: m2"},
		"Open":         {"503 is asked again.", "", []lifecyclev1.KeptnState{ok, ok, running}, 503, "pending", "AppDeploy: m2"},
		"Begun":        {"It has just begun.", "", nil, 503, "pending", "AppPreDeployTasks has not begun"},
		"Until":        {"What comes later does not count.", "?until=pre-deployment", []lifecyclev1.KeptnState{ok, ok, failed}, 200, "pass", "AppPreDeployEvaluations: m1"},
		"Deployment":   {"Nor does it here.", "?until=deployment", []lifecyclev1.KeptnState{ok, ok, ok, running}, 200, "pass", "AppDeploy: m2"},
		"Promotion":    {"The last stage.", "?until=promotion", all[:6], 503, "pending", "PromotionTasks has not begun"},
		"Rollouts":     {"The web metric of Argo Rollouts reads a failure in a 200, and repeats what is an error.", "?fail=200", []lifecyclev1.KeptnState{failed}, 200, "fail", "AppPreDeployTasks: m0"},
		"RolloutsOpen": {"What is pending stays an error.", "?fail=200", []lifecyclev1.KeptnState{running}, 503, "pending", "AppPreDeployTasks: m0"},
		"Pending":      {"Who reads the body needs no codes.", "?pending=200&fail=200", []lifecyclev1.KeptnState{running}, 200, "pending", "AppPreDeployTasks: m0"},
		"Other":        {"Any code may be asked for.", "?pending=425", []lifecyclev1.KeptnState{running}, 425, "pending", "AppPreDeployTasks: m0"},
		"Environment":  {"The environment may be named.", "?environment=production", all, 200, "pass", "AppPostDeployEvaluations: m5"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, source("prod", "production"), checkout("prod", "a"), delivered("a", 1, tc.states...))
			got := ask(t, c, http.MethodGet, "/gate/shop/checkout/"+sha("a")+tc.query)
			if got.Code != tc.code || got.Verdict != tc.verdict || got.Message != tc.message {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
			if (got.RetryAfter != "") != (tc.code == 503) {
				t.Errorf("Retry-After is %q", got.RetryAfter)
			}
			if got.App != "checkout" || got.Environment != "production" || got.Commit != sha("a") || got.Delivery != "web/checkout-a1" {
				t.Errorf("it speaks of %+v", got.Answer)
			}
			if diff := cmp.Diff(got, ask(t, c, http.MethodPost, "/gate/shop/checkout/"+sha("a")+tc.query)); diff != "" {
				t.Errorf("Flagger posts, and is answered otherwise (-GET +POST):\n%s", diff)
			}
		})
	}
}

func TestTheAnswerIsWhatPeersReadByPath(t *testing.T) {
	h := &verdict.Handler{Reader: cluster(t, source("prod", "production"), checkout("prod", "a"), delivered("a", 1, running)), Log: logr.Discard()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{"namespace": "shop", "app": "checkout", "commit": "AAAAAAA"} {
		r.SetPathValue(name, value)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	want := `{"app":"checkout","environment":"production","commit":"` + sha("a") + `","until":"post-deployment","verdict":"pending",` +
		`"message":"AppPreDeployTasks: m0","delivery":"web/checkout-a1","phases":[{"name":"AppPreDeployTasks","state":"Progressing","message":"m0"}]}` + "\n"
	if got := recorder.Body.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestACommitWithoutADeliveryIsSpokenFor(t *testing.T) {
	newer := delivered("c", 3, ok, ok, running)
	awaited := delivered("c", 3, running) // asked for, and not rolled out
	awaited.Spec.RolloutStartedAt = nil
	asked := delivered("a", 1, ok, ok, ok, ok, ok, ok)
	asked.Annotations = map[string]string{lifecycle.DeliverAnnotation: sha("f")}
	other := delivered("a", 9, failed)
	other.Spec.Lifecycle.Name = "prod-cart"
	stranger := delivered("a", 9, ok, ok, ok, ok, ok, ok)
	stranger.Namespace = "evil"
	reverted := checkout("prod", "c", "b", "a")
	reverted.Status.RunsCommit = sha("c")
	reverted.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: "web", Name: "checkout-a1", Commit: sha("a")}
	merged := checkout("prod", "a")
	merged.Status.ObservedRevision = "main@sha1:" + sha("e")
	cases := map[string]struct {
		reason, commit string
		objects        []client.Object
		verdict        lifecyclev1.Verdict
		commitSaid     string
		message        string
	}{
		"Unknown":     {"It may be pushed yet.", sha("e"), []client.Object{checkout("prod", "a")}, "pending", sha("e"), "there is no delivery of " + sha("e") + " yet, and it is not known to change the app"},
		"Merge":       {"The end of the branch, which merges the commit that changes the app.", sha("e"), []client.Object{merged, delivered("a", 1, ok, ok, ok, ok, ok, ok)}, "pass", sha("a"), "eeeeeee changes nothing of the app since aaaaaaa: AppPostDeployEvaluations: m5"},
		"Stranger":    {"A namespace that does not agree says nothing.", sha("a"), []client.Object{checkout("prod", "a"), stranger}, "pending", sha("a"), "waiting for the rollout"},
		"Reverted":    {"It was never rolled out what it takes back.", sha("c"), []client.Object{reverted, delivered("a", 1, ok, ok, ok, ok, ok, ok)}, "pass", sha("a"), "ccccccc asks for what aaaaaaa brought: AppPostDeployEvaluations: m5"},
		"TakenBack":   {"It never will be rolled out.", sha("b"), []client.Object{reverted, delivered("a", 1, ok, ok, ok, ok, ok, ok)}, "inconclusive", sha("b"), "superseded by ccccccc"},
		"Known":       {"It is rolled out yet.", "aaaaaaa", []client.Object{checkout("prod", "a")}, "pending", sha("a"), "waiting for the rollout"},
		"Passed over": {"A newer one was rolled out.", sha("b"), []client.Object{checkout("prod", "c", "b"), newer}, "inconclusive", sha("b"), "superseded by ccccccc"},
		"Awaited":     {"A newer one only waits.", sha("b"), []client.Object{checkout("prod", "c", "b"), awaited}, "pending", sha("b"), "waiting for the rollout"},
		"Older":       {"An older one does not matter.", sha("c"), []client.Object{checkout("prod", "c", "a"), delivered("a", 1, failed)}, "pending", sha("c"), "waiting for the rollout"},
		"Unchanged":   {"What runs is what the commit before it brought.", sha("b"), []client.Object{checkout("prod", "b!", "a"), delivered("a", 1, ok, ok, ok, ok, ok, ok)}, "pass", sha("a"), "bbbbbbb changes no workload of aaaaaaa: AppPostDeployEvaluations: m5"},
		"Quiet":       {"Over several of them.", sha("c"), []client.Object{checkout("prod", "c!", "b!", "a"), delivered("a", 1, failed)}, "fail", sha("a"), "ccccccc changes no workload of aaaaaaa: AppPreDeployTasks: m0"},
		"NotBeyond":   {"Not over one that was never rolled out.", sha("c"), []client.Object{checkout("prod", "c!", "b", "a"), delivered("a", 1, ok, ok, ok, ok, ok, ok)}, "pending", sha("c"), "ccccccc changes no workload, and what runs has no delivery yet"},
		"Asked":       {"The delivery that was asked for by that commit.", sha("f"), []client.Object{checkout("prod", "a"), asked}, "pass", sha("a"), "AppPostDeployEvaluations: m5"},
		"Newest":      {"Of two the newer counts.", sha("a"), []client.Object{checkout("prod", "a"), delivered("a", 2, failed), delivered("a", 1, ok, ok, ok, ok, ok, ok)}, "fail", sha("a"), "AppPreDeployTasks: m0"},
		"OthersApp":   {"Of another app it says nothing.", sha("a"), []client.Object{checkout("prod", "a"), other}, "pending", sha("a"), "waiting for the rollout"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ask(t, cluster(t, append(tc.objects, source("prod", "production"))...), http.MethodGet, "/gate/shop/checkout/"+tc.commit)
			if got.Verdict != tc.verdict || got.Commit != tc.commitSaid || got.Message != tc.message || got.Phases == nil {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
			if got.App != "checkout" || got.Environment != "production" || got.Until != lifecyclev1.StagePostDeployment {
				t.Errorf("it speaks of %+v", got.Answer)
			}
		})
	}
}

// web is the Deployment of checkout, with an image.
func web(image string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "web"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: image}}
	return d
}

func TestWhoDoesNotKnowTheCommitAsksForTheOneThatRuns(t *testing.T) {
	seen, err := workload.Observe("Deployment", web("web:1"))
	if err != nil {
		t.Fatal(err)
	}
	// tied is the Lifecycle whose Deployment was tied to a commit when it had image 1.
	tied := func(commit, delivery string) *gitopsv1alpha1.Lifecycle {
		lc := checkout("prod", "a")
		lc.Status.Workloads = []gitopsv1alpha1.WorkloadStatus{{Kind: "Deployment", Namespace: "web", Name: "web", TemplateHash: seen.TemplateHash, Commit: commit}}
		if delivery != "" {
			lc.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: "web", Name: delivery, Commit: sha("a")}
		}
		return lc
	}
	kav := delivered("a", 1, ok, ok, ok, ok, ok, ok)
	cases := map[string]struct {
		reason  string
		objects []client.Object
		verdict lifecyclev1.Verdict
		message string
	}{
		"Runs":    {"It is the newest delivery.", []client.Object{tied(sha("a"), kav.Name), web("web:1"), kav}, "pass", "AppPostDeployEvaluations: m5"},
		"Changed": {"What was applied a moment ago is not judged by what ran before.", []client.Object{tied(sha("a"), kav.Name), web("web:2"), kav}, "pending", "what runs as Deployment web is not tied to a commit yet"},
		"Untied":  {"Nobody knows which commit that is.", []client.Object{tied("", kav.Name), web("web:1"), kav}, "pending", "what runs as Deployment web is not tied to a commit yet"},
		"First":   {"There was none.", []client.Object{tied(sha("a"), ""), web("web:1")}, "pending", "waiting for the first rollout"},
		"Gone":    {"A workload that is not there runs nothing.", []client.Object{tied(sha("a"), kav.Name), kav}, "pass", "AppPostDeployEvaluations: m5"},
		"Record":  {"The record is not in the cache yet.", []client.Object{tied(sha("a"), kav.Name), web("web:1")}, "pending", "waiting for the record of the delivery"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ask(t, cluster(t, append(tc.objects, source("prod", "production"))...), http.MethodPost, "/gate/shop/checkout/current")
			if got.Verdict != tc.verdict || got.Message != tc.message || got.App != "checkout" || got.Environment != "production" {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
		})
	}
}

func TestAGateThatWasNotUnderstoodStaysShut(t *testing.T) {
	objects := []client.Object{
		source("prod", "production"), source("stage", "staging"), checkout("prod", "a"), checkout("stage", "a"),
		delivered("a", 1, ok, ok, ok, ok, ok, ok),
	}
	down := func(path string) client.Reader {
		return interceptor.NewClient(cluster(t, objects...), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if _, kavs := list.(*lifecyclev1.KeptnAppVersionList); kavs == (path == "deliveries") {
					return errors.New("secret detail")
				}
				return c.List(ctx, list, opts...)
			},
		})
	}
	a := sha("a")
	cases := map[string]struct {
		reason, path string
		reader       client.Reader
		code         int
		text         string
	}{
		"Branch":      {"A branch is no commit.", "/gate/shop/checkout/main", nil, 400, `commit "main": has to be a SHA, of which seven digits will do, or "current"`},
		"Short":       {"Six digits could be many.", "/gate/shop/checkout/aaaaaa", nil, 400, "has to be a SHA"},
		"Misspelled":  {"It would wait for the default.", "/gate/shop/checkout/" + a + "?util=promotion", nil, 400, `query: there is no parameter "util": there are until, environment, pending and fail`},
		"Stage":       {"There is no such stage.", "/gate/shop/checkout/" + a + "?until=deploy", nil, 400, `query: until "deploy": has to be one of ["pre-deployment" "deployment" "post-deployment" "promotion"]`},
		"Twice":       {"Which one counts?", "/gate/shop/checkout/" + a + "?fail=200&fail=409", nil, 400, "query: fail is there more than once"},
		"Accepted":    {"Flagger takes 202 for consent.", "/gate/shop/checkout/" + a + "?pending=202", nil, 400, `query: pending "202": has to be 200, or a status code from 400 to 599`},
		"NoCode":      {"It is no code.", "/gate/shop/checkout/" + a + "?fail=no", nil, 400, `query: fail "no"`},
		"Query":       {"It cannot be read.", "/gate/shop/checkout/" + a + "?a;b=c", nil, 400, "query: invalid semicolon"},
		"App":         {"It is misspelled, or not read yet.", "/gate/shop/chekout/" + a, nil, 404, `no GitSource of namespace "shop" reads a Lifecycle of the app "chekout": not found`},
		"Namespace":   {"It is in another.", "/gate/other/checkout/" + a, nil, 404, "not found"},
		"Several":     {"Which of two has to be said.", "/gate/shop/checkout/" + a, nil, 400, "is in the environments production, staging: name one of them: ambiguous with ?environment="},
		"Environment": {"There is no such environment.", "/gate/shop/checkout/" + a + "?environment=test", nil, 404, "not in \"test\""},
		"Lifecycles":  {"Our failure is no verdict.", "/gate/shop/checkout/" + a, down("lifecycles"), 503, "the verdict cannot be read: try again"},
		"Deliveries":  {"Nor is this one.", "/gate/shop/checkout/" + a + "?environment=production", down("deliveries"), 503, "the verdict cannot be read: try again"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reader := tc.reader
			if reader == nil {
				reader = cluster(t, objects...)
			}
			got := ask(t, reader, http.MethodGet, tc.path)
			if got.Code != tc.code || !strings.Contains(got.Text, tc.text) || strings.Contains(got.Text, "secret") {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
		})
	}
}
