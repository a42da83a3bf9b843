package main

import (
	"archive/tar"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

func testNetwork(t *testing.T) sandbox.Network {
	t.Helper()
	return sandbox.Network{Interface: "ktbtest", Subnet: netip.MustParsePrefix("10.89.7.0/24")}
}

// TestCertificates says that clients at any of the API server's addresses trust it,
// and that it trusts them.
func TestCertificates(t *testing.T) {
	b := &bed{State: t.TempDir(), Network: testNetwork(t)}
	if err := b.writePKI(); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(b.path("pki/ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the authority is no certificate")
	}
	server := leaf(t, b, "kube-apiserver")
	for _, name := range []string{"10.89.7.2", "10.96.0.1", "127.0.0.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"} {
		if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("the API server at %s: %v", name, err)
		}
	}
	kubelet := leaf(t, b, "kubelet")
	if _, err := kubelet.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the kubelet as a client: %v", err)
	}
	if got := kubelet.Subject.CommonName; got != "system:node:testbed" {
		t.Errorf("the kubelet calls itself %q, which node authorization does not know", got)
	}
}

func leaf(t *testing.T, b *bed, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(b.path("pki", name+".crt"), b.path("pki", name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

// TestImageArchive says that an image is one that `docker load` would take, too.
func TestImageArchive(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	img := image{names: []string{"docker.io/library/x:1"}, files: map[string]string{"bin/x": program}, links: map[string]string{"bin/y": "x"}, command: []string{"x"}}
	archive := filepath.Join(dir, "x.tar")
	if err := img.write(archive); err != nil {
		t.Fatal(err)
	}
	files := readTar(t, archive)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	var config struct {
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := errors.Join(json.Unmarshal(files["manifest.json"], &manifest), json.Unmarshal(files[manifest[0].Config], &config)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(files[manifest[0].Layers[0]])
	if got, want := config.Rootfs.DiffIDs[0], "sha256:"+hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the config says its layer is %s, but it is %s", got, want)
	}
}

func readTar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGitServer says that one can push, also what is too large for one piece, and
// clone without blobs.
func TestGitServer(t *testing.T) {
	root := t.TempDir()
	config := filepath.Join(root, "gitconfig")
	if err := os.WriteFile(config, []byte(gitConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	server := httptest.NewServer(gitHandler(root))
	defer server.Close()
	work := filepath.Join(t.TempDir(), "work")
	git(t, "init", "--quiet", "--bare", filepath.Join(root, "team", "app.git"))
	git(t, "clone", "--quiet", server.URL+"/team/app.git", work)
	if err := os.WriteFile(filepath.Join(work, "large"), []byte(strings.Repeat("x", 1<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, "-C", work, "add", ".")
	git(t, "-C", work, "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "--quiet", "--message=x")
	git(t, "-C", work, "-c", "http.postBuffer=512", "push", "--quiet", "origin", "HEAD:main") // chunked from 512 bytes on
	git(t, "clone", "--quiet", "--no-checkout", "--filter=blob:none", server.URL+"/team/app.git", work+"2")
	if missing := git(t, "-C", work+"2", "rev-list", "--objects", "--missing=print", "main"); !strings.Contains(missing, "?") {
		t.Errorf("the clone without blobs has them all:\n%s", missing)
	}
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestTargetOf says which pods Prometheus scrapes, and how.
func TestTargetOf(t *testing.T) {
	cases := map[string]struct {
		reason string
		pod    string
		want   string // the target in JSON, or "" for none
	}{
		"Asked": {"The annotations say where the metrics are.",
			`{"metadata":{"name":"p","namespace":"n","labels":{"app.kubernetes.io/name":"web"},"annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"8080","prometheus.io/path":"/m"}},"status":{"phase":"Running","podIP":"10.244.0.9"}}`,
			`{"targets":["10.244.0.9:8080"],"labels":{"__metrics_path__":"/m","app_kubernetes_io_name":"web","namespace":"n","pod":"p"}}`},
		"DeclaredPort": {"Without a port annotation the first declared port is meant.",
			`{"metadata":{"name":"p","namespace":"n","annotations":{"prometheus.io/scrape":"true"}},"spec":{"containers":[{"ports":[{"containerPort":9000}]}]},"status":{"phase":"Running","podIP":"10.244.0.9"}}`,
			`{"targets":["10.244.0.9:9000"],"labels":{"namespace":"n","pod":"p"}}`},
		"NotAsked":  {"Nothing is scraped that did not ask.", `{"metadata":{"name":"p"},"status":{"phase":"Running","podIP":"10.244.0.9"}}`, ""},
		"NoAddress": {"A pod that has not started has no address.", `{"metadata":{"name":"p","annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"1"}},"status":{"phase":"Pending"}}`, ""},
		"Ended":     {"A pod that has ended would only show as down.", `{"metadata":{"name":"p","annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"1"}},"status":{"phase":"Succeeded","podIP":"10.244.0.9"}}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var p pod
			if err := json.Unmarshal([]byte(c.pod), &p); err != nil {
				t.Fatal(err)
			}
			got := ""
			if target, ok := targetOf(p); ok {
				text, err := json.Marshal(target)
				if err != nil {
					t.Fatal(err)
				}
				got = string(text)
			}
			if got != c.want {
				t.Errorf("target is %s, want %s. %s", got, c.want, c.reason)
			}
		})
	}
}
