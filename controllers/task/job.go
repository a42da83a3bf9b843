package task

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// What a definition that was not read from the cluster has by default.
const (
	defaultRetries = 10
	defaultTimeout = 5 * time.Minute
	defaultTTL     = 300
)

// ttlAnnotation of a Job holds how long it is to be kept once its task's result is
// recorded, in seconds.
const ttlAnnotation = "keptn.sh/ttl-seconds-after-finished"

// The names of what a pod has of ours.
const (
	runnerName    = "keptn-function-runner"
	scriptVolume  = "function-mount"
	scratchVolume = "keptn-tmp"
	sharedVolume  = "workspace"
	sharedDir     = "/workspace"
)

// runnerUser is whom scripts run as: nobody in particular.
const runnerUser = 65532

// jobOf is the Job that runs a task, all but its owner.
//
// It is given no ttlSecondsAfterFinished: the time runs from when the result is
// recorded in the KeptnTask, so that a controller that was down for longer still
// finds how the Job ended (see Reconciler.release).
func jobOf(t *lifecyclev1.KeptnTask, d *definition, o Options) *batchv1.Job {
	labels := merged(map[string]string{lifecyclev1.TaskNameAnnotation: labelOf(t.Name)}, merged(propagated(t.Labels), propagated(d.labels)))
	annotations := merged(annotationsOf(t), merged(propagated(t.Annotations), propagated(d.annotations)))
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.Namespace, Name: jobName(t), Labels: labels,
			Annotations: merged(map[string]string{ttlAnnotation: strconv.Itoa(int(valueOr(d.spec.TTLSecondsAfterFinished, defaultTTL)))}, annotations),
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:          new(valueOr(t.Spec.Retries, valueOr(d.spec.Retries, defaultRetries))),
			ActiveDeadlineSeconds: deadline(valueOr(t.Spec.Timeout, valueOr(d.spec.Timeout, metav1.Duration{Duration: defaultTimeout})).Duration),
			// A try begins when nothing of the one before runs any more.
			PodReplacementPolicy: new(batchv1.Failed),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(labels), Annotations: maps.Clone(annotations)},
				Spec:       podOf(t, d, o),
			},
		},
	}
	if t.Spec.Confinement != nil {
		confine(&job.Spec.Template.Spec, t.Spec.Confinement)
	}
	return job
}

func valueOr[T any](given *T, otherwise T) T {
	if given != nil {
		return *given
	}
	return otherwise
}

// deadline is a timeout in whole seconds, at least one. A timeout of 0 is none.
func deadline(timeout time.Duration) *int64 {
	if timeout <= 0 {
		return nil
	}
	return new(int64((timeout + time.Second - 1) / time.Second))
}

// annotationsOf are what Keptn says of a task on its Job and its pods.
func annotationsOf(t *lifecyclev1.KeptnTask) map[string]string {
	c := t.Spec.Context
	version := c.AppVersion
	if c.WorkloadName != "" {
		version = c.WorkloadVersion
	}
	annotations := map[string]string{
		lifecyclev1.AppAnnotation:      c.AppName,
		lifecyclev1.WorkloadAnnotation: c.WorkloadName,
		lifecyclev1.VersionAnnotation:  version,
		lifecyclev1.TaskNameAnnotation: t.Name,
	}
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	return annotations
}

// private are the prefixes of keys by which tools know their own objects. A Job
// that had them would be taken for one.
var private = []string{
	"kubectl.kubernetes.io/", "gitops.keptn.sh/", "reconcile.fluxcd.io/", "kustomize.toolkit.fluxcd.io/",
	"helm.toolkit.fluxcd.io/", "meta.helm.sh/", "argocd.argoproj.io/", "config.kubernetes.io/",
}

// propagated are the labels or annotations that a Job takes over.
func propagated(from map[string]string) map[string]string {
	kept := maps.Clone(from)
	maps.DeleteFunc(kept, func(key, _ string) bool {
		for _, prefix := range private {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	})
	return kept
}

// podOf is the pod of a task. The last program is its container, and those before
// are init containers, which run one after the other.
func podOf(t *lifecyclev1.KeptnTask, d *definition, o Options) corev1.PodSpec {
	pod := corev1.PodSpec{
		RestartPolicy:    corev1.RestartPolicyNever, // the pods of failed tries keep their logs
		ImagePullSecrets: d.spec.ImagePullSecrets,
	}
	if account := d.spec.ServiceAccount; account != nil {
		pod.ServiceAccountName = account.Name
	}
	if token := d.spec.AutomountServiceAccountToken; token != nil {
		pod.AutomountServiceAccountToken = token.Type
	}
	for _, v := range d.spec.Volumes {
		pod.Volumes = append(pod.Volumes, v.Volume)
	}
	containers := make([]corev1.Container, len(d.programs))
	for i, p := range d.programs {
		containers[i] = containerOf(t, d, p, o, &pod)
	}
	last := len(containers) - 1
	pod.InitContainers, pod.Containers = containers[:last:last], containers[last:]
	return pod
}

// containerOf is the container of a program. What it mounts is added to the pod.
func containerOf(t *lifecyclev1.KeptnTask, d *definition, p program, o Options, pod *corev1.PodSpec) corev1.Container {
	var c corev1.Container
	if p.container != nil {
		c = givenContainer(t, d, p)
	} else {
		c = runner(t, p, o, pod)
	}
	if p.step != "" {
		c.Name = p.step
		share(&c, pod)
	}
	for _, mount := range c.VolumeMounts {
		addVolume(pod, corev1.Volume{Name: mount.Name, VolumeSource: corev1.VolumeSource{EmptyDir: inMemory(&c)}})
	}
	return c
}

// givenContainer is a container as its author gave it, told of the context.
func givenContainer(t *lifecyclev1.KeptnTask, d *definition, p program) corev1.Container {
	c := *p.container.DeepCopy()
	if c.Name == "" {
		c.Name = containerName(d.name)
	}
	told := variable(envContext, compact(t.Spec.Context))
	if i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == envContext }); i >= 0 {
		c.Env[i] = told
	} else {
		c.Env = append(c.Env, told)
	}
	return c
}

// runner is a container that runs a script.
func runner(t *lifecyclev1.KeptnTask, p program, o Options, pod *corev1.PodSpec) corev1.Container {
	c := corev1.Container{
		Name: runnerName, Image: p.language.image(o), ImagePullPolicy: corev1.PullIfNotPresent,
		Command: p.language.command, Args: arguments(p), WorkingDir: scratch,
		Env: environment(t, p), SecurityContext: unprivileged(),
	}
	name := scriptVolume
	if p.step != "" {
		name, c.WorkingDir = "function-"+p.step, sharedDir
	}
	if p.script.url == "" {
		source := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: p.script.configMap}}
		if source.Name == "" {
			source.Name = jobName(t) // where the task keeps scripts of its own
		}
		addVolume(pod, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{ConfigMap: source}})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: p.language.file, SubPath: p.script.key})
	}
	addVolume(pod, corev1.Volume{Name: scratchVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: scratchVolume, MountPath: scratch})
	return c
}

// arguments are those of the command that runs a script: the task's, which are options
// of the command as in Keptn, and then the script.
func arguments(p program) []string {
	args := strings.Fields(p.inputs.arguments)
	if p.script.url != "" {
		args = append(args, p.language.fetch...)
	}
	args = append(args, target(p))
	for i := range args {
		args[i] = verbatim(args[i])
	}
	return args
}

// target is the file or the address of a script.
func target(p program) string {
	if p.script.url != "" {
		return p.script.url
	}
	return p.language.file
}

// environment is what a script is given, as Keptn does and in its order, and then what
// its language needs.
func environment(t *lifecyclev1.KeptnTask, p program) []corev1.EnvVar {
	var env []corev1.EnvVar
	if len(p.inputs.parameters) > 0 {
		env = append(env, variable(envData, compact(p.inputs.parameters)))
	}
	env = append(env, variable(envContext, compact(t.Spec.Context)), variable(envArguments, p.inputs.arguments))
	if p.inputs.secret != "" {
		env = append(env, corev1.EnvVar{Name: envSecureData, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: p.inputs.secret}, Key: envSecureData,
		}}})
	}
	env = append(env, variable(envScript, target(p)))
	return append(env, p.language.env...)
}

func variable(name, value string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, Value: verbatim(value)}
}

// verbatim is a text that reaches the container as it is: Kubernetes would replace
// $(NAME) in it, and $$ by $.
func verbatim(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// compact is the JSON of texts, which always have one.
func compact(of any) string {
	text, err := json.Marshal(of)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// unprivileged is what scripts run with, whoever wrote them.
func unprivileged() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(runnerUser)), ReadOnlyRootFilesystem: new(true),
		AllowPrivilegeEscalation: new(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// share mounts the directory that all steps have in common.
func share(c *corev1.Container, pod *corev1.PodSpec) {
	for _, mount := range c.VolumeMounts {
		if strings.TrimRight(mount.MountPath, "/") == sharedDir {
			return
		}
	}
	addVolume(pod, corev1.Volume{Name: sharedVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	c.VolumeMounts = append(c.VolumeMounts[:len(c.VolumeMounts):len(c.VolumeMounts)], corev1.VolumeMount{Name: sharedVolume, MountPath: sharedDir})
}

// addVolume adds a volume unless there is one of that name.
func addVolume(pod *corev1.PodSpec, v corev1.Volume) {
	for _, have := range pod.Volumes {
		if have.Name == v.Name {
			return
		}
	}
	pod.Volumes = append(pod.Volumes, v)
}

// inMemory is the volume of a mount that names none: as large as the container's
// memory, or 1 GiB.
func inMemory(c *corev1.Container) *corev1.EmptyDirVolumeSource {
	limit, ok := c.Resources.Limits[corev1.ResourceMemory]
	if !ok {
		limit = resource.MustParse("1Gi")
	}
	return &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &limit}
}
