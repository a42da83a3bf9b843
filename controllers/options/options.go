// Package options reads what the whole installation goes by, which is the
// KeptnConfig of the cluster. It never writes one.
package options

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
)

// What holds where no KeptnConfig says otherwise. They are Keptn's.
const (
	defaultDiscoverySeconds     = 30
	defaultObservabilityTimeout = 5 * time.Minute
)

// +kubebuilder:rbac:groups=options.keptn.sh,resources=keptnconfigs,verbs=get;list;watch

// Config is what the oldest KeptnConfig of all namespaces says, and the defaults
// where it says nothing, or where there is none: blockDeployment and
// observabilityTimeout are never nil. Of two of one second the one that comes first
// by namespace and name counts.
func Config(ctx context.Context, r client.Reader) (optionsv1alpha1.KeptnConfigSpec, error) {
	var all optionsv1alpha1.KeptnConfigList
	if err := r.List(ctx, &all); err != nil {
		return optionsv1alpha1.KeptnConfigSpec{}, fmt.Errorf("list KeptnConfigs: %w", err)
	}
	config := optionsv1alpha1.KeptnConfigSpec{KeptnAppCreationRequestTimeoutSeconds: defaultDiscoverySeconds}
	if len(all.Items) > 0 {
		config = slices.MinFunc(all.Items, older).Spec
	}
	if config.BlockDeployment == nil {
		config.BlockDeployment = ptr.To(true)
	}
	if config.ObservabilityTimeout == nil {
		config.ObservabilityTimeout = &metav1.Duration{Duration: defaultObservabilityTimeout}
	}
	return config, nil
}

// older orders KeptnConfigs by their age.
func older(a, b optionsv1alpha1.KeptnConfig) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}
