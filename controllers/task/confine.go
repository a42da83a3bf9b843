package task

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// defaultAccount is the service account of a pod that names none.
const defaultAccount = "default"

// restricted is Pod Security "restricted" as the newest Kubernetes has it
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
var restricted = sync.OnceValues(func() (policy.Evaluator, error) {
	return policy.NewEvaluator(policy.DefaultChecks(), nil)
})

// confine gives a pod of a task from Git what its author left open: the service
// account, and what Pod Security "restricted" asks of a pod. What the author says
// otherwise stays, for violations to find.
func confine(pod *corev1.PodSpec, c *lifecyclev1.Confinement) {
	pod.ServiceAccountName = cmp.Or(pod.ServiceAccountName, c.ServiceAccountName)
	wanted := pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken
	pod.AutomountServiceAccountToken = new(c.ServiceAccountName != "" && wanted)
	pod.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			secure(&containers[i])
		}
	}
}

// secure sets what a container leaves open.
func secure(c *corev1.Container) {
	s := c.SecurityContext.DeepCopy()
	if s == nil {
		s = &corev1.SecurityContext{}
	}
	s.RunAsNonRoot = cmp.Or(s.RunAsNonRoot, new(true))
	s.AllowPrivilegeEscalation = cmp.Or(s.AllowPrivilegeEscalation, new(false))
	s.SeccompProfile = cmp.Or(s.SeccompProfile, &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault})
	s.Capabilities = cmp.Or(s.Capabilities, &corev1.Capabilities{})
	if len(s.Capabilities.Drop) == 0 {
		s.Capabilities.Drop = []corev1.Capability{"ALL"}
	}
	c.SecurityContext = s
}

// violations are what a pod of a task from Git may not have. There are none in a
// task that may run.
func violations(template *corev1.PodTemplateSpec, c *lifecyclev1.Confinement) ([]string, error) {
	evaluator, err := restricted()
	if err != nil {
		return nil, fmt.Errorf("pod security: %w", err)
	}
	var found []string
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	if result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec)); !result.Allowed {
		found = append(found, "Pod Security \"restricted\" refuses it: "+result.ForbiddenDetail())
	}
	pod := &template.Spec
	if account := cmp.Or(pod.ServiceAccountName, defaultAccount); account != cmp.Or(c.ServiceAccountName, defaultAccount) {
		found = append(found, fmt.Sprintf("it names the service account %q, and tasks from Git run as %q here", account, cmp.Or(c.ServiceAccountName, defaultAccount)))
	}
	for _, secret := range secrets(pod) {
		if !slices.Contains(c.AllowedSecrets, secret) {
			found = append(found, fmt.Sprintf("it names the Secret %q, which is not among the allowedSecrets of its GitSource", secret))
		}
	}
	return append(found, credentials(pod)...), nil
}

// credentials are the volumes that would bring a pod a credential by another way
// than its service account and its Secrets.
func credentials(pod *corev1.PodSpec) []string {
	var found []string
	token := pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken
	for _, v := range pod.Volumes {
		if v.CSI != nil { // its driver may hand out any secret
			found = append(found, fmt.Sprintf("the volume %q is of a CSI driver: use a persistentVolumeClaim", v.Name))
		}
		if v.Projected == nil || token {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil || s.PodCertificate != nil {
				found = append(found, fmt.Sprintf("the volume %q holds a credential of its service account, which this task does not get", v.Name))
			}
		}
	}
	return found
}

// secrets are the names of all Secrets that a pod names, each once.
func secrets(pod *corev1.PodSpec) []string {
	var names []string
	for _, s := range pod.ImagePullSecrets {
		names = append(names, s.Name)
	}
	for i := range pod.Volumes {
		names = append(names, volumeSecrets(&pod.Volumes[i])...)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				names = append(names, e.ValueFrom.SecretKeyRef.Name)
			}
		}
		for _, e := range c.EnvFrom {
			if e.SecretRef != nil {
				names = append(names, e.SecretRef.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// volumeSecrets are the Secrets that a volume names, of the types that Pod
// Security "restricted" lets through.
func volumeSecrets(v *corev1.Volume) []string {
	var names []string
	if v.Secret != nil {
		names = append(names, v.Secret.SecretName)
	}
	if v.CSI != nil && v.CSI.NodePublishSecretRef != nil {
		names = append(names, v.CSI.NodePublishSecretRef.Name)
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				names = append(names, s.Secret.Name)
			}
		}
	}
	return names
}

// notAllowed is the problem of a task from Git that asks for more than it may, or
// nil.
func notAllowed(template *corev1.PodTemplateSpec, c *lifecyclev1.Confinement) error {
	if c == nil {
		return nil
	}
	found, err := violations(template, c)
	if err != nil || len(found) == 0 {
		return err
	}
	return refused(reasonNotAllowed, "a task from Git may not run so: %s", strings.Join(found, "; "))
}
