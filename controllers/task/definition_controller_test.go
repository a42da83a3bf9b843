package task_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

// define reconciles the definition of the test, and returns it as it is then.
func (w *world) define() *lifecyclev1.KeptnTaskDefinition {
	w.Helper()
	r := &task.DefinitionReconciler{Client: w.Client, APIReader: w.Client, Events: w.events}
	if _, err := reconcile.AsReconciler(w.Client, r).Reconcile(w.Context(), reconcile.Request{NamespacedName: key("migrate-database")}); err != nil {
		w.Fatal(err)
	}
	var d lifecyclev1.KeptnTaskDefinition
	if err := w.Get(w.Context(), key("migrate-database"), &d); err != nil {
		w.Fatal(err)
	}
	return &d
}

// kept is the ConfigMap of the definition of the test.
func (w *world) kept() *corev1.ConfigMap {
	w.Helper()
	var found corev1.ConfigMap
	if err := w.Get(w.Context(), key("keptnfn-migrate-database"), &found); err != nil {
		w.Fatal(err)
	}
	return &found
}

func scripted(spec lifecyclev1.RuntimeSpec) *lifecyclev1.KeptnTaskDefinition {
	d := script("shop", "migrate-database", spec, "")
	d.UID = "2"
	return d
}

func TestAScriptIsKeptInAConfigMapThatFollowsIt(t *testing.T) {
	w := newWorld(t, scripted(inline()))
	d := w.define()
	if d.Status.Function.ConfigMap != "keptnfn-migrate-database" || !metav1.IsControlledBy(w.kept(), d) {
		t.Errorf("status %+v, ConfigMap %+v", d.Status, w.kept())
	}
	was := w.kept().ResourceVersion
	w.define()
	if is := w.kept().ResourceVersion; is != was {
		t.Error("it is written again though nothing changed")
	}
	d.Spec.Deno.Inline.Code = "2"
	if err := w.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.define()
	if diff := cmp.Diff(map[string]string{"code": "2"}, w.kept().Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	changed := w.kept()
	changed.Data["code"] = "by hand"
	if err := w.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	w.define()
	if got := w.kept().Data["code"]; got != "2" {
		t.Errorf("what was changed by hand stays: %q", got)
	}
}

func TestScriptsOfStepsAreKeptTogether(t *testing.T) {
	d := scripted(inline())
	d.Spec.Deno = nil
	d.Spec.Steps = []lifecyclev1.Step{
		{Name: "one", Executable: lifecyclev1.Executable{Deno: new(inline())}},
		{Name: "two", Executable: lifecyclev1.Executable{Python: new(inline())}},
		{Name: "three", Executable: lifecyclev1.Executable{Python: new(inConfigMap("mine"))}},
	}
	w := newWorld(t, d, configMap("shop", "mine", "code"))
	if got := w.define().Status.Function.ConfigMap; got != "keptnfn-migrate-database" {
		t.Errorf("the status names %q", got)
	}
	if diff := cmp.Diff(map[string]string{"code.one": "1", "code.two": "1"}, w.kept().Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if err := w.Delete(t.Context(), configMap("shop", "mine", "code")); err != nil {
		t.Fatal(err)
	}
	if got := w.define().Status.Function.ConfigMap; got != "" {
		t.Errorf("the status names %q though a script is missing", got)
	}
}

func TestTheStatusNamesAConfigMapThatHoldsAScript(t *testing.T) {
	both := inConfigMap("mine")
	both.HTTPReference.URL = "https://example.com/a.ts"
	cases := map[string]struct {
		reason string
		spec   lifecyclev1.RuntimeSpec
		there  []client.Object
		want   string
	}{
		"There":       {"It is named as it is.", inConfigMap("mine"), []client.Object{configMap("shop", "mine", "code")}, "mine"},
		"Missing":     {"What is not there cannot be run.", inConfigMap("mine"), nil, ""},
		"Elsewhere":   {"Not even if another namespace has it.", inConfigMap("mine"), []client.Object{configMap("other", "mine", "code")}, ""},
		"WithoutCode": {"The key has to be there, too.", inConfigMap("mine"), []client.Object{configMap("shop", "mine", "other")}, ""},
		"BeforeURL":   {"It counts before a URL.", both, []client.Object{configMap("shop", "mine", "code")}, "mine"},
		"URL":         {"A script that is fetched is kept nowhere.", at("https://example.com/a.ts"), nil, ""},
		"Theirs":      {"A ConfigMap of somebody else's is not overwritten.", inline(), []client.Object{configMap("shop", "keptnfn-migrate-database", "code")}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(c.there, scripted(c.spec))...)
			if got := w.define().Status.Function.ConfigMap; got != c.want {
				t.Errorf("%s: the status names %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

func TestAScriptThatCannotBeKeptIsToldOf(t *testing.T) {
	w := newWorld(t, scripted(inline()), configMap("shop", "keptnfn-migrate-database", "code"))
	w.define()
	want := []string{"Warning ReconcileTaskFailed Reconcile Task: could not update configmap: keptnfn-migrate-database is there already, and not of this definition: " +
		"delete it, or give the definition another name / Namespace: shop, Name: migrate-database"}
	if diff := cmp.Diff(want, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
