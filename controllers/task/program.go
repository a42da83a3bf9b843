package task

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// A definition is what a task runs, with all looked up that it refers to.
type definition struct {
	name                string
	labels, annotations map[string]string
	spec                *lifecyclev1.KeptnTaskDefinitionSpec
	// programs run one after the other.
	programs []program
}

// A program is a container as its author gave it, or a script with its language.
type program struct {
	// step is its name, empty where a task has no steps.
	step      string
	container *corev1.Container
	language  language
	script    script
	inputs    inputs
}

// A script is held by a ConfigMap in the namespace of the task, or is code that is
// to be kept in one, or is fetched from a URL when it runs.
type script struct {
	configMap string
	code      string
	url       string
	// key of the ConfigMap under which the code is, or is to be.
	key string
}

// inputs are what a script is given.
type inputs struct {
	parameters map[string]string
	secret     string
	arguments  string
}

// inherit takes over from a definition what is not given yet.
func (in *inputs) inherit(from *lifecyclev1.RuntimeSpec) {
	in.parameters = merged(in.parameters, from.Parameters.Inline)
	if in.secret == "" {
		in.secret = from.SecureParameters.Secret
	}
	if in.arguments == "" {
		in.arguments = from.CmdParameters
	}
}

// override adds what a task says itself: of two parameters with one name the
// definition's counts, and of two Secrets the task's.
func (in *inputs) override(task *lifecyclev1.KeptnTaskSpec) {
	in.parameters = merged(in.parameters, task.Parameters.Inline)
	if s := task.SecureParameters.Secret; s != "" {
		in.secret = s
	}
}

// merged has the entries of both maps, and of two with one key that of the first.
func merged(first, second map[string]string) map[string]string {
	if len(first)+len(second) == 0 {
		return nil
	}
	both := make(map[string]string, len(first)+len(second))
	for _, of := range []map[string]string{second, first} {
		for k, v := range of {
			both[k] = v
		}
	}
	return both
}

// A language is what a script is written in.
type language struct {
	// file is where a pod has the script.
	file string
	// image that it runs in.
	image func(Options) string
	// command is what the arguments of a task follow, and then the file or the URL of
	// its script.
	command []string
	// fetch goes before a URL.
	fetch []string
	// env is what the language needs beside what the script is given.
	env []corev1.EnvVar
}

// scratch is the directory that a script may write to, besides that of its steps.
const scratch = "/tmp"

// The variables that scripts read, in Keptn's order.
const (
	envData       = "DATA"
	envContext    = "KEPTN_CONTEXT"
	envArguments  = "CMD_ARGS"
	envSecureData = "SECURE_DATA"
	envScript     = "SCRIPT"
)

// readable are the variables that a script for Deno may read.
var readable = strings.Join([]string{envData, envSecureData, envContext, envArguments, envScript, "TMPDIR"}, ",")

// fetchPython is a program in Python that fetches the script that its argument names,
// and runs it. Certificates are verified, as urllib does unless told not to.
const fetchPython = `import runpy, sys, urllib.request
sys.argv.pop(0)
file, _ = urllib.request.urlretrieve(sys.argv[0], "` + scratch + `/function.py")
runpy.run_path(file, run_name="__main__")`

// deno keeps the modules that a script fetches in a directory that can be written to.
func deno() language {
	return language{
		file:    "/var/data/function.ts",
		image:   Options.denoImage,
		command: []string{"deno", "run", "--no-prompt", "--allow-net", "--allow-read", "--allow-write", "--allow-env=" + readable},
		env:     []corev1.EnvVar{{Name: "DENO_DIR", Value: scratch + "/deno"}},
	}
}

// python writes its log at once (-u), so that it is there when a task is cut short.
func python() language {
	return language{
		file:    "/var/data/function.py",
		image:   Options.pythonImage,
		command: []string{"python3", "-u"},
		fetch:   []string{"-c", fetchPython},
	}
}

// function returns the script of an executable and what it is written in, or nil
// where it is a container.
func function(e *lifecyclev1.Executable) (*lifecyclev1.RuntimeSpec, language) {
	switch {
	case e.Deno != nil:
		return e.Deno, deno()
	case e.Python != nil:
		return e.Python, python()
	default:
		return nil, language{}
	}
}

// executables are what a definition runs, in order; one that has no steps runs one
// without a name.
func executables(spec *lifecyclev1.KeptnTaskDefinitionSpec) []lifecyclev1.Step {
	if len(spec.Steps) > 0 {
		return spec.Steps
	}
	return []lifecyclev1.Step{{Executable: spec.Executable}}
}

// ways counts the ways in which an executable says what to run. It has to be one.
func ways(e *lifecyclev1.Executable) int {
	n := 0
	for _, given := range []bool{e.Deno != nil, e.Python != nil, e.Container != nil} {
		if given {
			n++
		}
	}
	return n
}

// codeKey is the key under which a ConfigMap of ours has a script.
func codeKey(step string) string {
	if step == "" {
		return code
	}
	return code + "." + step
}

// code is the key under which a ConfigMap has a script.
const code = "code"

// inlined are the scripts that a definition holds itself, by their keys.
func inlined(spec *lifecyclev1.KeptnTaskDefinitionSpec) map[string]string {
	scripts := map[string]string{}
	for _, e := range executables(spec) {
		if s, _ := function(&e.Executable); s != nil && s.ConfigMapReference.Name == "" && s.Inline.Code != "" {
			scripts[codeKey(e.Name)] = s.Inline.Code
		}
	}
	return scripts
}

// referenced are the ConfigMaps that a definition takes scripts from.
func referenced(spec *lifecyclev1.KeptnTaskDefinitionSpec) []string {
	var names []string
	for _, e := range executables(spec) {
		if s, _ := function(&e.Executable); s != nil && s.ConfigMapReference.Name != "" {
			names = append(names, s.ConfigMapReference.Name)
		}
	}
	return names
}

// parents are the definitions whose scripts a definition takes over.
func parents(spec *lifecyclev1.KeptnTaskDefinitionSpec) []string {
	var names []string
	for _, e := range executables(spec) {
		if s, _ := function(&e.Executable); s != nil && s.FunctionReference.Name != "" {
			names = append(names, s.FunctionReference.Name)
		}
	}
	return names
}

// keptIn is the name that the status of a KeptnTaskDefinition shows once all
// scripts are there: the ConfigMap that was made of them, else the first of those
// that it refers to. It is empty where there is neither.
func keptIn(d *lifecyclev1.KeptnTaskDefinition) string {
	if len(inlined(&d.Spec)) > 0 {
		return scriptsName(d.Name)
	}
	if names := referenced(&d.Spec); len(names) > 0 {
		return names[0]
	}
	return ""
}
