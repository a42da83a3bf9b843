package task_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

func TestNamesAreValidHoweverLongTheirOriginsAre(t *testing.T) {
	for reason, name := range map[string]string{
		"A short one stays readable.":        "pre-migrate-12345",
		"One that just fits.":                strings.Repeat("a", 57),
		"One with dashes where it is cut.":   strings.Repeat("a", 45) + "--" + strings.Repeat("b", 100),
		"The longest that Kubernetes takes.": strings.Repeat("a.", 126) + "a",
	} {
		of := aTask(func(t *lifecyclev1.KeptnTask) { t.Name = name })
		for what, problems := range map[string][]string{
			"a Job's":       append(validation.IsDNS1123Subdomain(task.JobName(of)), validation.IsValidLabelValue(task.JobName(of))...),
			"a label's":     validation.IsValidLabelValue(task.LabelOf(name)),
			"a ConfigMap's": validation.IsDNS1123Subdomain(task.ScriptsName(name)),
			"a container's": validation.IsDNS1123Label(task.ContainerName(name)),
		} {
			if len(problems) > 0 {
				t.Errorf("%s %s name of %q: %v", reason, what, name, problems)
			}
		}
	}
}

func TestOneTaskHasOneJobAndTwoHaveTwo(t *testing.T) {
	named := func(name string, uid types.UID) string {
		return task.JobName(aTask(func(t *lifecyclev1.KeptnTask) { t.Name, t.UID = name, uid }))
	}
	long := strings.Repeat("a", 100)
	if first, second := named("a", "1"), named("a", "1"); first != second {
		t.Error("a second try finds no Job of the first")
	}
	if named("a", "1") == named("a", "2") {
		t.Error("a task finds the Job of another that had its name before")
	}
	if named(long+"1", "1") == named(long+"2", "1") {
		t.Error("two long names have become one")
	}
	if got := named("a", "1"); got != "a-59663" {
		t.Errorf("%s: a controller of another version would run the task again", got)
	}
}
