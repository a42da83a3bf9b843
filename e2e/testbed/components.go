package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
)

// A component is one program of the testbed, and all that the runner knows of it.
type component struct {
	name     string
	needs    []string // components that must be ready before this one starts
	binaries []string // that must be built
	packages []binaries.Package
	port     int // at the node's address; 0 if it serves nobody outside

	prepare func(ctx context.Context, b *bed) error // what must be in the cluster when it starts; may be nil
	command func(*bed) (*exec.Cmd, error)           // writes its files and says what to run
	ready   func(context.Context, *bed) error       // one look; nil when it serves
	then    func(ctx context.Context, b *bed) error // what others rely on, once it is ready; may be nil
}

// The ports at which the testbed's parts are found at the node's address.
const (
	apiPort        = 6443
	kubeletPort    = 10250
	dnsPort        = 53
	giteaPort      = 3000
	prometheusPort = 9090
	gitPort        = 8418
)

// components is the whole testbed. Each is started as soon as what it needs is ready.
func components() []component {
	return slices.Concat(clusterComponents(), serviceComponents(), applierComponents())
}

// clusterComponents are the cluster and its node.
func clusterComponents() []component {
	return []component{
		{
			name: "etcd", binaries: []string{"etcd"},
			command: etcdCommand, ready: etcdReady,
		},
		{
			name: "kube-apiserver", needs: []string{"etcd"}, binaries: []string{"kube-apiserver"}, port: apiPort,
			command: apiServerCommand, ready: apiServerReady,
		},
		{
			name: "kube-controller-manager", needs: []string{"kube-apiserver"}, binaries: []string{"kube-controller-manager"},
			command: controllerManagerCommand, ready: localHealth("https", 10257, "/healthz"), then: defaultAccountExists,
		},
		{
			name: "kube-scheduler", needs: []string{"kube-apiserver"}, binaries: []string{"kube-scheduler"},
			command: schedulerCommand, ready: localHealth("https", 10259, "/readyz"),
		},
		{
			name: "containerd", binaries: []string{"pause"},
			packages: []binaries.Package{binaries.Containerd, binaries.Runc, binaries.CNI, binaries.Busybox},
			command:  containerdCommand, ready: containerdReady, then: importOwnImages,
		},
		{
			name: "kubelet", needs: []string{"kube-apiserver", "containerd"}, binaries: []string{"kubelet"}, port: kubeletPort,
			packages: []binaries.Package{binaries.Iptables},
			command:  kubeletCommand, ready: localHealth("http", 10248, "/healthz"), then: nodeReady,
		},
		{
			name: "kube-proxy", needs: []string{"kube-apiserver"}, binaries: []string{"kube-proxy"},
			packages: []binaries.Package{binaries.Iptables},
			command:  kubeProxyCommand, ready: localHealth("http", 10256, "/healthz"),
		},
		{
			name: "coredns", needs: []string{"kube-apiserver"}, binaries: []string{"coredns"}, port: dnsPort,
			command: corednsCommand, ready: corednsReady, then: publishDNS,
		},
	}
}

// serviceComponents are what is beside a cluster, and kwok.
func serviceComponents() []component {
	return []component{
		{
			name: "gitea", binaries: []string{"gitea"}, packages: []binaries.Package{binaries.Git}, port: giteaPort,
			command: giteaCommand, ready: giteaReady, then: giteaAccount,
		},
		{
			name: "prometheus", packages: []binaries.Package{binaries.Prometheus}, port: prometheusPort,
			command: prometheusCommand, ready: prometheusReady,
		},
		{
			name: "git", packages: []binaries.Package{binaries.Git}, port: gitPort,
			command: gitCommand, ready: gitReady,
		},
		{
			name: "kwok", needs: []string{"kube-apiserver", "kube-controller-manager"}, binaries: []string{"kwok"},
			command: kwokCommand, ready: localHealth("http", kwokPort, "/healthz"), then: simulateNodes,
		},
	}
}

// applierComponents are what applies repositories to a cluster.
func applierComponents() []component {
	return []component{
		{
			name: "source-controller", needs: []string{"kube-apiserver"}, binaries: []string{"source-controller"}, port: artifactPort,
			prepare: fluxKinds("source-controller"),
			command: sourceControllerCommand, ready: localHealth("http", sourceHealthPort, "/readyz"),
		},
		{
			name: "kustomize-controller", needs: []string{"source-controller"}, binaries: []string{"kustomize-controller"},
			prepare: fluxKinds("kustomize-controller"),
			command: kustomizeControllerCommand, ready: localHealth("http", kustomizationHealthPort, "/readyz"),
		},
		{
			name: "helm-controller", needs: []string{"source-controller"}, binaries: []string{"helm-controller"},
			prepare: fluxKinds("helm-controller"),
			command: helmControllerCommand, ready: localHealth("http", helmHealthPort, "/readyz"),
		},
		{
			name: "redis", packages: []binaries.Package{binaries.Redis},
			command: redisCommand, ready: redisReady,
		},
		{
			name: "argocd-repo-server", needs: []string{"redis"}, binaries: []string{"argocd", "kustomize", "helm"},
			packages: []binaries.Package{binaries.Git},
			command:  repoServerCommand, ready: localHealth("http", repoServerHealthPort, "/healthz?full=true"),
		},
		{
			name: "argocd-application-controller", needs: []string{"kube-apiserver", "argocd-repo-server"}, binaries: []string{"argocd"},
			prepare: argoSettings,
			command: argoControllerCommand, ready: localHealth("http", argoControllerInfoPort, "/healthz"),
		},
	}
}

// parts are the names under which components are chosen, and "all" the default.
var parts = map[string][]string{
	"api":           {"etcd", "kube-apiserver"},
	"control-plane": {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"},
	"node":          {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy", "coredns"},
	"gitea":         {"gitea"},
	"prometheus":    {"prometheus"},
	"git":           {"git"},
	"kwok":          {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"},
	"flux":          {"etcd", "kube-apiserver", "source-controller", "kustomize-controller"},
	"helm":          {"etcd", "kube-apiserver", "source-controller", "helm-controller"},
	"argocd":        {"etcd", "kube-apiserver", "redis", "argocd-repo-server", "argocd-application-controller"},
}

var defaultParts = []string{"node", "gitea", "prometheus", "git"}

// choose turns the parts a user asked for into components, in the table's order.
func choose(only, with []string) ([]string, error) {
	if len(only) == 0 {
		only = defaultParts
	}
	wanted := map[string]bool{}
	for _, part := range slices.Concat(only, with) {
		names, ok := parts[part]
		if !ok {
			return nil, fmt.Errorf("the testbed has no part %q: choose of %s", part, strings.Join(partNames(), ", "))
		}
		for _, name := range names {
			wanted[name] = true
		}
	}
	var chosen []string
	for _, c := range components() {
		if wanted[c.name] {
			chosen = append(chosen, c.name)
		}
	}
	return chosen, nil
}

func partNames() []string {
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// chosen are the rows of the table that a testbed runs.
func (b *bed) chosen() []component {
	return slices.DeleteFunc(components(), func(c component) bool { return !b.has(c.name) })
}
