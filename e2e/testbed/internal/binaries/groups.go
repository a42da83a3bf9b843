package binaries

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// A group is a set of commands that one pinned module provides and one go build makes.
type group struct {
	dir      string // below the testbed's folder; holds the go.mod
	module   string // the module whose version the binaries are named after
	commands []command
	ldflags  string
	tags     string
	cgo      bool
	data     []string // folders of the module that the command reads when it runs
}

// A command is one binary of a group. output is the name that go build gives it.
type command struct{ name, pkg, output string }

// groups is every binary the testbed builds; a component's binary is added here.
var groups = []group{
	{
		dir:    "binaries/kubernetes",
		module: "k8s.io/kubernetes",
		ldflags: "-s -w -X k8s.io/component-base/version.gitVersion={version}" +
			" -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor}",
		commands: []command{
			kubernetes("kube-apiserver"),
			kubernetes("kube-controller-manager"),
			kubernetes("kube-proxy"),
			kubernetes("kube-scheduler"),
			kubernetes("kubectl"),
			kubernetes("kubelet"),
		},
	},
	{
		dir:      "binaries/etcd",
		module:   "go.etcd.io/etcd/server/v3",
		ldflags:  "-s -w",
		commands: []command{{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", output: "server"}},
	},
	{
		dir:      "binaries/coredns",
		module:   "github.com/coredns/coredns",
		ldflags:  "-s -w",
		commands: []command{{name: "coredns", pkg: ".", output: "coredns"}},
	},
	{
		dir:      "binaries/gitea",
		module:   "code.gitea.io/gitea",
		ldflags:  "-s -w -X main.Version={number}",
		tags:     "sqlite sqlite_unlock_notify",
		cgo:      true,
		commands: []command{{name: "gitea", pkg: "code.gitea.io/gitea", output: "gitea"}},
		data:     []string{"options", "public", "templates"},
	},
	{
		dir:      "binaries/kwok",
		module:   "sigs.k8s.io/kwok",
		ldflags:  "-s -w",
		commands: []command{{name: "kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok", output: "kwok"}},
	},
	flux("source-controller"),
	flux("kustomize-controller"),
	flux("helm-controller"),
	{
		dir:      "binaries/argocd",
		module:   "github.com/argoproj/argo-cd/v3",
		ldflags:  "-s -w -X github.com/argoproj/argo-cd/v3/common.version={number}",
		commands: []command{{name: "argocd", pkg: ".", output: "argocd"}},
		data:     []string{"hack", "manifests/base/config", "manifests/crds"},
	},
	{
		dir:      "binaries/argocd",
		module:   "sigs.k8s.io/kustomize/kustomize/v5",
		ldflags:  "-s -w -X sigs.k8s.io/kustomize/api/provenance.version={version}",
		commands: []command{{name: "kustomize", pkg: "sigs.k8s.io/kustomize/kustomize/v5", output: "kustomize"}},
	},
	{
		dir:      "binaries/helm",
		module:   "helm.sh/helm/v4",
		ldflags:  "-s -w",
		commands: []command{{name: "helm", pkg: "helm.sh/helm/v4/cmd/helm", output: "helm"}},
	},
	{
		dir:      "pause",
		ldflags:  "-s -w",
		commands: []command{{name: "pause", pkg: ".", output: "pause"}},
	},
}

func kubernetes(name string) command {
	return command{name: name, pkg: "k8s.io/kubernetes/cmd/" + name, output: name}
}

// flux is one of Flux's controllers, with the kinds that it looks after.
func flux(name string) group {
	module := "github.com/fluxcd/" + name
	return group{
		dir:      "binaries/flux",
		module:   module,
		ldflags:  "-s -w",
		commands: []command{{name: name, pkg: module, output: name}},
		data:     []string{"config/crd/bases"},
	}
}

// Names lists every binary that can be built.
func Names() []string {
	var names []string
	for _, g := range groups {
		for _, c := range g.commands {
			names = append(names, c.name)
		}
	}
	return names
}

// pinned is a group as the go.mod in the checkout pins it.
type pinned struct {
	group
	version string // "v1.37.2", or "" for the testbed's own commands
	hash    string // of everything that the binaries depend on
}

// pin reads what the checkout at source pins for g.
func pin(source string, g group) (pinned, error) {
	dir := filepath.Join(source, g.dir)
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, g.ldflags, g.tags, g.cgo, g.data, g.commands)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return pinned{}, fmt.Errorf("list %s: %w", dir, err)
	}
	if g.module != "" {
		files = append(files, filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum"))
	}
	slices.Sort(files)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return pinned{}, fmt.Errorf("read what %s pins (run the testbed from e2e/testbed): %w", g.dir, err)
		}
		fmt.Fprintf(sum, "%s %d\n", filepath.Base(f), len(text))
		sum.Write(text)
	}
	p := pinned{group: g, hash: hex.EncodeToString(sum.Sum(nil))[:12]}
	if g.module == "" {
		return p, nil
	}
	p.version, err = requiredVersion(filepath.Join(dir, "go.mod"), g.module)
	return p, err
}

// requiredVersion finds the version that a go.mod requires of a module.
func requiredVersion(gomod, module string) (string, error) {
	text, err := os.ReadFile(gomod)
	if err != nil {
		return "", fmt.Errorf("read pinned versions: %w", err)
	}
	re := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(module) + ` (v\S+)`)
	m := re.FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s requires no version of %s", gomod, module)
	}
	return string(m[1]), nil
}

// file is the name of a built command: it changes with whatever it was built from.
func (p pinned) file(name string) string {
	parts := []string{name, p.version, p.hash}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "-")
}

// buildFlags are the flags of go build, with the pinned version filled in.
func (p pinned) buildFlags() []string {
	number := strings.TrimPrefix(p.version, "v")
	part := append(strings.Split(number, "."), "", "")
	ldflags := strings.NewReplacer("{version}", p.version, "{number}", number,
		"{major}", part[0], "{minor}", part[1]).Replace(p.ldflags)
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags", ldflags}
	if p.tags != "" {
		flags = append(flags, "-tags", p.tags)
	}
	return flags
}
