package v1

import "slices"

// Phase is the short name of a phase, as events and traces show it.
type Phase string

// The phases of an app and of a workload.
const (
	PhaseAppPreDeployTasks        Phase = "AppPreDeployTasks"
	PhaseAppPreDeployEvaluations  Phase = "AppPreDeployEvaluations"
	PhaseAppDeploy                Phase = "AppDeploy"
	PhaseAppSoak                  Phase = "AppSoak"
	PhaseAppPostDeployTasks       Phase = "AppPostDeployTasks"
	PhaseAppPostDeployEvaluations Phase = "AppPostDeployEvaluations"
	PhasePromotion                Phase = "PromotionTasks"

	PhaseWorkloadPreDeployTasks        Phase = "WorkloadPreDeployTasks"
	PhaseWorkloadPreDeployEvaluations  Phase = "WorkloadPreDeployEvaluations"
	PhaseWorkloadDeploy                Phase = "WorkloadDeploy"
	PhaseWorkloadPostDeployTasks       Phase = "WorkloadPostDeployTasks"
	PhaseWorkloadPostDeployEvaluations Phase = "WorkloadPostDeployEvaluations"

	PhaseCompleted Phase = "Completed"
)

// Stage is a part of a delivery, of one or several phases: the last part of the context
// of a commit status, and what a gate waits for. The names are public API: branch
// protection refers to them.
type Stage string

// The stages.
const (
	StagePreDeployment  Stage = "pre-deployment"
	StageDeployment     Stage = "deployment"
	StagePostDeployment Stage = "post-deployment"
	StagePromotion      Stage = "promotion"
)

// CheckType says when a check runs.
type CheckType string

// The types of checks.
const (
	PreDeploymentCheckType            CheckType = "pre"
	PostDeploymentCheckType           CheckType = "post"
	PreDeploymentEvaluationCheckType  CheckType = "pre-eval"
	PostDeploymentEvaluationCheckType CheckType = "post-eval"
	PromotionCheckType                CheckType = "promotion"
)

// phaseInfo is what is known of a phase, whatever is delivered.
type phaseInfo struct {
	name     Phase
	longName string
	stage    Stage
	check    CheckType
}

// appPhases and workloadPhases are the lives of deliveries, first to last: a phase runs
// once all above it have passed.
var (
	appPhases = []phaseInfo{
		{PhaseAppPreDeployTasks, "App Pre-Deployment Tasks", StagePreDeployment, PreDeploymentCheckType},
		{PhaseAppPreDeployEvaluations, "App Pre-Deployment Evaluations", StagePreDeployment, PreDeploymentEvaluationCheckType},
		{PhaseAppDeploy, "App Deployment", StageDeployment, ""},
		{PhaseAppSoak, "App Soak", StagePostDeployment, ""},
		{PhaseAppPostDeployTasks, "App Post-Deployment Tasks", StagePostDeployment, PostDeploymentCheckType},
		{PhaseAppPostDeployEvaluations, "App Post-Deployment Evaluations", StagePostDeployment, PostDeploymentEvaluationCheckType},
		{PhasePromotion, "Promotion Tasks", StagePromotion, PromotionCheckType},
	}
	workloadPhases = []phaseInfo{
		{PhaseWorkloadPreDeployTasks, "Workload Pre-Deployment Tasks", StagePreDeployment, PreDeploymentCheckType},
		{PhaseWorkloadPreDeployEvaluations, "Workload Pre-Deployment Evaluations", StagePreDeployment, PreDeploymentEvaluationCheckType},
		{PhaseWorkloadDeploy, "Workload Deployment", StageDeployment, ""},
		{PhaseWorkloadPostDeployTasks, "Workload Post-Deployment Tasks", StagePostDeployment, PostDeploymentCheckType},
		{PhaseWorkloadPostDeployEvaluations, "Workload Post-Deployment Evaluations", StagePostDeployment, PostDeploymentEvaluationCheckType},
	}
)

// AppPhases are the phases of an app's delivery, first to last.
func AppPhases() []Phase { return names(appPhases) }

// WorkloadPhases are the phases of a workload's delivery, first to last.
func WorkloadPhases() []Phase { return names(workloadPhases) }

func names(of []phaseInfo) []Phase {
	names := make([]Phase, len(of))
	for i := range of {
		names[i] = of[i].name
	}
	return names
}

// Stages are all stages of an app's delivery, first to last.
func Stages() []Stage {
	return []Stage{StagePreDeployment, StageDeployment, StagePostDeployment, StagePromotion}
}

// AppPhasesUntil are the phases of an app's delivery up to the end of a stage, first to
// last; none where there is no such stage.
func AppPhasesUntil(end Stage) []Phase {
	phases := AppPhases()
	for len(phases) > 0 && phases[len(phases)-1].Stage() != end {
		phases = phases[:len(phases)-1]
	}
	return phases
}

func (p Phase) info() phaseInfo {
	for _, info := range slices.Concat(appPhases, workloadPhases) {
		if info.name == p {
			return info
		}
	}
	return phaseInfo{}
}

// LongName is the phase in the words of Keptn's events, for example "App Pre-Deployment
// Tasks"; empty where there is no such phase.
func (p Phase) LongName() string { return p.info().longName }

// Stage that the phase belongs to; empty where there is no such phase.
func (p Phase) Stage() Stage { return p.info().stage }

// Check is the type of the checks that the phase runs; empty where it runs none.
func (p Phase) Check() CheckType { return p.info().check }

// Asked are the names of the checks that a phase is to run, which those of a promotion
// are not among.
func (in *Checks) Asked(of Phase) []string {
	switch of.Check() {
	case PreDeploymentCheckType:
		return in.PreDeploymentTasks
	case PreDeploymentEvaluationCheckType:
		return in.PreDeploymentEvaluations
	case PostDeploymentCheckType:
		return in.PostDeploymentTasks
	case PostDeploymentEvaluationCheckType:
		return in.PostDeploymentEvaluations
	default:
		return nil
	}
}

// Asked are the names of the checks that a phase is to run.
func (in *KeptnAppContextSpec) Asked(of Phase) []string {
	if of == PhasePromotion {
		return in.PromotionTasks
	}
	return in.Checks.Asked(of)
}

func (in *CheckStatuses) fields(of Phase) (state *KeptnState, items *[]ItemStatus) {
	switch of.Check() {
	case PreDeploymentCheckType:
		return &in.PreDeploymentStatus, &in.PreDeploymentTaskStatus
	case PreDeploymentEvaluationCheckType:
		return &in.PreDeploymentEvaluationStatus, &in.PreDeploymentEvaluationTaskStatus
	case PostDeploymentCheckType:
		return &in.PostDeploymentStatus, &in.PostDeploymentTaskStatus
	case PostDeploymentEvaluationCheckType:
		return &in.PostDeploymentEvaluationStatus, &in.PostDeploymentEvaluationTaskStatus
	default:
		return nil, nil
	}
}

// Fields are where Keptn's own fields say the state of a phase, and how its checks
// stand; nil where they do not.
func (in *KeptnAppVersionStatus) Fields(of Phase) (state *KeptnState, items *[]ItemStatus) {
	switch of {
	case PhaseAppDeploy:
		return &in.WorkloadOverallStatus, nil
	case PhasePromotion:
		return &in.PromotionStatus, &in.PromotionTaskStatus
	default:
		return in.fields(of)
	}
}

// Fields are where Keptn's own fields say the state of a phase, and how its checks
// stand; nil where they do not.
func (in *KeptnWorkloadVersionStatus) Fields(of Phase) (state *KeptnState, items *[]ItemStatus) {
	if of == PhaseWorkloadDeploy {
		return &in.DeploymentStatus, nil
	}
	return in.fields(of)
}
