package incident_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/incident"
)

// lifecycles are two apps in shop, of which cart is in two environments; and one that
// no GitSource reads.
func lifecycles() []*gitopsv1alpha1.Lifecycle {
	lifecycle := func(source, app string) *gitopsv1alpha1.Lifecycle {
		name := source + "-" + app
		lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{}}}
		if source != "" {
			lc.Labels[gitopsv1alpha1.SourceLabel] = source
		}
		lc.Spec.App = app
		return lc
	}
	return []*gitopsv1alpha1.Lifecycle{lifecycle("prod", "checkout"), lifecycle("prod", "cart"), lifecycle("stage", "cart"), lifecycle("", "checkout")}
}

// cached is what a cache has of them.
func cached(t *testing.T) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for name, environment := range map[string]string{"prod": "production", "stage": "staging"} {
		gs := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		gs.Spec.Environment = environment
		builder.WithObjects(gs)
	}
	for _, lc := range lifecycles() {
		builder.WithObjects(lc)
	}
	return builder.Build()
}

// world is an API server that has them, whole.
func world(t *testing.T) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for _, lc := range lifecycles() {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(lc)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: content}
		u.SetGroupVersionKind(gitopsv1alpha1.GroupVersion.WithKind("Lifecycle"))
		builder.WithObjects(u).WithStatusSubresource(u)
	}
	return builder.Build()
}

// handling is a Handler over a cache and an API server.
func handling(cache client.Reader, c client.Client) *incident.Handler {
	return &incident.Handler{
		Reader: cache, Recorder: &incident.Recorder{Reader: c, Client: c}, Now: func() time.Time { return at(0) }, Log: logr.Discard(),
	}
}

// taking is a handler that lets anyone in.
func taking(h *incident.Handler) http.Handler {
	return guard.Handler(h.Routes(nil), time.Now, logr.Discard())
}

// post posts a body, and returns what is answered.
func post(t *testing.T, handler http.Handler, path string, header http.Header, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header = header
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	return recorder.Code, recorder.Body.String()
}

// asJSON is the header of Alertmanager's requests.
func asJSON() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// incidents are the IDs of those that a Lifecycle has.
func incidents(t *testing.T, c client.Client, name string) []string {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gitopsv1alpha1.GroupVersion.WithKind("Lifecycle"))
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: name}, u); err != nil {
		t.Fatal(err)
	}
	all, _, err := unstructured.NestedSlice(u.Object, "status", "incidents")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range all {
		ids = append(ids, i.(map[string]any)["id"].(string))
	}
	return ids
}

func TestIncidentsGoToTheLifecycleThatIsMeant(t *testing.T) {
	_, event := structured("dev.cdevents.incident.detected.0.3.0", cdevent)
	asEvent := http.Header{"Content-Type": {"application/cloudevents+json"}}
	labels := func(labels string) string { return one(`"alertname":"A"`, labels) }
	const id = "f@2026-11-23T11:50:00Z"
	cases := map[string]struct {
		reason, path string
		header       http.Header
		body         string
		code         int
		want         string
		recorded     map[string][]string
	}{
		"Path": {
			"The path names the app, whatever labels say.", "/incidents/alertmanager/shop/checkout", asJSON(), labels(`"app":"other","namespace":"other"`), 200,
			`{"recorded":[{"namespace":"shop","app":"checkout","environment":"production","id":"f@2026-11-23T11:50:00Z"}]}`,
			map[string][]string{"prod-checkout": {id}},
		},
		"Labels": {
			"Labels name the app.", "/incidents/alertmanager", asJSON(), labels(`"app":"checkout","namespace":"shop"`), 200,
			`{"recorded":[{"namespace":"shop","app":"checkout","environment":"production","id":"f@2026-11-23T11:50:00Z"}]}`,
			map[string][]string{"prod-checkout": {id}},
		},
		"Namespace": {
			"Who may post to a namespace may not to another.", "/incidents/alertmanager/other", asJSON(), labels(`"app":"checkout","namespace":"shop"`), 404,
			`{"recorded":[],"ignored":[{"at":"alerts[0]","reason":"no GitSource of namespace \"other\" reads a Lifecycle of the app \"checkout\": not found"}]}`, nil,
		},
		"Environment": {
			"The query tells environments apart.", "/incidents/alertmanager/shop/cart?environment=staging", asJSON(), one("", ""), 200,
			`{"recorded":[{"namespace":"shop","app":"cart","environment":"staging","id":"f@2026-11-23T11:50:00Z"}]}`,
			map[string][]string{"stage-cart": {id}},
		},
		"EnvironmentLabel": {
			"A label does, too.", "/incidents/alertmanager/shop/cart", asJSON(), labels(`"keptn_environment":"production"`), 200,
			`{"recorded":[{"namespace":"shop","app":"cart","environment":"production","id":"f@2026-11-23T11:50:00Z"}]}`,
			map[string][]string{"prod-cart": {id}},
		},
		"Ambiguous": {
			"It is not guessed.", "/incidents/alertmanager/shop/cart", asJSON(), one("", ""), 404,
			`{"recorded":[],"ignored":[{"at":"alerts[0]","reason":"the app \"cart\" of namespace shop is in the environments production, staging: name one of them: ambiguous"}]}`, nil,
		},
		"Elsewhere": {
			"An incident of another environment is not this one's.", "/incidents/alertmanager/shop/checkout?environment=staging", asJSON(), one("", ""), 404,
			`{"recorded":[],"ignored":[{"at":"alerts[0]","reason":"the app \"checkout\" of namespace shop is in the environments production, not in \"staging\": not found"}]}`, nil,
		},
		"Some": {
			"What can be recorded is.", "/incidents/alertmanager", asJSON(), webhook, 200,
			`{"recorded":[{"namespace":"shop","app":"checkout","environment":"production","id":"1a30ba71cca2921f@2026-11-23T11:50:01Z"},{"namespace":"shop","app":"cart","environment":"production","id":"b2e4c1a9d3f05e77@2026-11-23T11:40:00Z"}]}`,
			map[string][]string{"prod-checkout": {"1a30ba71cca2921f@2026-11-23T11:50:01Z"}, "prod-cart": {"b2e4c1a9d3f05e77@2026-11-23T11:40:00Z"}},
		},
		"NoNamespace": {
			"Nobody posts to all namespaces.", "/incidents/alertmanager", asJSON(), labels(`"app":"checkout"`), 404,
			`{"recorded":[],"ignored":[{"at":"alerts[0]","reason":"no namespace is named: not found"}]}`, nil,
		},
		"Event": {
			"The service of an event is the app.", "/incidents/cloudevents/shop", asEvent, event, 200,
			`{"recorded":[{"namespace":"shop","app":"checkout","environment":"production","id":"/pager#inc-1@2026-11-23T11:50:00Z"}]}`,
			map[string][]string{"prod-checkout": {"/pager#inc-1@2026-11-23T11:50:00Z"}},
		},
		"EventPath": {
			"The path counts.", "/incidents/cloudevents/shop/cart", binary("dev.cdevents.incident.detected.0.3.0"), cdevent, 200,
			`{"recorded":[{"namespace":"shop","app":"cart","environment":"production","id":"/pager#inc-1@2026-11-23T11:50:00Z"}]}`,
			map[string][]string{"prod-cart": {"/pager#inc-1@2026-11-23T11:50:00Z"}},
		},
		"SomeBad": {
			"One that cannot be read spoils no other.", "/incidents/alertmanager/shop/checkout", asJSON(), one(`"alerts":[`, `"alerts":[{"status":"firing","startsAt":"soon"},`), 200,
			`{"recorded":[{"namespace":"shop","app":"checkout","environment":"production","id":"f@2026-11-23T11:50:00Z"}],` +
				`"ignored":[{"at":"alerts[0]","reason":"alerts[0].startsAt \"soon\": has to be a time, as 2026-05-05T05:05:05Z"}]}`,
			map[string][]string{"prod-checkout": {id}},
		},
		"BadAndUnknown": {
			"Nothing is recorded.", "/incidents/alertmanager/shop", asJSON(), one(`"alerts":[`, `"alerts":[{},`), 404,
			`{"recorded":[],"ignored":[{"at":"alerts[0]","reason":"alerts[0].startsAt: has to be a time, as 2026-05-05T05:05:05Z"},{"at":"alerts[1]",`, nil,
		},
		"Ours": {
			"A broker is told that all is well.", "/incidents/cloudevents/shop/checkout", asEvent, strings.Replace(event, "dynatrace", "keptn.sh", 1), 200,
			`{"recorded":[],"ignored":[{"at":"source","reason":"its source is keptn.sh: what Keptn tells of is not taken in again"}]}`, nil,
		},
		"Body":      {"The place of the mistake.", "/incidents/alertmanager/shop/checkout", asJSON(), one("firing", "?"), 400, `alerts[0].status "?": has to be firing or resolved`, nil},
		"EventBody": {"Of an event as well.", "/incidents/cloudevents/shop", asJSON(), "{}", 400, "not a CloudEvent", nil},
		"Query":     {"What is misspelled is not passed over.", "/incidents/alertmanager/shop/cart?env=staging", asJSON(), one("", ""), 400, `query: there is no parameter "env": there is environment`, nil},
		"Kind":      {"Another kind of body.", "/incidents/alertmanager/shop/cart", http.Header{}, one("", ""), 415, "Content-Type has to be application/json", nil},
		"Large":     {"A mebibyte at most.", "/incidents/alertmanager/shop/cart", asJSON(), strings.Repeat(" ", 1<<20+1), 413, "the body has more than 1048576 bytes", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := world(t)
			code, body := post(t, taking(handling(cached(t), c)), tc.path, tc.header, tc.body)
			if code != tc.code || !strings.Contains(body, tc.want) {
				t.Errorf("%s\ngot %d %s\nwant %d %s", tc.reason, code, body, tc.code, tc.want)
			}
			for _, lifecycle := range []string{"prod-checkout", "prod-cart", "stage-cart", "-checkout"} {
				if diff := cmp.Diff(tc.recorded[lifecycle], incidents(t, c, lifecycle)); diff != "" {
					t.Errorf("%s\n%s (-want +got):\n%s", tc.reason, lifecycle, diff)
				}
			}
		})
	}
}

func TestNobodyUnknownPostsIncidents(t *testing.T) {
	c := world(t)
	h := handling(cached(t), c)
	auth := func(*http.Request) ([]guard.Credential, error) { return []guard.Credential{{Token: "known"}}, nil }
	handler := guard.Handler(h.Routes(auth), time.Now, logr.Discard())
	for _, route := range h.Routes(auth) {
		path := strings.NewReplacer("POST ", "", "{namespace}", "shop", "{app}", "checkout").Replace(route.Pattern)
		if code, body := post(t, handler, path, asJSON(), one("", "")); code != 401 {
			t.Errorf("%s: got %d %s", path, code, body)
		}
	}
	known := asJSON()
	known.Set("Authorization", "Bearer known")
	if code, body := post(t, handler, "/incidents/alertmanager/shop/checkout", known, one("", "")); code != 200 {
		t.Errorf("who is known: got %d %s", code, body)
	}
}

func TestTheSameAlertTwiceIsOneIncidentAndOneWrite(t *testing.T) {
	writes := 0
	c := interceptor.NewClient(world(t), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			writes++
			return c.SubResource(name).Patch(ctx, obj, patch, opts...)
		},
	})
	handler := taking(handling(cached(t), c))
	_, first := post(t, handler, "/incidents/alertmanager/shop/checkout", asJSON(), one("", ""))
	code, second := post(t, handler, "/incidents/alertmanager/shop/checkout", asJSON(), one("", ""))
	if code != 200 || first != second || writes != 1 || len(incidents(t, c, "prod-checkout")) != 1 {
		t.Errorf("got %d %s after %s, %d writes", code, second, first, writes)
	}
	post(t, handler, "/incidents/alertmanager/shop/checkout", asJSON(), one("firing", "resolved"))
	if writes != 2 || len(incidents(t, c, "prod-checkout")) != 1 {
		t.Errorf("its end: %d writes, %v", writes, incidents(t, c, "prod-checkout"))
	}
}

func TestIncidentsAreWrittenAloneAndByOneName(t *testing.T) {
	var said map[string]any
	var owner client.SubResourcePatchOptions
	var kind types.PatchType
	c := interceptor.NewClient(world(t), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			text, err := patch.Data(obj)
			if err = errors.Join(err, json.Unmarshal(text, &said)); err != nil {
				return err
			}
			kind = patch.Type()
			owner.ApplyOptions(opts)
			return c.SubResource(name).Patch(ctx, obj, patch, opts...)
		},
	})
	post(t, taking(handling(cached(t), c)), "/incidents/alertmanager/shop/checkout", asJSON(), one("", ""))
	want := map[string]any{
		"apiVersion": "gitops.keptn.sh/v1alpha1", "kind": "Lifecycle",
		"metadata": map[string]any{"namespace": "shop", "name": "prod-checkout", "uid": "prod-checkout", "resourceVersion": "999"},
		"status": map[string]any{"incidents": []any{map[string]any{
			"id": "f@2026-11-23T11:50:00Z", "source": "alertmanager", "summary": "A", "startedAt": "2026-11-23T11:50:00Z",
		}}},
	}
	if diff := cmp.Diff(want, said, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if owner.FieldManager != "keptn-incidents" || owner.Force == nil || !*owner.Force || kind != types.ApplyPatchType {
		t.Errorf("written by %q", owner.FieldManager)
	}
}

func TestAnIncidentThatIsTooOldIsIgnoredForGood(t *testing.T) {
	c := world(t)
	handler := taking(handling(cached(t), c))
	var alerts []string
	for i := range 101 {
		alerts = append(alerts, fmt.Sprintf(`{"status":"firing","startsAt":%q,"fingerprint":"f%d"}`, at(-i).Format(time.RFC3339), i))
	}
	code, body := post(t, handler, "/incidents/alertmanager/shop/checkout", asJSON(), `{"version":"4","alerts":[`+strings.Join(alerts, ",")+`]}`)
	if want := `"ignored":[{"at":"alerts[100]","reason":"100 incidents are kept: the others are newer, or go on"}]`; code != 200 || !strings.Contains(body, want) {
		t.Errorf("got %d %s, want %s", code, body, want)
	}
	code, body = post(t, handler, "/incidents/alertmanager/shop/checkout", asJSON(), `{"version":"4","alerts":[`+alerts[100]+`]}`)
	if code != 200 || !strings.Contains(body, `"recorded":[]`) {
		t.Errorf("alone: got %d %s", code, body)
	}
	if got := incidents(t, c, "prod-checkout"); len(got) != 100 {
		t.Errorf("%d are kept", len(got))
	}
}

func TestAStormOfAlertsIsTakenInOrSentAgain(t *testing.T) {
	h := handling(cached(t), world(t))
	handler := guard.Handler(h.Routes(nil), func() time.Time { return at(0) }, logr.Discard())
	for i := range 501 {
		r := httptest.NewRequest(http.MethodPost, "/incidents/alertmanager/shop/checkout", strings.NewReader("{}"))
		r.Header = asJSON()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		want := 400
		if i == 500 {
			want = 503 // Alertmanager repeats 5xx only
		}
		if recorder.Code != want || (want == 503) != (recorder.Header().Get("Retry-After") == "1") {
			t.Fatalf("request %d of one Alertmanager: got %d, Retry-After %q", i, recorder.Code, recorder.Header().Get("Retry-After"))
		}
	}
}

func TestIncidentsThatComeAtOnceAreAllKept(t *testing.T) {
	c := world(t)
	handler := taking(handling(cached(t), c))
	var sent sync.WaitGroup
	for i := range 8 {
		sent.Go(func() {
			body := one(`"fingerprint":"f"`, fmt.Sprintf(`"fingerprint":"f%d"`, i))
			for range 50 { // a sender repeats what was not taken in
				if code, _ := post(t, handler, "/incidents/alertmanager/shop/checkout", asJSON(), body); code == 200 {
					return
				}
			}
		})
	}
	sent.Wait()
	if got := incidents(t, c, "prod-checkout"); len(got) != 8 {
		t.Errorf("%d are kept: %v", len(got), got)
	}
}

func TestWhatCannotBeWrittenIsToBeSentAgain(t *testing.T) {
	down := errors.New("secret detail of the API server")
	cases := map[string]*incident.Handler{
		"Cache": handling(interceptor.NewClient(cached(t), interceptor.Funcs{
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return down },
		}), world(t)),
		"Read": handling(cached(t), interceptor.NewClient(world(t), interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return down
			},
		})),
		"Write": handling(cached(t), interceptor.NewClient(world(t), interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				return down
			},
		})),
	}
	for name, h := range cases {
		t.Run(name, func(t *testing.T) {
			code, body := post(t, taking(h), "/incidents/alertmanager/shop/checkout", asJSON(), one("", ""))
			if code != 503 || strings.Contains(body, "secret") {
				t.Errorf("got %d %s", code, body)
			}
		})
	}
}

func TestTheBeginAndTheEndOfAnIncidentAreToldOnce(t *testing.T) {
	var told []string
	recorder := &incident.Recorder{Reader: world(t), Tell: func(_ context.Context, of directory.Entry, news incident.Incident) {
		what := "detected"
		if news.ResolvedAt != nil {
			what = "resolved"
		}
		told = append(told, of.Environment+" "+news.ID+" "+what)
	}}
	recorder.Client = recorder.Reader.(client.Client) //nolint:forcetypeassert // it is one
	entry := directory.Entry{Lifecycle: lifecycles()[0], Environment: "production"}
	for _, reports := range [][]incident.Report{
		{fired("a", 0)}, {fired("a", 0), fired("b", 1)}, {resolved("a", 0, 5)}, {resolved("a", 0, 5), fired("b", 1)},
	} {
		if _, err := recorder.Record(t.Context(), entry, reports); err != nil {
			t.Fatal(err)
		}
	}
	id := func(key string, since int) string {
		return fired(key, since).Key + "@" + at(since).UTC().Format(time.RFC3339)
	}
	want := []string{
		"production " + id("a", 0) + " detected", "production " + id("b", 1) + " detected", "production " + id("a", 0) + " resolved",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
