package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
)

// Where Flux's controllers serve: the artifacts of sources at the node's address, and
// what tells of themselves on the sandbox's loopback.
const (
	artifactPort            = 9790
	sourceHealthPort        = 9791
	kustomizationHealthPort = 9792
	helmHealthPort          = 9793
)

// fluxKinds makes the kinds that one of Flux's controllers looks after.
func fluxKinds(controller string) func(context.Context, *bed) error {
	return func(ctx context.Context, b *bed) error {
		k, err := newKube(b)
		if err != nil {
			return err
		}
		crds := filepath.Join(binaries.DataDir(b.Binaries[controller]), "config", "crd", "bases", "*.yaml")
		return k.applyManifests(ctx, crds, map[string]string{"CustomResourceDefinition": crdPath})
	}
}

// fluxController runs one of Flux's controllers for all namespaces. It has the rights
// of an administrator, as the kustomize- and helm-controller have where Flux was
// installed by its own means.
func fluxController(b *bed, name string, healthPort int, args ...string) *exec.Cmd {
	cmd := b.built(name, append(args,
		"--watch-all-namespaces=true",
		fmt.Sprintf("--health-addr=127.0.0.1:%d", healthPort),
		"--metrics-addr=0",
		"--log-encoding=json",
	)...)
	cmd.Env = append(cmd.Env, "KUBECONFIG="+b.path("admin.kubeconfig"), "RUNTIME_NAMESPACE=flux-system")
	return cmd
}

func sourceControllerCommand(b *bed) (*exec.Cmd, error) {
	if err := os.MkdirAll(b.path("artifacts"), 0o755); err != nil {
		return nil, fmt.Errorf("make room for artifacts: %w", err)
	}
	return fluxController(b, "source-controller", sourceHealthPort,
		"--storage-path="+b.path("artifacts"),
		fmt.Sprintf("--storage-addr=0.0.0.0:%d", artifactPort),
		"--storage-adv-addr="+b.address(artifactPort),
	), nil
}

func kustomizeControllerCommand(b *bed) (*exec.Cmd, error) {
	return fluxController(b, "kustomize-controller", kustomizationHealthPort), nil
}

func helmControllerCommand(b *bed) (*exec.Cmd, error) {
	return fluxController(b, "helm-controller", helmHealthPort), nil
}
