package promoter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/verdict"
	"github.com/keptn/gitops/controllers/workload"
)

// Labels of CommitStatuses, see
// https://gitops-promoter.readthedocs.io/en/stable/debugging/labels/.
const (
	keyLabel         = group + "/commit-status"
	environmentLabel = group + "/environment"
	ownerLabel       = group + "/lifecycle-commit-status"
	// instanceLabel says which of several installations an object is for.
	instanceLabel = group + "/instance-id"
)

// maxDescription is how long a description may be, in runes: GitLab and Bitbucket take
// no more.
const maxDescription = 255

// The phases of a CommitStatus.
const (
	pending = "pending"
	success = "success"
	failure = "failure"
)

// judgement is what a CommitStatus says.
type judgement struct{ phase, description, url string }

// judge says whether what runs of a revision, which is as far as the Lifecycle has looked,
// has passed all up to the checks after the rollout.
func (r *Reconciler) judge(lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion, tip string) judgement {
	kav := speaker(lc, deliveries)
	if kav == nil {
		return judgement{phase: pending, description: "waiting for the rollout"}
	}
	answer := phase.AnswerOf(kav, lifecyclev1.StagePostDeployment)
	j := judgement{phase: phases[answer.Verdict], description: cmp.Or(answer.Message, string(answer.Verdict))}
	if answer.Commit != tip {
		j.description = fmt.Sprintf("%.7s: %s", answer.Commit, j.description)
	}
	j.description = oneLine(j.description)
	if r.Details != nil {
		j.url = r.Details(kav)
	}
	return j
}

// phases are verdicts in the words of gitops-promoter. What is not certain has failed: it
// is to be promoted no further.
var phases = map[lifecyclev1.Verdict]string{
	"":                              pending,
	lifecyclev1.VerdictPass:         success,
	lifecyclev1.VerdictWarning:      success,
	lifecyclev1.VerdictFail:         failure,
	lifecyclev1.VerdictInconclusive: failure,
}

// speaker is the delivery that speaks for the newest commit of a branch: that of the
// newest commit that changes the app. One that leaves the workloads as they are is spoken
// for by what runs. It is nil while a rollout has yet to come.
func speaker(lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion) *lifecyclev1.KeptnAppVersion {
	for _, c := range lc.Status.Commits {
		if kav := newest(deliveries, c.SHA); kav != nil {
			return kav
		}
		if c.ChangesWorkloads {
			if c.SHA != lc.Status.RunsCommit {
				return nil
			}
			break
		}
	}
	ref := lc.Status.Delivery
	i := slices.IndexFunc(deliveries, func(kav lifecyclev1.KeptnAppVersion) bool {
		return ref != nil && kav.Namespace == ref.Namespace && kav.Name == ref.Name
	})
	if i < 0 {
		return nil
	}
	return &deliveries[i]
}

// newest is the newest delivery of a commit, or nil.
func newest(deliveries []lifecyclev1.KeptnAppVersion, sha string) *lifecyclev1.KeptnAppVersion {
	var found *lifecyclev1.KeptnAppVersion
	for i := range deliveries {
		kav := &deliveries[i]
		if c := kav.Spec.Commit; c != nil && c.SHA == sha && verdict.Newer(kav, found) {
			found = kav
		}
	}
	return found
}

// oneLine is a text in one line that is not too long.
func oneLine(text string) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > maxDescription {
		line = append(line[:maxDescription-1], '…')
	}
	return string(line)
}

// nameOf is the name of the CommitStatus of a Lifecycle. There is one, at the newest
// commit: gitops-promoter asks about no other.
func nameOf(lc *gitopsv1alpha1.Lifecycle) string { return workload.ResourceName(lc.Name, "keptn") }

// commitStatus is what the strategy that asks is told.
func (s *strategy) commitStatus(lc *gitopsv1alpha1.Lifecycle, q question, commit string, j judgement) *unstructured.Unstructured {
	status := newObject(statusKind)
	status.SetNamespace(lc.Namespace)
	status.SetName(nameOf(lc))
	labels := map[string]string{
		keyLabel:         safeLabel(q.key),
		environmentLabel: safeLabel(q.branch),
		ownerLabel:       safeLabel(lc.Name),
	}
	if instance := s.Labels[instanceLabel]; instance != "" {
		labels[instanceLabel] = instance
	}
	status.SetLabels(labels)
	spec := map[string]any{
		"gitRepositoryRef": map[string]any{"name": s.Spec.GitRepositoryRef.Name},
		"sha":              commit,
		"name":             q.key + "/" + q.branch,
		"description":      j.description,
		"phase":            j.phase,
	}
	if j.url != "" {
		spec["url"] = j.url
	}
	status.Object["spec"] = spec
	return status
}
