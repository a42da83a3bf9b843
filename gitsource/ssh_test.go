package gitsource

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/gittest"
)

// sshServer runs Git's services for one key, as sshd does.
type sshServer struct {
	addr       string
	knownHosts []byte
	identity   []byte // the private key it lets in, PEM
}

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func newSSHServer(t *testing.T) sshServer { return sshServerOf(t, true) }

func sshServerOf(t *testing.T, takesEnv bool) sshServer {
	t.Helper()
	host, _ := newKey(t)
	user, identity := newKey(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "git" || !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, config, takesEnv)
		}
	}()
	addr := l.Addr().String()
	return sshServer{addr, []byte(knownhosts.Line([]string{addr}, host.PublicKey()) + "\n"), identity}
}

// serveSSH serves one connection. A server that takes no environment speaks version 0.
func serveSSH(conn net.Conn, config *ssh.ServerConfig, takesEnv bool) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			var version []string
			for req := range requests {
				var variable struct{ Name, Value string }
				if req.Type == "env" && takesEnv && ssh.Unmarshal(req.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL" {
					version = []string{variable.Name + "=" + variable.Value}
					_ = req.Reply(true, nil)
					continue
				}
				if req.Type != "exec" {
					_ = req.Reply(false, nil)
					continue
				}
				_ = req.Reply(true, nil)
				cmd := exec.Command("sh", "-c", string(req.Payload[4:]))
				cmd.Env = append(os.Environ(), version...)
				cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
				stdin, _ := cmd.StdinPipe()
				go func() { _, _ = io.Copy(stdin, channel); _ = stdin.Close() }()
				status := 0
				if cmd.Run() != nil {
					status = 128
				}
				_, _ = channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, uint32(status)))
				_ = channel.Close()
			}
		}()
	}
}

func (s sshServer) open(t *testing.T, store *Store, path string, change func(map[string][]byte)) (*Repository, error) {
	t.Helper()
	data := map[string][]byte{"identity": s.identity, "known_hosts": s.knownHosts}
	change(data)
	url := "ssh://git@" + s.addr + path
	auth, err := AuthFromSecret(url, data)
	if err != nil {
		t.Fatal(err)
	}
	return store.Repository(Remote{URL: url, Auth: auth})
}

func asItIs(map[string][]byte) {}

func TestSSHServesAsHTTPDoes(t *testing.T) {
	t.Parallel()
	for name, takesEnv := range map[string]bool{"VersionTwo": true, "VersionZero": false} {
		t.Run(name, func(t *testing.T) { servesOverSSH(t, sshServerOf(t, takesEnv), takesEnv) })
	}
}

func servesOverSSH(t *testing.T, s sshServer, two bool) {
	srv := gittest.New(t)
	repo := srv.Create(t, "it's an app!")
	repo.Git("config", "uploadpack.allowFilter", "true")
	c1 := repo.Commit("main", "one", map[string]string{"a/x": "1", "a/y": "1"})
	r, err := s.open(t, newStore(t), repo.Dir, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, r, Ref{})
	c2 := repo.Commit("main", "two", map[string]string{"a/x": "2"})
	if got := fetch(t, r, Ref{Branch: "main"}); got.Commit != c2 {
		t.Errorf("Fetch(): %v, want %s", got, c2)
	}
	// In version 0 this server, as Git's default is, sends nothing that no ref points at.
	if got := readFile(t, r, c2, "a/x") + readFile(t, r, c1, "a/x"); got != "21" {
		t.Errorf("files read %q", got)
	}
	if got := r.Mode(); two && got != Partial || !two && got != Full {
		t.Errorf("the mode is %q", got)
	}
	appendNotes(t, r, map[string][]string{c1: {"hello"}})
	appendNotes(t, r, map[string][]string{c1: {"again"}})
	if got := repo.Git("notes", "--ref=keptn", "show", c1); got != "again\nhello" {
		t.Errorf("notes: %q", got)
	}

	allowed := srv.Create(t, "allowed")
	allowed.Git("config", "uploadpack.allowFilter", "true")
	allowed.Git("config", "uploadpack.allowAnySHA1InWant", "true")
	c := allowed.Commit("main", "one", map[string]string{"f": "1"})
	if r, err = s.open(t, newStore(t), allowed.Dir, asItIs); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, r, c, "f"); got != "1" {
		t.Errorf("a file asked for by name: %q", got)
	}
}

func TestSSHErrorsTellWhatToDo(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	empty := srv.Create(t, "empty")
	s := newSSHServer(t)
	otherHost, other := newKey(t)
	cases := map[string]struct {
		reason string
		path   string
		change func(map[string][]byte)
		want   error
	}{
		"WrongKey": {"A key that the host does not know.", repo.Dir, func(d map[string][]byte) { d["identity"] = other }, ErrUnauthorized},
		"WrongHost": {"A host that is not who it was.", repo.Dir, func(d map[string][]byte) {
			d["known_hosts"] = []byte(knownhosts.Line([]string{s.addr}, otherHost.PublicKey()) + "\n")
		}, ErrUnauthorized},
		"UnknownHost": {"A host never heard of.", repo.Dir, func(d map[string][]byte) {
			d["known_hosts"] = []byte(knownhosts.Line([]string{"example.com"}, otherHost.PublicKey()) + "\n")
		}, ErrUnauthorized},
		"NotFound": {"No such repository.", repo.Dir + "nope", asItIs, ErrNotFound},
		"Empty":    {"No commits.", empty.Dir, asItIs, ErrEmptyRepository},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := s.open(t, newStore(t), tc.path, tc.change)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = r.Fetch(t.Context(), Ref{}); !errors.Is(err, tc.want) {
				t.Errorf("%s\nerror: %v, want %v", tc.reason, err, tc.want)
			}
		})
	}
}

func TestAnSSHServerThatSaysNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := newSSHServer(t)
	s.addr = l.Addr().String()
	r, err := s.open(t, newStore(t, Timeout(20*time.Millisecond)), "/app.git", asItIs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a silent server: %v", err)
	}
}
