package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource"
)

func at(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }

func TestTheNewestCommitUpToTheRolloutExplainsIt(t *testing.T) {
	type seen struct {
		sha            string
		minute         int
		renders, named bool
	}
	cases := map[string]struct {
		reason  string
		commits []seen
		want    string
		seen    string
	}{
		"SeenBefore":  {"What was seen before the start was there, whatever its author's clock says.", []seen{{"c", 5, true, false}, {"b", -1, true, false}}, "c Content", "c"},
		"None":        {"Nothing fits.", []seen{{"c", 2, false, false}}, "", ""},
		"Newest":      {"Of those before the start the newest counts.", []seen{{"c", 0, true, false}, {"b", -1, true, false}}, "c Content", ""},
		"AtTheStart":  {"A commit can be of the second of the rollout.", []seen{{"c", 0, true, false}}, "c Content", ""},
		"TooNew":      {"One before the start goes before one after it.", []seen{{"c", 5, true, false}, {"b", -1, true, false}}, "b Content", ""},
		"OnlyTooNew":  {"Clocks can be wrong: the first one after the start is the likeliest.", []seen{{"d", 9, true, false}, {"c", 5, true, false}}, "c Content", ""},
		"Named":       {"An annotation counts where no content fits.", []seen{{"c", 0, false, true}}, "c Annotation", ""},
		"ContentWins": {"Content is the stronger evidence.", []seen{{"c", 0, false, true}, {"b", -1, true, false}}, "b Content", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			best := choice{start: noon}
			for _, c := range tc.commits {
				commit := &gitsource.Commit{SHA: c.sha, Committer: gitsource.Signature{When: at(c.minute)}}
				s := &scope{lc: &gitopsv1alpha1.Lifecycle{}}
				if tc.seen == c.sha {
					s.lc.Status.Commits = []gitopsv1alpha1.AppCommit{{SHA: c.sha, SeenAt: *phase.Time(at(-1))}}
				}
				if best.weigh(commit, s.existedBy(commit, best.start), c.renders, c.named) {
					break
				}
			}
			got := ""
			if m := best.match(); m != nil {
				got = m.commit.SHA + " " + string(m.evidence)
			}
			if got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestAnAnnotationHasToNameTheCommitClearly(t *testing.T) {
	const sha = "0123456789abcdef0123456789abcdef01234567"
	cases := map[string]struct {
		reason string
		claims []string
		want   bool
	}{
		"Full":     {"The whole name.", []string{sha}, true},
		"Short":    {"Seven digits will do.", []string{sha[:7]}, true},
		"TooShort": {"Six could be another's.", []string{sha[:6]}, false},
		"Other":    {"It is another commit.", []string{"fffffff"}, false},
		"Mixed":    {"All workloads have to agree.", []string{sha, ""}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var live []*workload.Workload
			for _, c := range tc.claims {
				live = append(live, &workload.Workload{Commit: c})
			}
			if got := annotated(live, sha); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestTheTimeOfATemplateIsThatOfItsLastWriter(t *testing.T) {
	entry := func(minute int, subresource, fields string) metav1.ManagedFieldsEntry {
		when := metav1.NewTime(at(minute))
		return metav1.ManagedFieldsEntry{Time: &when, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const template = `{"f:spec":{"f:template":{"f:spec":{}}}}`
	cases := map[string]struct {
		reason  string
		entries []metav1.ManagedFieldsEntry
		want    int
	}{
		"Unknown":  {"It is as old as the object.", nil, 0},
		"Newest":   {"The last of two writers counts.", []metav1.ManagedFieldsEntry{entry(2, "", template), entry(5, "", template), entry(3, "", template)}, 5},
		"Scaled":   {"Who changes the replicas changes no template.", []metav1.ManagedFieldsEntry{entry(2, "", template), entry(5, "", `{"f:spec":{"f:replicas":{}}}`)}, 2},
		"Status":   {"Nor does who writes the status.", []metav1.ManagedFieldsEntry{entry(2, "", template), entry(5, "status", template)}, 2},
		"Earlier":  {"Nothing is older than the object.", []metav1.ManagedFieldsEntry{entry(-5, "", template)}, 0},
		"Timeless": {"An entry need not have a time.", []metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(template)}}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(noon), ManagedFields: tc.entries}}
			w, err := workload.Observe(workload.Deployment, d)
			if err != nil {
				t.Fatal(err)
			}
			if !w.WrittenAt.Equal(at(tc.want)) {
				t.Errorf("%s\ngot %s, want %s", tc.reason, w.WrittenAt, at(tc.want))
			}
		})
	}
}

func TestATemplateThatComesBackIsAnotherAttempt(t *testing.T) {
	kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}
	kav.Spec.Workloads = []lifecyclev1.KeptnWorkloadRef{
		{Kind: "Deployment", Name: "web", TemplateHash: "h", AppliedAt: phase.Time(noon)},
		{Kind: "Deployment", Name: "worker"},
	}
	cases := map[string]struct {
		reason, name string
		written      time.Time
		state        lifecyclev1.KeptnState
		want         bool
	}{
		"Same":     {"It is the same rollout, seen again.", "web", noon.Add(900 * time.Millisecond), succeeded, false},
		"Again":    {"It was written anew.", "web", noon.Add(time.Second), succeeded, true},
		"UnderWay": {"The delivery goes on: it was not seen to lose the template.", "web", at(5), progressing, false},
		"First":    {"It never had the template.", "worker", at(5), succeeded, false},
		"Stranger": {"The delivery does not know it.", "other", at(5), succeeded, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav.Status.Status = tc.state
			tied := []*workload.Workload{{Kind: "Deployment", Namespace: "shop", Name: tc.name, TemplateHash: "h", WrittenAt: tc.written}}
			if got := cameBack(kav, tied); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

// list are commits, newest first, a minute apart; those that begin with "x" are
// an hour old.
func list(shas ...string) []gitopsv1alpha1.AppCommit {
	commits := []gitopsv1alpha1.AppCommit{}
	for i, sha := range shas {
		c := gitopsv1alpha1.AppCommit{SHA: sha, CommittedAt: metav1.NewTime(at(-i))}
		if strings.HasPrefix(sha, "x") {
			c.CommittedAt = metav1.NewTime(at(-60))
		}
		commits = append(commits, c)
	}
	return commits
}

func shasOf(commits []gitopsv1alpha1.AppCommit) []string {
	shas := []string{}
	for _, c := range commits {
		shas = append(shas, c.SHA)
	}
	return shas
}

// many are n names that begin with a letter.
func many(letter string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = letter + string(rune('a'+i))
	}
	return names
}

func TestTheNewestCommitsAreKept(t *testing.T) {
	cases := map[string]struct {
		reason             string
		fresh, known, want []string
	}{
		"First":    {"There was none.", []string{"a"}, nil, []string{"a"}},
		"More":     {"New ones come first.", []string{"c", "b"}, []string{"a"}, []string{"c", "b", "a"}},
		"Repeated": {"None is there twice.", []string{"c", "b"}, []string{"b", "a"}, []string{"c", "b", "a"}},
		"Full":     {"The oldest are dropped.", []string{"new"}, many("k", maxCommits), append([]string{"new"}, many("k", maxCommits)[:maxCommits-1]...)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, shasOf(merged(list(tc.fresh...), list(tc.known...)))); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestADeliveredCommitIsRemembered(t *testing.T) {
	cases := map[string]struct {
		reason      string
		known, want []string
		at          int
	}{
		"Known":      {"It is there already.", []string{"x", "a"}, []string{"x", "a"}, -60},
		"InOrder":    {"It comes to its place in time.", []string{"a", "b"}, []string{"a", "b", "x"}, -60},
		"Newest":     {"It can be the newest.", []string{"a", "b"}, []string{"x", "a", "b"}, 60},
		"FellOut":    {"An old one that is delivered takes the last place.", many("k", maxCommits), append(many("k", maxCommits)[:maxCommits-1], "x"), -60},
		"NewAndFull": {"A new one takes its place, and the oldest is dropped.", many("k", maxCommits), append([]string{"x"}, many("k", maxCommits)[:maxCommits-1]...), 60},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			known := list(tc.known...)
			got := remember(known, "x", at(tc.at), noon)
			if diff := cmp.Diff(tc.want, shasOf(got)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if !slices.Equal(shasOf(known), tc.known) {
				t.Errorf("%s\nthe given list was changed", tc.reason)
			}
		})
	}
}
