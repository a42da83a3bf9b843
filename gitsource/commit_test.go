package gitsource

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

func TestACommitIsAsGitShowsIt(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	root := repo.Commit("main", "root\n", map[string]string{"a": "1"})
	repo.Import("commit refs/heads/main\nauthor Zoë <zoe@example.com> 1700000000 +0130\n" +
		"committer Bob <bob@example.com> 1700000100 -0700\ndata 30\nA subject\nin two lines\n\nBody\xff\n" +
		"from refs/heads/main^0\n")
	sha := repo.Git("rev-parse", "main")
	c, err := open(t, newStore(t), repo.URL).Commit(t.Context(), sha)
	if err != nil {
		t.Fatal(err)
	}
	want := &Commit{
		SHA: sha, Tree: repo.Git("rev-parse", sha+"^{tree}"), Parents: []string{root},
		Author:    Signature{"Zoë", "zoe@example.com", time.Unix(1700000000, 0).In(time.FixedZone("", 5400))},
		Committer: Signature{"Bob", "bob@example.com", time.Unix(1700000100, 0).In(time.FixedZone("", -7*3600))},
		Message:   "A subject\nin two lines\n\nBody\uFFFD\n",
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if got := c.Author.When.Format(time.RFC3339); got != "2023-11-14T23:43:20+01:30" {
		t.Errorf("author time in the author's zone: %s", got)
	}
	if got := c.Subject(); got != "A subject in two lines" {
		t.Errorf("Subject(): %q", got)
	}
}

func TestWhatIsNoCommitIsNotFound(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Create(t, "app")
	sha := repo.Commit("main", "root", map[string]string{"a/b": "1"})
	repo.Tag("v1", sha, "An annotated tag")
	cases := map[string]struct{ reason, sha string }{
		"Tree": {"A folder is no commit.", repo.Git("rev-parse", "main:a")},
		"Root": {"Nor is what a commit has in it.", repo.Git("rev-parse", "main^{tree}")},
		"Blob": {"Nor is a file.", repo.Git("rev-parse", "main:a/b")},
		"Tag":  {"An annotated tag names a commit, and is none.", repo.Git("rev-parse", "v1")},
		"Gone": {"And what is not there is none.", strings.Repeat("1", 40)},
	}
	for where, url := range map[string]string{"InPlace": repo.Dir, "Fetched": repo.URL} {
		for name, tc := range cases {
			t.Run(where+"/"+name, func(t *testing.T) {
				r := open(t, newStore(t), url)
				if _, err := r.Commit(t.Context(), tc.sha); !errors.Is(err, ErrCommitNotFound) || !strings.Contains(err.Error(), tc.sha) {
					t.Errorf("%s\nbefore a commit was read: %v", tc.reason, err)
				}
				if _, err := r.Commit(t.Context(), sha); err != nil {
					t.Fatal(err)
				}
				if _, err := r.Commit(t.Context(), tc.sha); !errors.Is(err, ErrCommitNotFound) {
					t.Errorf("%s\nafter a commit was read: %v", tc.reason, err)
				}
				if _, err := r.Commit(t.Context(), sha); err != nil {
					t.Errorf("%s\nand then the commit: %v", tc.reason, err)
				}
			})
		}
	}
}

// messages are read by Git's own interpret-trailers and by ours.
var messages = map[string]string{
	"Plain":           "subject\n\nbody\n\nSigned-off-by: A <a@x>\nReviewed-by: B <b@x>\n",
	"None":            "subject\n\nbody\n",
	"SubjectOnly":     "Key: value\n",
	"SubjectTwice":    "Key: value\nOther: value\n",
	"Directly":        "subject\n\nKey: value\n",
	"Continued":       "subject\n\nKey: value\n  goes on\n\tand on\nOther: x\n",
	"Mixed":           "subject\n\nsome prose here\nKey: value\n",
	"MixedGenerated":  "subject\n\nsome prose\nSigned-off-by: A <a@x>\nmore prose\n",
	"TooMuchProse":    "subject\n\none\ntwo\nthree\nfour\nSigned-off-by: A <a@x>\n",
	"CherryPick":      "subject\n\nKey: value\n(cherry picked from commit 0123456789012345678901234567890123456789)\n",
	"Divider":         "subject\n\nKey: value\n---\n a | 2 +-\n",
	"TrailingBlank":   "subject\n\nKey: value\n\n\n",
	"SpaceBefore":     "subject\n\nKey : value\n",
	"NotAKey":         "subject\n\nBad key: value\n",
	"NoValue":         "subject\n\nKey:\n",
	"Repeated":        "subject\n\nKey: a\nKey: b\n",
	"BlankWithSpaces": "subject\n   \nKey: value\n",
	"LeadingSpace":    "subject\n\n  indented: x\nKey: value\n",
	"URL":             "subject\n\nsee https://example.com\n",
	"Comment":         "subject\n\nKey: value\n# comment\n",
	"Empty":           "",
}

func TestTrailersAreThoseOfGitInterpretTrailers(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git binary in PATH")
	}
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(git, "interpret-trailers", "--parse", "--unfold")
			cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(message)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, tr := range (&Commit{Message: message}).Trailers() {
				got.WriteString(strings.TrimRight(tr.Key+": "+tr.Value, " ") + "\n")
			}
			want := ""
			for line := range strings.Lines(string(out)) {
				want += strings.TrimRight(line, " \n") + "\n"
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("message %q\n%s", message, diff)
			}
		})
	}
}

func FuzzTrailers(f *testing.F) {
	for _, m := range messages {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, message string) {
		for _, tr := range (&Commit{Message: message}).Trailers() {
			if tr.Key == "" || !strings.Contains(message, tr.Key) || strings.Contains(tr.Value, "\n") {
				t.Errorf("%q: trailer %+v", message, tr)
			}
		}
	})
}
