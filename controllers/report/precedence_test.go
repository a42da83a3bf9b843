package report_test

import (
	"context"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/shard"
)

// indexer has a fake client index what the manager's cache would.
type indexer struct{ *fake.ClientBuilder }

func (i indexer) IndexField(_ context.Context, obj client.Object, field string, by client.IndexerFunc) error {
	i.WithIndex(obj, field, by)
	return nil
}

const other = "89abcdef0123456789abcdef0123456789abcdef"

// readSource is a source that was read and has reported.
func readSource(name string, change ...func(*gitopsv1alpha1.GitSource)) *gitopsv1alpha1.GitSource {
	s := &gitopsv1alpha1.GitSource{}
	s.Namespace, s.Name = "shop", name
	s.CreationTimestamp = metav1.NewTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	s.Spec.URL, s.Spec.Environment = "https://git.example.com/acme/shop.git", "production"
	s.Status.ObservedRevision = "main@sha1:" + sha
	condition.Summarize(s, condition.Ready(meta.SucceededReason, "read"))
	condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Ready("Reported", "all"))
	for _, c := range change {
		c(s)
	}
	return s
}

func by(d time.Duration) func(*gitopsv1alpha1.GitSource) {
	return func(s *gitopsv1alpha1.GitSource) { s.CreationTimestamp.Time = s.CreationTimestamp.Add(d) }
}

func TestTheOldestSourceWritesWhatSeveralWould(t *testing.T) {
	anew := func(s *gitopsv1alpha1.GitSource) { s.Status = gitopsv1alpha1.GitSourceStatus{} }
	cases := map[string]struct {
		reason string
		change func(*gitopsv1alpha1.GitSource)
		writes bool
	}{
		"Younger":    {"Who came later takes nothing away.", by(time.Second), false},
		"Older":      {"Whatever its name is.", func(s *gitopsv1alpha1.GitSource) { by(-time.Second)(s); s.Name = "z" }, true},
		"SameSecond": {"Time has a resolution of a second: then names tell.", func(*gitopsv1alpha1.GitSource) {}, true},
		"NameAfter":  {"The other one writes.", func(s *gitopsv1alpha1.GitSource) { s.Name = "z" }, false},
		"Namespace":  {"Nobody has a say in the namespace of another.", func(s *gitopsv1alpha1.GitSource) { by(-time.Hour)(s); s.Namespace = "a" }, false},
		"SSH": {"It is the same repository at the forge.", func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL = "ssh://git@git.example.com/Acme/shop"
		}, true},
		"Borrowed": {"The URL is known once it was borrowed.", func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL, s.Status.URL = "", s.Spec.URL
		}, true},
		"Paths":       {"No context has a folder in it.", func(s *gitopsv1alpha1.GitSource) { s.Spec.Paths = []string{"a"} }, true},
		"Repository":  {"It writes on other commits.", func(s *gitopsv1alpha1.GitSource) { s.Spec.URL = "https://git.example.com/acme/cart" }, false},
		"Environment": {"It writes other contexts.", func(s *gitopsv1alpha1.GitSource) { s.Spec.Environment = "staging" }, false},
		"Ahead":       {"It has seen what the other will see.", func(s *gitopsv1alpha1.GitSource) { s.Status.ObservedRevision = "main@sha1:" + other }, true},
		"Branch":      {"It is on other commits.", func(s *gitopsv1alpha1.GitSource) { s.Status.ObservedRevision = "next@sha1:" + other }, false},
		"SameCommit":  {"Its branch has just begun.", func(s *gitopsv1alpha1.GitSource) { s.Status.ObservedRevision = "next@sha1:" + sha }, true},
		"BareCommit":  {"That both have no name is not one name.", func(s *gitopsv1alpha1.GitSource) { s.Status.ObservedRevision = "sha1:" + other }, false},
		"Refused": {"It tries again, and two must not write over each other by turns.", func(s *gitopsv1alpha1.GitSource) {
			condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Failed(gitopsv1alpha1.ForgeFailedReason, "502"))
		}, true},
		"Mute": {"It has no token, and writes nothing.", func(s *gitopsv1alpha1.GitSource) {
			condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Failed(gitopsv1alpha1.NoCredentialsReason, "none"))
		}, false},
		"Locked": {"It cannot be read any more, and will not see the next commit.", func(s *gitopsv1alpha1.GitSource) {
			s.Status.ObservedRevision = "main@sha1:" + other
			condition.Summarize(s, condition.Failed(gitopsv1alpha1.AuthenticationFailedReason, "refused"))
		}, false},
		"LockedSince": {"What it has said of this commit stays.", func(s *gitopsv1alpha1.GitSource) {
			condition.Summarize(s, condition.Failed(gitopsv1alpha1.AuthenticationFailedReason, "refused"))
		}, true},
		"Unreachable": {"It is tried again.", func(s *gitopsv1alpha1.GitSource) {
			s.Status.ObservedRevision = "main@sha1:" + other
			condition.Summarize(s, condition.Waiting(gitopsv1alpha1.FetchFailedReason, "down"))
		}, true},
		"Suspended": {"It will not see the next commit.", func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Suspend, s.Status.ObservedRevision = true, "main@sha1:"+other
		}, false},
		"Reporting": {"Its status is on its way.", func(s *gitopsv1alpha1.GitSource) {
			condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Waiting("Reporting", "soon"))
		}, true},
		"New":          {"Both were created at once, and it is about to be read.", anew, true},
		"NewElsewhere": {"Nobody knows whether the other controller runs.", func(s *gitopsv1alpha1.GitSource) { anew(s); s.Labels = map[string]string{shard.Label: "a"} }, false},
		"Unread": {"It cannot be read, and writes nothing.", func(s *gitopsv1alpha1.GitSource) {
			anew(s)
			condition.Summarize(s, condition.Failed(gitopsv1alpha1.AuthenticationFailedReason, "refused"))
		}, false},
		"Forge": {"It reports to the forge, and the other keeps notes.", func(s *gitopsv1alpha1.GitSource) { s.Spec.Provider = gitopsv1alpha1.GiteaProvider }, false},
		"ForgeAndNotes": {"It keeps notes as well.", func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Provider, s.Spec.Statuses = gitopsv1alpha1.GiteaProvider, &gitopsv1alpha1.Statuses{Notes: true}
		}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			source, rival := readSource("n"), readSource("m", tc.change)
			got := writer(t, source, rival)
			if (got != nil) != tc.writes {
				t.Errorf("%s\nit writes: %t, want %t", tc.reason, got != nil, tc.writes)
			}
		})
	}
}

func TestOfSeveralSourcesTheVeryFirstWrites(t *testing.T) {
	taken := func(s *gitopsv1alpha1.GitSource) {
		condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Failed(gitopsv1alpha1.ContextTakenReason, "taken"))
	}
	got := writer(t, readSource("c"), readSource("a", by(-time.Second), taken), readSource("b", by(-time.Minute)))
	if got == nil || got.Name != "b" {
		t.Errorf("got %v", got)
	}
}

func TestASourceYieldsOnlyToOneThatReportsWhereverItDoes(t *testing.T) {
	at := func(provider gitopsv1alpha1.Provider, api string, notes bool) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Provider, s.Spec.Statuses = provider, &gitopsv1alpha1.Statuses{APIURL: api, Notes: notes}
		}
	}
	github, gitlab := at(gitopsv1alpha1.GitHubProvider, "", false), at(gitopsv1alpha1.GitLabProvider, "", false)
	both := at(gitopsv1alpha1.GitHubProvider, "", true)
	cases := map[string]struct {
		reason     string
		first, own func(*gitopsv1alpha1.GitSource)
		yields     bool
	}{
		"Same":        {"Both report to one forge.", github, github, true},
		"Both":        {"And keep notes.", both, both, true},
		"ForgeOfBoth": {"The first keeps notes besides.", both, github, true},
		"NotesOfBoth": {"Nobody else would keep the notes.", github, both, false},
		"Generic":     {"Nobody else would report to the forge.", at(gitopsv1alpha1.GenericProvider, "", false), both, false},
		"Forges":      {"They are two kinds.", gitlab, github, false},
		"APIs":        {"One of them is elsewhere.", at(gitopsv1alpha1.GitHubProvider, "https://elsewhere.example", false), github, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := writer(t, readSource("n", tc.own), readSource("m", tc.first)); (got != nil) != tc.yields {
				t.Errorf("%s\nit yields: %t", tc.reason, got != nil)
			}
		})
	}
}

func TestSourcesAreWokenByWhatAnotherWritesAlone(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*gitopsv1alpha1.GitSource)
		want   bool
	}{
		"Spec":     {"It may have another environment.", func(s *gitopsv1alpha1.GitSource) { s.Generation++ }, true},
		"Shard":    {"Another controller reads it.", func(s *gitopsv1alpha1.GitSource) { s.Labels = map[string]string{shard.Label: "a"} }, true},
		"Borrowed": {"It reads another repository.", func(s *gitopsv1alpha1.GitSource) { s.Status.URL = "https://git.example.com/b" }, true},
		"Revision": {"It may watch something else.", func(s *gitopsv1alpha1.GitSource) { s.Status.ObservedRevision = "next@sha1:" + sha }, true},
		"Apps":     {"It has another app.", func(s *gitopsv1alpha1.GitSource) { s.Status.Lifecycles = []gitopsv1alpha1.FoundLifecycle{{App: "a"}} }, true},
		"Mute": {"It writes nothing more.", func(s *gitopsv1alpha1.GitSource) {
			condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Failed(gitopsv1alpha1.NoCredentialsReason, "none"))
		}, true},
		"Locked": {"It will not see the next commit.", func(s *gitopsv1alpha1.GitSource) {
			condition.Summarize(s, condition.Failed(gitopsv1alpha1.AuthenticationFailedReason, "refused"))
		}, true},
		"PullRequests": {"It tells them nothing.", func(s *gitopsv1alpha1.GitSource) {
			condition.Set(s, gitopsv1alpha1.PullRequestsCondition, condition.Failed(gitopsv1alpha1.NoPullRequestsReason, "none"))
		}, true},
		"Reporting": {"It goes on.", func(s *gitopsv1alpha1.GitSource) {
			condition.Set(s, gitopsv1alpha1.ReportedCondition, condition.Waiting("Reporting", "soon"))
		}, false},
		"Request": {"A look is asked of it alone.", func(s *gitopsv1alpha1.GitSource) {
			s.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "1"}
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := report.WritesOtherwise().Update(event.UpdateEvent{ObjectOld: readSource("a"), ObjectNew: readSource("a", tc.change)})
			if got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

// writer is who writes a source's contexts in its place among others.
func writer(t *testing.T, source *gitopsv1alpha1.GitSource, others ...client.Object) *gitopsv1alpha1.GitSource {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(others, source)...)
	if err := report.AddIndexes(t.Context(), indexer{builder}); err != nil {
		t.Fatal(err)
	}
	got, err := report.Writer(t.Context(), builder.Build(), source, func(*gitopsv1alpha1.GitSource) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return got
}
