package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
	"github.com/keptn/gitops/policy/metric/provider"
)

// askFlags say which providers are asked.
type askFlags struct {
	prometheus, providers string
}

// add adds the flags to a command.
func (f *askFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.prometheus, "provider", "", "address of a Prometheus that is asked for the metrics not in --metrics")
	cmd.Flags().StringVar(&f.providers, "providers", "", "file with the KeptnMetricsProviders that are asked, and the Secrets that they name")
	cmd.MarkFlagsMutuallyExclusive("provider", "providers")
}

// ask returns what asks the providers, or nil where none is to be asked. Whoever
// runs the program may ask what he likes: any address, with his own identity.
func (f *askFlags) ask() (measure.Ask, error) {
	anywhere := outbound.Anywhere()
	shared := fabric.New(provider.Open)
	switch {
	case f.prometheus != "":
		server := connect.Server{
			Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: f.prometheus},
			Addresses: anywhere,
		}
		return func(ctx context.Context, _ string, q metric.Query) (metric.Result, error) {
			return shared.Query(ctx, server, q)
		}, nil
	case f.providers == "":
		return nil, nil //nolint:nilnil // nobody is to be asked
	}
	servers, err := readServers(f.providers)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, name string, q metric.Query) (metric.Result, error) {
		server, ok := servers[name]
		if !ok {
			return metric.Result{}, fmt.Errorf("%w: %s holds no KeptnMetricsProvider %q", metric.ErrConfig, f.providers, name)
		}
		server.Addresses, server.Ambient = anywhere, true
		return shared.Query(ctx, server, q)
	}, nil
}

// readServers reads the providers of a file, with the Secrets that it holds.
func readServers(file string) (map[string]connect.Server, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read providers: %w", err)
	}
	secrets := map[string]connect.Secret{}
	var found []metricsv1.KeptnMetricsProvider
	documents := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		switch kind.Kind {
		case "KeptnMetricsProvider":
			var p metricsv1.KeptnMetricsProvider
			if err := yaml.UnmarshalStrict(document, &p); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			found = append(found, p)
		case "Secret":
			var s corev1.Secret
			if err := yaml.UnmarshalStrict(document, &s); err != nil {
				return nil, fmt.Errorf("%s: a Secret cannot be read", file) // the error could show it
			}
			secrets[s.Name] = dataOf(s)
		}
	}
	return serversOf(found, secrets), nil
}

// serversOf joins the providers with their Secrets.
func serversOf(found []metricsv1.KeptnMetricsProvider, secrets map[string]connect.Secret) map[string]connect.Server {
	servers := make(map[string]connect.Server, len(found))
	for _, p := range found {
		server := connect.Server{Spec: p.Spec, Secret: secrets[p.Spec.SecretKeyRef.Name]}
		if ref := p.Spec.CertSecretRef; ref != nil {
			server.Certificates = secrets[ref.Name]
		}
		servers[p.Name] = server
	}
	return servers
}

// dataOf is what a Secret holds once the API server has it.
func dataOf(s corev1.Secret) connect.Secret {
	data := connect.Secret{}
	for key, value := range s.Data {
		data[key] = value
	}
	for key, value := range s.StringData {
		data[key] = []byte(value)
	}
	return data
}
