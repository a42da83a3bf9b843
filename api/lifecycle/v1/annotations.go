package v1

// NamespaceEnabledAnnotation on a namespace, with the value enabled, has the
// annotated workloads in it delivered with checks.
const NamespaceEnabledAnnotation = "keptn.sh/lifecycle-toolkit"

// Annotations, or labels, of a pod template or of the workload that has it. Where
// both are there the annotation counts, and Keptn's own key before Kubernetes'
// recommended one.
const (
	WorkloadAnnotation = "keptn.sh/workload"
	VersionAnnotation  = "keptn.sh/version"
	AppAnnotation      = "keptn.sh/app"
	// ContainerAnnotation names the container whose image tag is the version.
	ContainerAnnotation = "keptn.sh/container"
	// MetadataAnnotation holds k=v,k2=v2.
	MetadataAnnotation                  = "keptn.sh/metadata"
	PreDeploymentTasksAnnotation        = "keptn.sh/pre-deployment-tasks"
	PostDeploymentTasksAnnotation       = "keptn.sh/post-deployment-tasks"
	PreDeploymentEvaluationsAnnotation  = "keptn.sh/pre-deployment-evaluations"
	PostDeploymentEvaluationsAnnotation = "keptn.sh/post-deployment-evaluations"

	K8sRecommendedWorkloadAnnotation  = "app.kubernetes.io/name"
	K8sRecommendedVersionAnnotation   = "app.kubernetes.io/version"
	K8sRecommendedAppAnnotation       = "app.kubernetes.io/part-of"
	K8sRecommendedManagedByAnnotation = "app.kubernetes.io/managed-by"
)

// ManagedByKeptn is the value of the label app.kubernetes.io/managed-by of an app
// that was discovered from the annotations of its workloads.
const ManagedByKeptn = "keptn"

const (
	// AppTypeAnnotation of a KeptnWorkload says whether its app has more of them.
	AppTypeAnnotation = "keptn.sh/app-type"
	// SingleService is an app of one workload, which names no app.
	SingleService = "single-service"
	// MultiService is an app of the workloads that name it.
	MultiService = "multi-service"
)

const (
	// SchedulingGate keeps a pod from being scheduled until its checks have passed.
	SchedulingGate = "keptn-prechecks-gate"
	// SchedulingGateRemovedAnnotation of a pod, with the value true, says that its
	// gate was removed.
	SchedulingGateRemovedAnnotation = "keptn.sh/scheduling-gate-removed"
	// TaskNameAnnotation of a Job and of its pods is the name of their KeptnTask.
	// Pods carry it as a label too.
	TaskNameAnnotation = "keptn.sh/task-name"
)

const (
	// CancelAnnotation of a KeptnAppVersion or a KeptnWorkloadVersion that is under
	// way ends it. Its value is said as the reason.
	CancelAnnotation = "keptn.sh/cancel"
	// RetryAnnotation of a KeptnAppVersion or a KeptnWorkloadVersion that failed runs
	// the phase again that failed, once for each new value.
	RetryAnnotation = "keptn.sh/retry"
)

// TraceParentAnnotation carries a W3C trace parent.
const TraceParentAnnotation = "traceparent"
