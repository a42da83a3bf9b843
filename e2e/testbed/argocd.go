package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
)

// argoNamespace is where Argo CD's Applications and settings are.
const argoNamespace = "argocd"

// Where Argo CD's parts serve on the sandbox's loopback.
const (
	redisPort              = 6379
	repoServerPort         = 8081
	repoServerHealthPort   = 8084
	argoControllerInfoPort = 8082
)

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// redisCommand runs the cache of Argo CD, which holds nothing that has to last.
func redisCommand(b *bed) (*exec.Cmd, error) {
	return b.process("/usr/bin/redis-server",
		"--bind", "127.0.0.1", "--port", strconv.Itoa(redisPort),
		"--save", "", "--appendonly", "no", "--dir", b.path("tmp"),
	), nil
}

func redisReady(ctx context.Context, _ *bed) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", local(redisPort))
	if err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("ask redis: %w", err)
		}
	}
	answer := make([]byte, len("+PONG"))
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return fmt.Errorf("ask redis: %w", err)
	}
	if _, err := conn.Read(answer); err != nil || string(answer) != "+PONG" {
		return fmt.Errorf("redis answered %q: %w", answer, err)
	}
	return nil
}

// argoTools are the names by which Argo CD's parts, and the programs they run, are
// called: Argo CD is one binary that acts as it is called.
var argoTools = map[string]string{
	"argocd":                        "argocd",
	"argocd-repo-server":            "argocd",
	"argocd-application-controller": "argocd",
	"kustomize":                     "kustomize",
	"helm":                          "helm",
}

// signatureScript is what Argo CD asks whether a commit is signed, from its own image.
const signatureScript = "git-verify-wrapper.sh"

// placeArgo makes a folder of the tools that Argo CD's parts run.
func (b *bed) placeArgo() (string, error) {
	dir := b.path("argocd", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make room for argocd: %w", err)
	}
	for tool, binary := range argoTools {
		err := os.Symlink(b.Binaries[binary], filepath.Join(dir, tool))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("give argocd its tools: %w", err)
		}
	}
	script, err := os.ReadFile(filepath.Join(binaries.DataDir(b.Binaries["argocd"]), "hack", signatureScript))
	if err != nil {
		return "", fmt.Errorf("give argocd its tools: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, signatureScript), script, 0o755); err != nil {
		return "", fmt.Errorf("give argocd its tools: %w", err)
	}
	return dir, nil
}

// argo is one of Argo CD's parts, which finds its tools in a folder of its own.
func (b *bed) argo(name string, args ...string) (*exec.Cmd, error) {
	dir, err := b.placeArgo()
	if err != nil {
		return nil, err
	}
	cmd := b.process(filepath.Join(dir, name), append(args, "--redis="+local(redisPort))...)
	cmd.Env = append(cmd.Env,
		"PATH="+dir+":/usr/local/bin:/usr/bin:/bin",
		"KUBECONFIG="+b.path("admin.kubeconfig"),
		"ARGOCD_FAKE_IN_CLUSTER=true", // the cluster it is in is that of KUBECONFIG
		"ARGOCD_ASK_PASS_SOCK="+b.path("askpass.sock"),
		"ARGOCD_GPG_ENABLED=false",
	)
	return cmd, nil
}

// repoServerCommand reads repositories and builds what they hold. It asks nobody for
// certificates: nobody but the controller reaches it.
func repoServerCommand(b *bed) (*exec.Cmd, error) {
	return b.argo("argocd-repo-server", "--disable-tls", "--client-ca-path=",
		"--address=127.0.0.1", fmt.Sprintf("--port=%d", repoServerPort),
		"--metrics-address=127.0.0.1", fmt.Sprintf("--metrics-port=%d", repoServerHealthPort),
	)
}

func argoControllerCommand(b *bed) (*exec.Cmd, error) {
	return b.argo("argocd-application-controller",
		"--namespace="+argoNamespace,
		"--repo-server="+local(repoServerPort), "--repo-server-plaintext",
		fmt.Sprintf("--metrics-port=%d", argoControllerInfoPort),
	)
}

// argoSettings makes Argo CD's kinds, its settings as it is installed with, and the
// project of Applications that name none, which else its API server would make.
func argoSettings(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	namespace := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]string{"name": argoNamespace}}
	if err := k.apply(ctx, "/api/v1/namespaces/"+argoNamespace, namespace); err != nil {
		return err
	}
	module := filepath.Join(binaries.DataDir(b.Binaries["argocd"]), "manifests")
	paths := map[string]string{
		"CustomResourceDefinition": crdPath,
		"ConfigMap":                "/api/v1/namespaces/" + argoNamespace + "/configmaps/",
		"Secret":                   "/api/v1/namespaces/" + argoNamespace + "/secrets/",
	}
	for _, pattern := range []string{"crds/*.yaml", "base/config/*.yaml"} {
		if err := k.applyManifests(ctx, filepath.Join(module, pattern), paths); err != nil {
			return err
		}
	}
	return k.apply(ctx, "/apis/argoproj.io/v1alpha1/namespaces/"+argoNamespace+"/appprojects/default", map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
		"metadata": map[string]string{"namespace": argoNamespace, "name": "default"},
		"spec": map[string]any{
			"sourceRepos":              []string{"*"},
			"destinations":             []map[string]string{{"server": "*", "namespace": "*"}},
			"clusterResourceWhitelist": []map[string]string{{"group": "*", "kind": "*"}},
		},
	})
}
