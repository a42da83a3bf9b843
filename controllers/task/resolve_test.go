package task_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

// script is a KeptnTaskDefinition in Deno.
func script(namespace, name string, spec lifecyclev1.RuntimeSpec, configMap string) *lifecyclev1.KeptnTaskDefinition {
	d := &lifecyclev1.KeptnTaskDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	d.Spec.Deno = &spec
	d.Status.Function.ConfigMap = configMap
	return d
}

func refersTo(name string) lifecyclev1.RuntimeSpec {
	return lifecyclev1.RuntimeSpec{FunctionReference: lifecyclev1.FunctionReference{Name: name}}
}

func inline() lifecyclev1.RuntimeSpec {
	return lifecyclev1.RuntimeSpec{Inline: lifecyclev1.Inline{Code: "1"}}
}

func inConfigMap(name string) lifecyclev1.RuntimeSpec {
	return lifecyclev1.RuntimeSpec{ConfigMapReference: lifecyclev1.ConfigMapReference{Name: name}}
}

func at(url string) lifecyclev1.RuntimeSpec {
	return lifecyclev1.RuntimeSpec{HTTPReference: lifecyclev1.HTTPReference{URL: url}}
}

func configMap(namespace, name, key string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{key: "1"}}
}

// frozen is a definition that comes with a task.
func frozen(change func(*lifecyclev1.KeptnTaskDefinitionSpec)) func(*lifecyclev1.KeptnTask) {
	return func(t *lifecyclev1.KeptnTask) {
		t.Spec.Definition = &lifecyclev1.FrozenTaskDefinition{}
		change(&t.Spec.Definition.KeptnTaskDefinitionSpec)
	}
}

func TestWhatATaskRefersToIsLookedUp(t *testing.T) {
	const name = "migrate-database"
	endless := []client.Object{script("shop", name, refersTo("p1"), "")}
	for _, n := range strings.Split("123456789", "") {
		endless = append(endless, script("shop", "p"+n, refersTo("p"+string(n[0]+1)), ""))
	}
	cases := map[string]struct {
		reason string
		task   *lifecyclev1.KeptnTask
		there  []client.Object
		// want is the reason of the problem, with an exclamation mark where it fails the
		// task, and says a part of its message.
		want, says string
		// from is the ConfigMap that the pod mounts.
		from string
	}{
		"Missing":            {"It may still come.", aTask(), nil, "DefinitionNotFound", "could not find KeptnTaskDefinition: migrate-database", ""},
		"ForeignNamespace":   {"Definitions of other namespaces are none of its business.", aTask(), []client.Object{script("other", name, inline(), "keptnfn-"+name)}, "DefinitionNotFound", name, ""},
		"Inline":             {"The definition's ConfigMap is mounted.", aTask(), []client.Object{script("shop", name, inline(), "keptnfn-"+name)}, "", "", "keptnfn-" + name},
		"NotKeptYet":         {"The status of the definition says when its ConfigMap is there.", aTask(), []client.Object{script("shop", name, inline(), "")}, "ScriptNotFound", "keptnfn-migrate-database", ""},
		"KeptElsewhere":      {"A status of what the definition was before does not count.", aTask(), []client.Object{script("shop", name, inConfigMap("new"), "old")}, "ScriptNotFound", `"new"`, ""},
		"Reference":          {"A ConfigMap of the user's is mounted as it is.", aTask(), []client.Object{script("shop", name, inConfigMap("mine"), "mine")}, "", "", "mine"},
		"KeptnsOwn":          {"Keptn's own definition serves all namespaces; its code is copied.", aTask(), []client.Object{script("keptn-system", name, inline(), "keptnfn-"+name)}, "", "", "migrate-59663"},
		"KeptnsReference":    {"So is the code of a ConfigMap there.", aTask(), []client.Object{script("keptn-system", name, inConfigMap("mine"), "mine"), configMap("keptn-system", "mine", "code")}, "", "", "migrate-59663"},
		"KeptnsReferenceOut": {"Which has to be there.", aTask(), []client.Object{script("keptn-system", name, inConfigMap("mine"), "mine")}, "ScriptNotFound", `"keptn-system"`, ""},
		"NearestFirst":       {"The namespace's own definition counts before Keptn's.", aTask(), []client.Object{script("shop", name, inConfigMap("mine"), "mine"), script("keptn-system", name, inline(), "")}, "", "", "mine"},
		"MissingParent":      {"The message names what is missing, and not what refers to it.", aTask(), []client.Object{script("shop", name, refersTo("parent"), "")}, "DefinitionNotFound", "could not find KeptnTaskDefinition: parent", ""},
		"Circle":             {"Nobody but its author can break a circle.", aTask(), []client.Object{script("shop", name, refersTo("parent"), ""), script("shop", "parent", refersTo(name), "")}, "InvalidDefinition!", "in a circle: migrate-database → parent → migrate-database", ""},
		"TooDeep":            {"A chain of parents has an end.", aTask(), endless, "InvalidDefinition!", "more than 8 definitions", ""},
		"ContainerAsParent":  {"A container is no script.", aTask(), []client.Object{script("shop", name, refersTo("parent"), ""), aDefinition(func(d *lifecyclev1.KeptnTaskDefinition) { d.Name = "parent" })}, "InvalidDefinition!", `"parent"`, ""},
		"NoScript":           {"A definition that says nothing is never going to run.", aTask(), []client.Object{script("shop", name, lifecyclev1.RuntimeSpec{}, "")}, "InvalidDefinition!", "no script", ""},
		"NoURL":              {"What Deno or Python would take for an option is no address.", aTask(), []client.Object{script("shop", name, at("--allow-all"), "")}, "InvalidDefinition!", "--allow-all", ""},
		"FileURL":            {"A script is fetched, and not read from the image.", aTask(), []client.Object{script("shop", name, at("file:///etc/passwd"), "")}, "InvalidDefinition!", "file:", ""},
		"Frozen":             {"A task keeps the code that it brought.", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(inline()) })), nil, "", "", "migrate-59663"},
		"FrozenBeforeLive":   {"The definition in the cluster does not count then.", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(inConfigMap("mine")) })), []client.Object{configMap("shop", "mine", "code"), script("shop", name, inline(), "keptnfn-"+name)}, "", "", "mine"},
		"FrozenReferenceOut": {"Its ConfigMap has to hold a script.", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(inConfigMap("mine")) })), []client.Object{configMap("shop", "mine", "other")}, "ScriptNotFound", `"mine"`, ""},
		"FrozenReferenceIn":  {"Git reaches no ConfigMap of Keptn's namespace.", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(inConfigMap("mine")) })), []client.Object{configMap("keptn-system", "mine", "code")}, "ScriptNotFound", `"shop"`, ""},
		"FrozenUnderOneName": {"It may hand on to the definition that it is named like.", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(refersTo(name)) })), []client.Object{script("shop", name, inline(), "keptnfn-"+name)}, "", "", "keptnfn-" + name},
		"Unreadable":         {"What could not be read runs nothing.", aTask(frozen(func(*lifecyclev1.KeptnTaskDefinitionSpec) {})), nil, "InvalidDefinition!", "exactly one", ""},
		"Both": {"Nobody checked a definition from Git before.", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) {
			s.Deno, s.Python = new(inline()), new(inline())
		})), nil, "InvalidDefinition!", "exactly one", ""},
		"StepsAndMore": {"Which of both would run first?", aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) {
			s.Deno, s.Steps = new(inline()), []lifecyclev1.Step{{Name: "a", Executable: lifecyclev1.Executable{Deno: new(inline())}}}
		})), nil, "InvalidDefinition!", "steps", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.there...)
			job, err := task.JobOf(t.Context(), w, c.task, task.Options{Namespace: "keptn-system"})
			if diff := cmp.Diff(c.want, task.ReasonOf(err)); diff != "" {
				t.Fatalf("%s: problem (-want +got):\n%s\n%v", c.reason, diff, err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %q does not say %q", c.reason, err, c.says)
				}
				return
			}
			var from string
			for _, v := range job.Spec.Template.Spec.Volumes {
				if v.ConfigMap != nil {
					from = v.ConfigMap.Name
				}
			}
			if from != c.from {
				t.Errorf("%s: the pod mounts the ConfigMap %q, want %q", c.reason, from, c.from)
			}
		})
	}
}

func TestADefinitionWakesTheTasksThatWaitForIt(t *testing.T) {
	named := func(namespace, name, definition string, change ...func(*lifecyclev1.KeptnTask)) *lifecyclev1.KeptnTask {
		return aTask(append(change, func(t *lifecyclev1.KeptnTask) {
			t.Namespace, t.Name, t.Spec.TaskDefinition = namespace, name, definition
		})...)
	}
	w := newWorld(t,
		named("shop", "waits", "a"),
		named("blog", "waits-elsewhere", "a"),
		named("shop", "runs", "a", func(t *lifecyclev1.KeptnTask) { t.Status.JobName = "runs-1" }),
		named("shop", "ended", "a", func(t *lifecyclev1.KeptnTask) { t.Status.Status = lifecyclev1.StateFailed }),
		named("shop", "waits-for-a-child", "child"),
		named("shop", "brings-its-own", "a", frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(inline()) })),
		named("shop", "brings-a-child", "b", frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Deno = new(refersTo("child")) })),
		script("shop", "child", refersTo("a"), ""), script("shop", "a-circle", refersTo("a-circle"), ""),
	)
	cases := map[string]struct {
		reason    string
		namespace string
		want      []string
	}{
		"Own":   {"Those of its namespace, also through others, and not those that run or ended.", "shop", []string{"shop/waits", "shop/brings-a-child", "shop/waits-for-a-child"}},
		"Keptn": {"Keptn's definitions serve all namespaces.", "keptn-system", []string{"blog/waits-elsewhere", "shop/waits", "shop/brings-a-child", "shop/waits-for-a-child"}},
		"Other": {"Another namespace is no concern of theirs.", "other", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := w.reconciler.Awaiting(t.Context(), script(c.namespace, "a", inline(), ""))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}
