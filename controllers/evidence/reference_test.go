package evidence_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/gitsource"
)

const appCommit = "b82add298aa045d3672880802d5305c5a8aaa46e"

func TestACommitRefersToTheAppsCommit(t *testing.T) {
	zone := time.FixedZone("", -4*60*60)
	cases := map[string]struct {
		reason  string
		message string
		want    evidence.Reference
		found   bool
	}{
		"All": {
			reason: "The trailers of Argo CD's documentation.",
			message: "chore: bump image to b82add2\n\n" +
				"Argocd-reference-commit-author: Author Name <author@example.com>\n" +
				"Argocd-reference-commit-sha: " + appCommit + "\n" +
				"Argocd-reference-commit-subject: chore: make a change\n" +
				`Argocd-reference-commit-body: "make a change\n\nSigned-off-by: Author Name <author@example.com>"` + "\n" +
				"Argocd-reference-commit-repourl: https://robot:token@git.example.com/owner/repo\n" +
				"Argocd-reference-commit-date: 2025-06-09T13:50:18-04:00\n" +
				"Signed-off-by: CI <ci@example.com>\n",
			want: evidence.Reference{
				SHA: appCommit, Repository: "https://git.example.com/owner/repo",
				Author: "Author Name <author@example.com>", Date: time.Date(2025, 6, 9, 13, 50, 18, 0, zone),
				Subject: "chore: make a change", Body: "make a change\n\nSigned-off-by: Author Name <author@example.com>",
			},
			found: true,
		},
		"Case": {
			reason:  "Git does not tell the cases of keys apart; the last one counts.",
			message: "bump\n\nargocd-reference-commit-sha: 1234567\nARGOCD-REFERENCE-COMMIT-SHA: " + appCommit,
			want:    evidence.Reference{SHA: appCommit},
			found:   true,
		},
		"SSH": {
			reason:  "What SSH takes in place of a URL is one.",
			message: "bump\n\nArgocd-reference-commit-sha: " + appCommit + "\nArgocd-reference-commit-repourl: git@github.com:acme/shop.git",
			want:    evidence.Reference{SHA: appCommit, Repository: "git@github.com:acme/shop.git"},
			found:   true,
		},
		"Malformed": {
			reason: "What is not well-formed is passed over.",
			message: "bump\n\nArgocd-reference-commit-sha: " + appCommit + "\nArgocd-reference-commit-sha: HEAD\nArgocd-reference-commit-author: nobody\n" +
				"Argocd-reference-commit-date: yesterday\nArgocd-reference-commit-body: plain\nArgocd-reference-commit-repourl: %zz\nArgocd-reference-commit-other: x",
			want:  evidence.Reference{SHA: appCommit},
			found: true,
		},
		"Huge": {
			reason:  "A trailer has a bound.",
			message: "bump\n\nArgocd-reference-commit-sha: " + appCommit + "\nArgocd-reference-commit-subject: " + strings.Repeat("x", 1<<17),
			want:    evidence.Reference{SHA: appCommit},
			found:   true,
		},
		"NoCommit": {
			reason:  "Without a commit there is no reference.",
			message: "bump\n\nArgocd-reference-commit-subject: chore: make a change",
			want:    evidence.Reference{Subject: "chore: make a change"},
		},
		"NoTrailer": {
			reason:  "A line of the body is no trailer.",
			message: "bump\n\nArgocd-reference-commit-sha: " + appCommit + "\n\nThis was the body.",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, found := evidence.ReferenceIn((&gitsource.Commit{Message: tc.message}).Trailers())
			sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
			if diff := cmp.Diff(tc.want, got, sameTime); diff != "" || found != tc.found {
				t.Errorf("%s\nfound %v (-want +got):\n%s", tc.reason, found, diff)
			}
		})
	}
}

func TestAHydratedCommitSaysWhatItWasMadeOf(t *testing.T) {
	file, err := os.ReadFile("testdata/hydrator.metadata")
	if err != nil {
		t.Fatal(err)
	}
	dry, refersTo, err := evidence.Hydrated(file)
	if err != nil || len(refersTo) != 1 {
		t.Fatalf("%+v, %+v, %v", dry, refersTo, err)
	}
	if dry.SHA != "6cb951525937865dced818bbdd78c89b2d2b3045" || dry.Repository != "https://git.example.com/owner/manifests-repo" || dry.Author != "CI <ci@example.com>" {
		t.Errorf("made of %+v", dry)
	}
	if r := refersTo[0]; r.SHA != appCommit || r.Repository != "https://git.example.com/owner/repo" || r.Author != `"Author Name" <author@example.com>` {
		t.Errorf("refers to %+v", r)
	}
}

func TestHydratorMetadataThatIsNoneIsSaid(t *testing.T) {
	cases := map[string]struct{ reason, file, want string }{
		"NoJSON":  {"It is a file of anyone's.", "drySha: x", "invalid character"},
		"NoSHA":   {"It has to name a commit.", `{"drySha":"HEAD"}`, `"HEAD"`},
		"Large":   {"It has a bound.", strings.Repeat(" ", 1<<20+1), "at most"},
		"NoAutho": {"An author is a person.", `{"drySha":"` + appCommit + `","author":7}`, "author 7"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := evidence.Hydrated([]byte(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\ngot %v, want it to say %q", tc.reason, err, tc.want)
			}
		})
	}
	dry, refersTo, err := evidence.Hydrated([]byte(`{"drySha":"` + appCommit + `","references":[{},{"commit":{"sha":"HEAD"}}]}`))
	if err != nil || dry.SHA != appCommit || len(refersTo) > 0 {
		t.Errorf("%+v, %+v, %v: references without a commit are passed over", dry, refersTo, err)
	}
}

func TestAReferenceIsAClaim(t *testing.T) {
	deployed := doubting(byApps(newer, "main@sha1:"+newer, "2025-08-15T11:12:00Z"), "perhaps")
	got := evidence.Reference{SHA: appCommit, Repository: "https://github.com/acme/shop"}.Claim(deployed)
	want := evidence.Claim{
		Evidence: evidence.Trailer, By: "commit " + newer + " of " + fleet, Repository: "https://github.com/acme/shop",
		Commit: appCommit, Revision: appCommit, At: at("2025-08-15T11:12:00Z"), Doubt: "perhaps",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a chain is as certain as what it begins with (-want +got):\n%s", diff)
	}
}
