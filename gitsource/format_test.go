package gitsource

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/keptn/gitops/gitsource/gittest"
)

func TestARepositoryOfAnotherObjectFormatIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	srv, old := gittest.New(t), gittest.New(t)
	old.SpeakVersionZero()
	repo, zero := srv.Create(t, "app"), old.Create(t, "app")
	for _, of := range []*gittest.Repo{repo, zero} {
		if err := os.RemoveAll(of.Dir); err != nil {
			t.Fatal(err)
		}
		work := filepath.Join(t.TempDir(), "work")
		for _, args := range [][]string{
			{"init", "-q", "--object-format=sha256", "-b", "main", work},
			{"-C", work, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "one"},
			{"clone", "-q", "--bare", work, of.Dir},
		} {
			if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
				t.Skipf("this git knows no SHA-256: %s", out)
			}
		}
	}
	two, none := sshServerOf(t, true), sshServerOf(t, false)
	bySSH := func(s sshServer) *Repository {
		r, err := s.open(t, newStore(t), repo.Dir, asItIs)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, r := range map[string]*Repository{
		"HTTP":            open(t, newStore(t), repo.URL),
		"HTTPVersionZero": open(t, newStore(t), zero.URL),
		"SSH":             bySSH(two),
		"SSHVersionZero":  bySSH(none),
		"Local":           open(t, newStore(t), repo.Dir),
	} {
		if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrObjectFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
