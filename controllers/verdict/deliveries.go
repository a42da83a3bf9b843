package verdict

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource"
)

// Of says whether a delivery of the Lifecycle is one of the commit: delivers it, or
// was asked for by it. The commit may be abbreviated.
func Of(kav *lifecyclev1.KeptnAppVersion, lc *gitopsv1alpha1.Lifecycle, commit string) bool {
	ref, c := kav.Spec.Lifecycle, kav.Spec.Commit
	return ref != nil && c != nil && ref.Namespace == lc.Namespace && ref.Name == lc.Name &&
		(strings.HasPrefix(c.SHA, commit) || kav.Annotations[lifecycle.DeliverAnnotation] == commit)
}

// Newer says whether a delivery began after another one, which may be nil.
func Newer(kav, other *lifecyclev1.KeptnAppVersion) bool {
	return other == nil || kav.CreationTimestamp.After(other.CreationTimestamp.Time) ||
		kav.CreationTimestamp.Equal(&other.CreationTimestamp) && kav.Spec.Revision > other.Spec.Revision
}

// newest is the newest delivery of a commit, or nil.
func newest(deliveries []lifecyclev1.KeptnAppVersion, lc *gitopsv1alpha1.Lifecycle, commit string) *lifecyclev1.KeptnAppVersion {
	var newest *lifecyclev1.KeptnAppVersion
	for i := range deliveries {
		if kav := &deliveries[i]; Of(kav, lc, commit) && Newer(kav, newest) {
			newest = kav
		}
	}
	return newest
}

// onCommit is what is said of a commit: what its delivery says; where it changes no
// workload, what that of the newest commit before it says whose workloads it has; where it
// is the newest of all and does not change the app, as a merge, what is said of the newest
// that does; and where a newer commit runs, that it was superseded. It reads no cluster.
func onCommit(lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion, commit string, until lifecyclev1.Stage) phase.Answer {
	if kav := newest(deliveries, lc, commit); kav != nil {
		return phase.AnswerOf(kav, until)
	}
	var newer *lifecyclev1.KeptnAppVersion // the delivery of a newer commit that runs, or ran
	for i := range lc.Status.Commits {
		c := &lc.Status.Commits[i]
		if !strings.HasPrefix(c.SHA, commit) {
			if kav := newest(deliveries, lc, c.SHA); kav != nil && kav.Spec.RolloutStartedAt != nil {
				newer = kav
			}
			continue
		}
		if !c.ChangesWorkloads {
			return unchanged(lc, deliveries, i, until)
		}
		if c.SHA == lc.Status.RunsCommit {
			return running(lc, deliveries, until)
		}
		return waiting(lc, c.SHA, newer, until)
	}
	if tip, err := gitsource.ParseRevision(lc.Status.ObservedRevision); err == nil && strings.HasPrefix(tip.Commit, commit) && len(lc.Status.Commits) > 0 {
		newest := lc.Status.Commits[0].SHA
		a := onCommit(lc, deliveries, newest, until)
		a.Message = fmt.Sprintf("%.7s changes nothing of the app since %.7s: %s", tip.Commit, newest, a.Message)
		return a
	}
	return nothing(lc, commit, until, "", fmt.Sprintf("there is no delivery of %s yet, and it is not known to change the app", commit))
}

// waiting is what is said of a commit that was not rolled out: it will be, or never will
// since a newer one runs.
func waiting(lc *gitopsv1alpha1.Lifecycle, sha string, newer *lifecyclev1.KeptnAppVersion, until lifecyclev1.Stage) phase.Answer {
	runs := lc.Status.RunsCommit
	if runs == "" && newer != nil {
		runs = newer.Spec.Commit.SHA
	}
	if runs == "" {
		return nothing(lc, sha, until, "", "waiting for the rollout")
	}
	return nothing(lc, sha, until, lifecyclev1.VerdictInconclusive, fmt.Sprintf("superseded by %.7s", runs))
}

// running is what is said of the newest commit where what it renders to was there before:
// what is said of that.
func running(lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion, until lifecyclev1.Stage) phase.Answer {
	sha := lc.Status.RunsCommit
	if ref := lc.Status.Delivery; ref != nil {
		if kav := newest(deliveries, lc, ref.Commit); kav != nil {
			a := phase.AnswerOf(kav, until)
			a.Message = fmt.Sprintf("%.7s asks for what %.7s brought: %s", sha, ref.Commit, a.Message)
			return a
		}
	}
	return nothing(lc, sha, until, "", fmt.Sprintf("%.7s asks for what runs, which has no delivery", sha))
}

// unchanged is what is said of a commit that changes no workload.
func unchanged(lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion, at int, until lifecyclev1.Stage) phase.Answer {
	sha := lc.Status.Commits[at].SHA
	for _, c := range lc.Status.Commits[at+1:] {
		if kav := newest(deliveries, lc, c.SHA); kav != nil {
			a := phase.AnswerOf(kav, until)
			a.Message = fmt.Sprintf("%.7s changes no workload of %.7s: %s", sha, c.SHA, a.Message)
			return a
		}
		if c.ChangesWorkloads {
			break
		}
	}
	return nothing(lc, sha, until, "", fmt.Sprintf("%.7s changes no workload, and what runs has no delivery yet", sha))
}

// nothing is what is said where there is no delivery.
func nothing(lc *gitopsv1alpha1.Lifecycle, commit string, until lifecyclev1.Stage, verdict lifecyclev1.Verdict, message string) phase.Answer {
	return phase.Answer{App: lc.Spec.App, Commit: commit, Until: until, Verdict: verdict, Message: message, Phases: []phase.Standing{}}
}

// onCurrent is what is said of the commit that runs, or is being rolled out. While what
// is in the cluster is not tied to a commit yet that is open: the delivery that is known
// is then of something older.
func onCurrent(ctx context.Context, r client.Reader, lc directory.Entry, until lifecyclev1.Stage) (phase.Answer, error) {
	for _, w := range lc.Status.Workloads {
		live, err := workload.See(ctx, r, w.Kind, types.NamespacedName{Namespace: w.Namespace, Name: w.Name})
		if err != nil {
			return phase.Answer{}, fmt.Errorf("read %s %s/%s: %w", w.Kind, w.Namespace, w.Name, err)
		}
		if live != nil && (w.Commit == "" || live.TemplateHash != w.TemplateHash) {
			return nothing(lc.Lifecycle, "", until, "", fmt.Sprintf("what runs as %s %s is not tied to a commit yet", w.Kind, w.Name)), nil
		}
	}
	ref := lc.Status.Delivery
	if ref == nil {
		return nothing(lc.Lifecycle, "", until, "", "waiting for the first rollout"), nil
	}
	var kav lifecyclev1.KeptnAppVersion
	switch err := r.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &kav); {
	case apierrors.IsNotFound(err):
		return nothing(lc.Lifecycle, ref.Commit, until, "", "waiting for the record of the delivery"), nil
	case err != nil:
		return phase.Answer{}, fmt.Errorf("read KeptnAppVersion: %w", err)
	default:
		return phase.AnswerOf(&kav, until), nil
	}
}

// belonging are those of the deliveries that are the Lifecycle's: others may name it.
func belonging(ctx context.Context, r client.Reader, lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion) ([]lifecyclev1.KeptnAppVersion, error) {
	var source gitopsv1alpha1.GitSource
	name := types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}
	if err := r.Get(ctx, name, &source); err != nil {
		return nil, fmt.Errorf("read GitSource %s: %w", name, err)
	}
	var mine []lifecyclev1.KeptnAppVersion
	for i := range deliveries {
		belongs, err := trust.Belongs(ctx, r, &deliveries[i], lc, &source)
		if err != nil {
			return nil, err
		}
		if belongs {
			mine = append(mine, deliveries[i])
		}
	}
	return mine, nil
}
