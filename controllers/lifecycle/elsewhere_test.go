package lifecycle

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// bringing is a delivery of a commit, with images that were built from others.
func bringing(commit string, built ...string) lifecyclev1.KeptnAppVersion {
	kav := lifecyclev1.KeptnAppVersion{}
	kav.Spec.Commit = &lifecyclev1.Commit{SHA: commit}
	kav.Status.Provenance = &lifecyclev1.Provenance{}
	for _, sha := range built {
		kav.Status.Provenance.Commits = append(kav.Status.Provenance.Commits, lifecyclev1.SourceCommit{SHA: sha, Source: "app"})
	}
	return kav
}

func TestADeliverySpeaksOfWhatItBringsAnew(t *testing.T) {
	unknown := bringing("b")
	unknown.Status.Provenance = nil
	cases := map[string]struct {
		reason     string
		deliveries []lifecyclev1.KeptnAppVersion
		want       []string
	}{
		"First":    {"Before it there was nothing.", []lifecyclev1.KeptnAppVersion{bringing("a", "1", "2")}, []string{"1", "2"}},
		"OneOfTwo": {"The other image is as it was.", []lifecyclev1.KeptnAppVersion{bringing("b", "1", "3"), bringing("a", "1", "2")}, []string{"3"}},
		"Again":    {"A further attempt at a commit is of what that commit brought.", []lifecyclev1.KeptnAppVersion{bringing("b", "1", "3"), bringing("b", "1", "3"), bringing("a", "1", "2")}, []string{"3"}},
		"Rollback": {"What was taken away comes back.", []lifecyclev1.KeptnAppVersion{bringing("a", "1", "2"), bringing("b", "1", "3"), bringing("a", "1", "2")}, []string{"2"}},
		"Unknown":  {"What is not known of one says nothing of the one before.", []lifecyclev1.KeptnAppVersion{bringing("c", "1", "3"), unknown, bringing("a", "1")}, []string{"3"}},
	}
	for name, tc := range cases {
		var got []string
		for _, c := range broughtAnew(tc.deliveries, 0) {
			got = append(got, c.SHA)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s\n(-want +got):\n%s", name, tc.reason, diff)
		}
	}
}
