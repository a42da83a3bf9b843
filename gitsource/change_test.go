package gitsource

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/gittest"
)

var proposedAt = time.Date(2026, 5, 6, 7, 8, 9, 0, time.FixedZone("", 2*60*60))

// proposal sets apps/prod/values.yaml on top of a commit.
func proposal(onto, content string) Proposal {
	return Proposal{
		Onto: onto, Branch: "keptn/promote/staging/shop", Message: "Promote shop\n\nKeptn-App: shop",
		Author: Signature{Name: "Kate <k>", Email: "kate@example.com", When: proposedAt},
		Files:  map[string][]byte{"apps/prod/values.yaml": []byte(content)},
	}
}

func propose(t testing.TB, r *Repository, p Proposal) string {
	t.Helper()
	commit, changed, err := r.Propose(t.Context(), p)
	if err != nil || !changed {
		t.Fatalf("Propose: changed %t, %v", changed, err)
	}
	return commit
}

// deployed is a repository with something in every place that must stay as it is.
func deployed(t testing.TB, srv *gittest.Server) (repo *gittest.Repo, tip string) {
	repo = srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{
		"apps/prod/values.yaml": "tag: v1\n", "apps/prod.yaml": "1", "apps/prod/link@": "values.yaml",
		"apps/staging/a": "1", "README": "1",
	})
	repo.Import("commit refs/heads/main\ncommitter C <c@x> 1700000000 +0000\ndata 3\ntwo\nfrom refs/heads/main^0\n" +
		"M 100755 inline apps/prod/run.sh\ndata 2\n#!\n")
	return repo, repo.Git("rev-parse", "main")
}

func TestAProposalIsOneCommitThatGitReads(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	ssh := newSSHServer(t)
	for place, remote := range map[string]func() *Repository{
		"http":  func() *Repository { return open(t, newStore(t), repo.URL) },
		"local": func() *Repository { return open(t, newStore(t), repo.Dir) },
		"ssh": func() *Repository {
			r, err := ssh.open(t, newStore(t), repo.Dir, asItIs)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	} {
		t.Run(place, func(t *testing.T) {
			repo.Git("update-ref", "-d", "refs/heads/keptn/promote/staging/shop") // of the other place
			p := proposal(tip, "tag: v2\n")
			p.Files["apps/prod/run.sh"] = []byte("#!/bin/sh\n")
			p.Files["apps/prod/new/deep/file"] = []byte("new")
			commit := propose(t, remote(), p)

			if got := repo.Git("rev-parse", p.Branch, p.Branch+"^"); got != commit+"\n"+tip {
				t.Errorf("the branch and its parent are\n%s\nwant\n%s\n%s", got, commit, tip)
			}
			want := ":100755 100755 M\tapps/prod/run.sh\n:100644 100644 M\tapps/prod/values.yaml\n:000000 100644 A\tapps/prod/new/deep/file"
			var got []string
			for line := range strings.Lines(repo.Git("diff", "--raw", "--no-renames", tip, commit)) {
				f := strings.Fields(line)
				got = append(got, f[0]+" "+f[1]+" "+f[4]+"\t"+f[5])
			}
			if !sameLines(strings.Join(got, "\n"), want) {
				t.Errorf("it changes\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
			if got := repo.Git("log", "-1", "--format=%an|%ae|%ai|%cn|%ci|%B", commit); got !=
				"Kate k|kate@example.com|2026-05-06 07:08:09 +0200|Kate k|2026-05-06 07:08:09 +0200|Promote shop\n\nKeptn-App: shop\n" {
				t.Errorf("the commit says %q", got)
			}
			if got := repo.Git("show", commit+":apps/prod/values.yaml"); got != "tag: v2" {
				t.Errorf("the file is %q", got)
			}
			repo.Git("fsck", "--strict")
		})
	}
}

func sameLines(a, b string) bool {
	return strings.Join(sortUnique(strings.Split(a, "\n")), "\n") == strings.Join(sortUnique(strings.Split(b, "\n")), "\n")
}

func TestTheSameProposalIsTheSameCommitAndPushedOnce(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	r := open(t, newStore(t), repo.URL)
	first := propose(t, r, proposal(tip, "tag: v2\n"))
	repo.DeleteBranch("keptn/promote/staging/shop")
	if again := propose(t, open(t, newStore(t), repo.URL), proposal(tip, "tag: v2\n")); again != first {
		t.Errorf("made once more it is %s, not %s", again, first)
	}
	srv.ResetTraffic()
	if again := propose(t, r, proposal(tip, "tag: v2\n")); again != first {
		t.Errorf("it became %s, not %s", again, first)
	}
	requests(t, srv, 1, "a proposal that is there")
}

func TestABranchWithTheSameChangeIsLeftToItsAuthor(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	p := proposal(tip, "tag: v2\n")
	repo.ForcePush(p.Branch, tip)
	theirs := repo.Commit(p.Branch, "reworded", map[string]string{"apps/prod/values.yaml": "tag: v2\n"})
	if got := propose(t, open(t, newStore(t), repo.URL), p); got != theirs {
		t.Errorf("the branch is at %s, want theirs at %s", got, theirs)
	}
}

func TestAProposalFollowsWhatItGoesOnto(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	r := open(t, newStore(t), repo.URL)
	propose(t, r, proposal(tip, "tag: v2\n"))
	moved := repo.Commit("main", "elsewhere", map[string]string{"README": "2"})
	commit := propose(t, r, proposal(moved, "tag: v2\n"))
	if got := repo.Git("rev-parse", "keptn/promote/staging/shop^"); got != moved {
		t.Errorf("it is on top of %s, want %s", got, moved)
	}
	if got := repo.Git("rev-list", "--count", moved+".."+commit); got != "1" {
		t.Errorf("it has %s commits, want 1", got)
	}
}

func TestAMergedBranchIsNotTakenForANewProposal(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	r := open(t, newStore(t), repo.URL)
	merged := propose(t, r, proposal(tip, "tag: v2\n"))
	repo.ForcePush("main", merged)
	back := repo.Commit("main", "Revert", map[string]string{"apps/prod/values.yaml": "tag: v1\n"})
	again := propose(t, r, proposal(back, "tag: v2\n"))
	if got := repo.Git("rev-parse", "keptn/promote/staging/shop", again+"^"); got != again+"\n"+back {
		t.Errorf("the branch and its parent are\n%s\nwant\n%s\n%s", got, again, back)
	}
}

func TestWhatIsThereAlreadyMakesNoBranch(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	commit, changed, err := open(t, newStore(t), repo.URL).Propose(t.Context(), proposal(tip, "tag: v1\n"))
	if err != nil || changed || commit != "" {
		t.Errorf("Propose: %q, changed %t, %v; want nothing", commit, changed, err)
	}
	if got := repo.Git("branch", "--list", "keptn/*"); got != "" {
		t.Errorf("there is a branch: %s", got)
	}
}

func TestAProposalSendsOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	files := map[string]string{"apps/prod/values.yaml": "tag: v1\n"}
	for i := range 200 {
		files[fmt.Sprintf("apps/other/file-%d", i)] = noise(uint64(i), 2000)
	}
	tip := repo.Commit("main", "one", files)
	r := open(t, newStore(t), repo.URL)
	fetch(t, r, Ref{Branch: "main"})
	srv.ResetTraffic()
	propose(t, r, proposal(tip, "tag: v2\n"))
	if got := srv.Traffic(); got.Received > 4<<10 || got.Sent > 8<<10 || got.Requests > 4 {
		t.Errorf("one line took %+v, want a few kB of 400 in at most 4 requests", got)
	}
}

func TestABranchThatMovesMeanwhileIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	r := open(t, newStore(t), repo.URL)
	p := proposal(tip, "tag: v2\n")
	moves := 0
	srv.Intercept(func(req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/git-receive-pack") && moves < 1 {
			moves++
			repo.ForcePush(p.Branch, tip)
			repo.Commit(p.Branch, "racer", map[string]string{"racer": "1"})
		}
	})
	commit := propose(t, r, p)
	if got := repo.Git("rev-parse", p.Branch); got != commit || moves != 1 {
		t.Errorf("after %d moves the branch is at %s, want %s", moves, got, commit)
	}
}

func TestABranchThatIsNotTakenIsAnError(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	hook := "#!/bin/sh\necho protected >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(repo.Dir, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err := open(t, newStore(t), repo.URL).Propose(t.Context(), proposal(tip, "tag: v2\n"))
	if !errors.Is(err, ErrBranchRejected) {
		t.Errorf("a hook declines: %v", err)
	}
}

func TestAProposalThatGitCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo, tip := deployed(t, srv)
	r := open(t, newStore(t), repo.URL)
	files := func(names ...string) func(*Proposal) {
		return func(p *Proposal) {
			p.Files = map[string][]byte{}
			for _, name := range names {
				p.Files[name] = []byte("x")
			}
		}
	}
	cases := map[string]struct {
		reason string
		change func(*Proposal)
		want   error
	}{
		"Outside":     {"A path stays in the repository.", files("../x"), ErrInvalidProposal},
		"Absolute":    {"As above.", files("/x"), ErrInvalidProposal},
		"Root":        {"The root is a folder.", files("."), ErrInvalidProposal},
		"Hooks":       {"A clone must not get hooks.", files("a/.GIT/hooks/pre-commit"), ErrInvalidProposal},
		"Folder":      {"A folder is not written over by a file.", files("apps"), ErrInvalidProposal},
		"Link":        {"A link points anywhere.", files("apps/prod/link"), ErrInvalidProposal},
		"BelowFile":   {"A file holds no files.", files("README/x"), ErrInvalidProposal},
		"Both":        {"A name is one thing.", files("n", "n/x"), ErrInvalidProposal},
		"NoBranch":    {"It has to go somewhere.", func(p *Proposal) { p.Branch = "" }, ErrInvalidProposal},
		"BadBranch":   {"Git has rules for names.", func(p *Proposal) { p.Branch = "a..b" }, ErrInvalidProposal},
		"NoMessage":   {"A commit says what it does.", func(p *Proposal) { p.Message = "\n" }, ErrInvalidProposal},
		"ShortCommit": {"An abbreviated commit could be two.", func(p *Proposal) { p.Onto = tip[:7] }, ErrInvalidProposal},
		"NoCommit":    {"It goes onto what is there.", func(p *Proposal) { p.Onto = strings.Repeat("1", 40) }, ErrCommitNotFound},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := proposal(tip, "tag: v2\n")
			tc.change(&p)
			if _, changed, err := r.Propose(t.Context(), p); !errors.Is(err, tc.want) || changed {
				t.Errorf("%s\nchanged %t, error %v", tc.reason, changed, err)
			}
		})
	}
	if got := repo.Git("branch", "--list", "--all"); strings.TrimSpace(got) != "* main" {
		t.Errorf("there are branches: %s", got)
	}
}
