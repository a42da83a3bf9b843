package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// Gitea refuses to run as root. Its user exists only inside the sandbox.
const (
	giteaID     = 64738
	giteaPasswd = "gitea:x:64738:64738:Gitea:/run/gitea/data:/bin/sh"
)

// Where Gitea finds its files inside the sandbox: the state folder and the cache may
// lie below a home that is closed to other users.
const (
	giteaBinary = "/run/gitea/gitea"
	giteaStatic = "/run/gitea/static"
	giteaData   = "/run/gitea/data"
)

const giteaConfig = `APP_NAME = Testbed
RUN_USER = gitea
RUN_MODE = prod
WORK_PATH = %[2]s

[server]
PROTOCOL = http
HTTP_ADDR = 0.0.0.0
HTTP_PORT = %[3]d
DOMAIN = %[1]s
ROOT_URL = http://%[1]s:%[3]d/
LOCAL_ROOT_URL = http://127.0.0.1:%[3]d/
STATIC_ROOT_PATH = %[4]s
APP_DATA_PATH = %[2]s
DISABLE_SSH = true
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3
PATH = %[2]s/gitea.db

[repository]
ROOT = %[2]s/repositories
DEFAULT_BRANCH = main
ENABLE_PUSH_CREATE_USER = true
ENABLE_PUSH_CREATE_ORG = true

[security]
INSTALL_LOCK = true
SECRET_KEY = %[5]s
INTERNAL_TOKEN = %[6]s
MIN_PASSWORD_LENGTH = 6
PASSWORD_HASH_ALGO = pbkdf2$10000$50

[oauth2]
ENABLED = false
JWT_SECRET = %[7]s

[service]
DISABLE_REGISTRATION = true

[webhook]
ALLOWED_HOST_LIST = loopback,private
DELIVER_TIMEOUT = 10

[migrations]
ALLOW_LOCALNETWORKS = true

[log]
MODE = console
LEVEL = Warn

[session]
PROVIDER = memory

[queue]
TYPE = channel

[indexer]
ISSUE_INDEXER_TYPE = db

[lfs]
PATH = %[2]s/lfs

[actions]
ENABLED = false

[packages]
ENABLED = false

[cron]
ENABLED = false

[cron.update_checker]
ENABLED = false
`

func giteaCommand(b *bed) (*exec.Cmd, error) {
	if _, err := os.Stat(giteaBinary); err != nil {
		if err := b.placeGitea(); err != nil {
			return nil, err
		}
	}
	return b.gitea("web"), nil
}

// placeGitea shows Gitea its files and writes its settings.
func (b *bed) placeGitea() error {
	binary := b.Binaries["gitea"]
	for _, dir := range []string{giteaStatic, giteaData} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make room for gitea: %w", err)
		}
	}
	for from, to := range map[string]string{b.path("gitea"): giteaData, binaries.DataDir(binary): giteaStatic} {
		if err := sandbox.Bind(from, to); err != nil {
			return err
		}
	}
	secrets := make([]any, 3)
	for i := range secrets {
		var secret [32]byte
		rand.Read(secret[:])
		secrets[i] = base64.RawURLEncoding.EncodeToString(secret[:])
	}
	args := append([]any{b.Network.Node(), giteaData, giteaPort, giteaStatic}, secrets...)
	if err := b.write("gitea/app.ini", fmt.Sprintf(giteaConfig, args...)); err != nil {
		return err
	}
	err := filepath.WalkDir(giteaData, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, giteaID, giteaID)
	})
	if err != nil {
		return fmt.Errorf("give gitea its files: %w", err)
	}
	if err := os.WriteFile(giteaBinary, nil, 0o755); err != nil {
		return fmt.Errorf("make room for gitea: %w", err)
	}
	return sandbox.Bind(binary, giteaBinary)
}

// gitea is one of Gitea's commands, run by its own user.
func (b *bed) gitea(args ...string) *exec.Cmd {
	cmd := b.process(giteaBinary, append(args, "--config", giteaData+"/app.ini")...)
	cmd.Dir = giteaData
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
		"HOME=" + giteaData, "TMPDIR=" + giteaData, "USER=gitea", "GITEA_WORK_DIR=" + giteaData}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: giteaID, Gid: giteaID}}
	return cmd
}

func giteaReady(ctx context.Context, b *bed) error {
	return answers(ctx, http.DefaultClient, b.url("http", giteaPort)+"/api/v1/version")
}

// giteaAccount makes the administrator and a token of theirs, once.
func giteaAccount(_ context.Context, b *bed) error {
	if _, err := os.Stat(b.giteaTokenFile()); err == nil {
		return nil
	}
	cmd := b.gitea("admin", "user", "create", "--admin", "--must-change-password=false",
		"--username", giteaUser, "--password", giteaPassword, "--email", giteaUser+"@testbed.invalid")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make gitea's administrator: %w: %s", err, out)
	}
	cmd = b.gitea("admin", "user", "generate-access-token", "--raw", "--scopes", "all",
		"--username", giteaUser, "--token-name", "testbed")
	token, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("make gitea's token: %w: %s", err, token)
	}
	return b.write("gitea.token", strings.TrimSpace(string(token)))
}

func (b *bed) giteaTokenFile() string { return b.path("gitea.token") }
