package task_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

func TestATaskFromGitReachesNoMoreThanItsNamespaceAllows(t *testing.T) {
	type spec = lifecyclev1.KeptnTaskDefinitionSpec
	container := func(change func(*corev1.Container)) func(*spec) {
		return func(s *spec) {
			s.Container = &lifecyclev1.ContainerSpec{Container: corev1.Container{Image: "a"}}
			change(&s.Container.Container)
		}
	}
	volume := func(source corev1.VolumeSource) func(*spec) {
		return func(s *spec) {
			container(func(*corev1.Container) {})(s)
			s.Volumes = []lifecyclev1.Volume{{Volume: corev1.Volume{Name: "v", VolumeSource: source}}}
		}
	}
	secret := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	account := func(name string) func(*spec) {
		return func(s *spec) {
			container(func(*corev1.Container) {})(s)
			s.ServiceAccount = &lifecyclev1.ServiceAccountSpec{Name: name}
		}
	}
	token := volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
	}}})
	none, some := lifecyclev1.Confinement{}, lifecyclev1.Confinement{ServiceAccountName: "runner", AllowedSecrets: []string{"mine"}}
	cases := map[string]struct {
		reason string
		given  func(*spec)
		within lifecyclev1.Confinement
		// want is what the refusal says; empty where there is none.
		want string
	}{
		"Script":          {"A script runs anywhere.", func(s *spec) { s.Python = new(inline()) }, none, ""},
		"Container":       {"What its author left open is set.", container(func(*corev1.Container) {}), none, ""},
		"Privileged":      {"What the author says otherwise is refused.", container(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{Privileged: new(true)} }), none, "privileged"},
		"Root":            {"Nobody runs as root.", container(func(c *corev1.Container) { c.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))} }), none, "runAsUser=0"},
		"HostPath":        {"A node's files are not the namespace's.", volume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}), none, "hostPath"},
		"CSI":             {"A CSI driver may hand out any secret.", volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io"}}), none, "CSI"},
		"Token":           {"Without an account there is no token, whichever way it is asked for.", token, none, "credential"},
		"OwnToken":        {"With an account there is.", token, some, ""},
		"Account":         {"The account is the GitSource's.", account("admin"), some, `"admin"`},
		"AccountOfNobody": {"Where it names none, it is the default one.", account("admin"), none, `"admin"`},
		"SameAccount":     {"The same account is no other.", account("runner"), some, ""},
		"DefaultAccount":  {"The default account by its name neither.", account("default"), none, ""},
		"Secret": {"A Secret that is not allowed is named.", container(func(c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: secret("theirs")}}}
		}), some, `"theirs"`},
		"AllowedSecret": {"One that is allowed is not.", container(func(c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: secret("mine")}}}
		}), some, ""},
		"Variable": {"In a variable, too.", container(func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: secret("theirs")}}}}
		}), some, `"theirs"`},
		"SecretVolume": {"In a volume, too.", volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "theirs"}}), some, `"theirs"`},
		"Projected":    {"In a part of a volume, too.", volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: secret("theirs")}}}}}), some, `"theirs"`},
		"PullSecret": {"For images, too.", func(s *spec) {
			s.Python, s.ImagePullSecrets = new(inline()), []corev1.LocalObjectReference{secret("theirs")}
		}, some, `"theirs"`},
		"SecureParameters": {"For scripts, too.", func(s *spec) {
			s.Python = &lifecyclev1.RuntimeSpec{Inline: lifecyclev1.Inline{Code: "1"}, SecureParameters: lifecyclev1.SecureParameters{Secret: "theirs"}}
		}, some, `"theirs"`},
		"FirstStep": {"In a step, too.", func(s *spec) {
			s.Steps = []lifecyclev1.Step{
				{Name: "one", Executable: lifecyclev1.Executable{Container: &lifecyclev1.ContainerSpec{Container: corev1.Container{Image: "a", SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(true)}}}}},
				{Name: "two", Executable: lifecyclev1.Executable{Python: new(inline())}},
			}
		}, none, "allowPrivilegeEscalation"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			of := aTask(frozen(c.given), func(t *lifecyclev1.KeptnTask) { t.Spec.Confinement = &c.within })
			_, err := task.JobOf(t.Context(), newWorld(t), of, task.Options{})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: %v", c.reason, err)
			case c.want != "" && (task.ReasonOf(err) != "NotAllowed!" || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: got %v, want a refusal that says %s", c.reason, err, c.want)
			}
		})
	}
}

func TestWhatAnAuthorOfTheClusterGivesIsLeftAsItIs(t *testing.T) {
	given := corev1.Container{Name: "a", Image: "a", SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}
	w := newWorld(t, aDefinition(func(d *lifecyclev1.KeptnTaskDefinition) { d.Spec.Container.Container = given }))
	job, err := task.JobOf(t.Context(), w, aTask(), task.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pod := job.Spec.Template.Spec
	if s := pod.Containers[0].SecurityContext; !*s.Privileged || s.RunAsNonRoot != nil || pod.SecurityContext != nil || pod.AutomountServiceAccountToken != nil {
		t.Errorf("the pod was changed: %+v", pod)
	}
}
