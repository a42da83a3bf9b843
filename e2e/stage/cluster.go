package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers"
)

// Cluster is the cluster that KUBECONFIG names.
type Cluster struct {
	client.Client
}

// Connect opens the cluster that KUBECONFIG names.
func Connect() (*Cluster, error) {
	log.SetLogger(logr.Discard()) // the client library has nothing to add to the story
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sourcev1.AddToScheme(scheme), kustomizev1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("know Flux's kinds: %w", err)
	}
	cfg, err := config.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("open the cluster: %w", err)
	}
	return &Cluster{c}, nil
}

// Kubectl runs kubectl with its output to w.
func Kubectl(ctx context.Context, w io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = w, io.MultiWriter(w, &said)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// Install installs the controller from config/default of this repository, with
// more arguments for the controller.
func Install(ctx context.Context, w io.Writer, root string, args ...string) error {
	overlay, err := os.MkdirTemp(root, ".install-")
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer os.RemoveAll(overlay)
	kustomization := "resources: [../config/default]\n"
	if len(args) > 0 {
		kustomization += "patches:\n  - target: {kind: Deployment, name: keptn-controller}\n    patch: |\n"
		for _, arg := range args {
			kustomization += fmt.Sprintf("      - {op: add, path: /spec/template/spec/containers/0/args/-, value: %q}\n", arg)
		}
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := Kubectl(ctx, w, "apply", "--server-side", "--force-conflicts", "-k", overlay); err != nil {
		return err
	}
	return Kubectl(ctx, w, "--namespace", "keptn-system", "rollout", "status", "deployment/keptn-controller", "--timeout", "5m")
}

// Namespace makes a namespace, and in it the KeptnMetricsProvider prometheus.
func (c *Cluster) Namespace(ctx context.Context, name, prometheus string, annotations map[string]string) error {
	for _, obj := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}},
		&metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "prometheus"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: "prometheus", TargetServer: prometheus},
		},
	} {
		if err := c.Create(ctx, obj); err != nil {
			return fmt.Errorf("prepare namespace %s: %w", name, err)
		}
	}
	return nil
}

// Secret makes a Secret.
func (c *Cluster) Secret(ctx context.Context, namespace, name string, data map[string]string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
	if err := c.Create(ctx, secret); err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	return nil
}

// Look has the controller look at the repository of a source now, as the webhook
// of a forge would.
func (c *Cluster) Look(ctx context.Context, source *gitopsv1alpha1.GitSource, token string) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, token)
	if err := c.Patch(ctx, source.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("ask for a look at %s: %w", source.Name, err)
	}
	return nil
}
