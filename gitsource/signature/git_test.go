package signature_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/signature"
)

// realGit is a new repository of the git binary, with a configuration of its own.
type realGit struct {
	t   *testing.T
	dir string
	env []string
}

func newRealGit(t *testing.T, tools ...string) *realGit {
	t.Helper()
	for _, tool := range append(tools, "git") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	g := &realGit{t: t, dir: t.TempDir()}
	home, err := os.MkdirTemp("", "gnupg") //nolint:usetesting // the path of its agent's socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	g.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "GNUPGHOME=" + home, "GIT_CONFIG_NOSYSTEM=1"}
	for _, name := range []string{"AUTHOR", "COMMITTER"} {
		g.env = append(g.env, "GIT_"+name+"_NAME=Ann", "GIT_"+name+"_EMAIL=ann@example.com")
	}
	g.run("git", "init", "-q")
	return g
}

func (g *realGit) run(name string, args ...string) string {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), name, args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("%s %q: %v: %s", name, args, err, stderr.String())
	}
	return string(out)
}

func TestWhatGitSignsWithSSHIsVerified(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			g := newRealGit(t, "ssh-keygen")
			file := filepath.Join(g.dir, "id")
			g.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "ann@example.com", "-f", file)
			g.run("git", "config", "gpg.format", "ssh")
			g.run("git", "config", "user.signingKey", file)
			public, err := os.ReadFile(file + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			fingerprint := strings.Fields(g.run("ssh-keygen", "-lf", file+".pub"))[1]
			g.verifies(keys(t, string(public)), signature.Signer{Identity: "ann@example.com", Fingerprint: fingerprint})
		})
	}
}

func TestWhatGitSignsWithOpenPGPIsVerified(t *testing.T) {
	g := newRealGit(t, "gpg", "gpgconf")
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "gpg-agent")
		cmd.Env = g.env
		_ = cmd.Run() // of this directory: it ends by itself, too, when that is gone
	})
	g.run("gpg", "--batch", "--passphrase", "", "--quick-gen-key", "Ann <ann@example.com>", "rsa2048", "sign", "0")
	var fingerprint string
	for line := range strings.Lines(g.run("gpg", "--with-colons", "--list-keys")) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			fingerprint = fields[9]
		}
	}
	g.run("git", "config", "user.signingKey", fingerprint)
	known := keys(t, g.run("gpg", "--armor", "--export"))
	g.verifies(known, signature.Signer{Identity: "Ann <ann@example.com>", Fingerprint: fingerprint})

	if err := os.WriteFile(filepath.Join(g.dir, "commit"), []byte(commit), 0o600); err != nil {
		t.Fatal(err)
	}
	weak := signature.OfCommit(signedCommit(g.run("gpg", "--batch", "--digest-algo", "SHA1", "--armor", "--detach-sign", "-o", "-", "commit")))
	if _, err := known.Verify(weak, noon.AddDate(10, 0, 0)); !errors.Is(err, signature.ErrBadSignature) || !strings.Contains(err.Error(), "SHA-1 is not safe") {
		t.Errorf("a signature of SHA-1: %v", err)
	}
}

// verifies signs a commit and a tag, and finds out who it was.
func (g *realGit) verifies(k *signature.Keys, want signature.Signer) {
	g.t.Helper()
	g.run("git", "commit", "-q", "-S", "--allow-empty", "-m", "Subject\n\nBody")
	g.run("git", "tag", "-s", "-m", "Release", "v1")
	signed := signature.OfCommit([]byte(g.run("git", "cat-file", "commit", "HEAD")))
	if got, err := k.Verify(signed, signed.Time); err != nil || got != want {
		g.t.Errorf("commit: got %v, want %v: %v", got, want, err)
	}
	tag, err := signature.OfTag([]byte(g.run("git", "cat-file", "tag", "v1")))
	if err != nil {
		g.t.Fatal(err)
	}
	if got, err := k.Verify(tag.Signed, tag.Time); err != nil || got != want || tag.Name != "v1" || tag.Object != strings.TrimSpace(g.run("git", "rev-parse", "HEAD")) {
		g.t.Errorf("tag %+v: got %v, want %v: %v", tag, got, want, err)
	}
	tag.Payload[len(tag.Payload)-2] ^= 1
	if got, err := k.Verify(tag.Signed, tag.Time); err == nil {
		g.t.Errorf("the tag was changed, and is still signed by %v", got)
	}
}
