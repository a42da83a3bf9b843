package delivery

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/phase"
)

// defaultRolloutTimeout applies where nothing says it.
const defaultRolloutTimeout = 5 * time.Minute

// reasonUnreadable: the lifecycle of the commit cannot be read.
const reasonUnreadable = "LifecycleUnreadable"

// config is what a delivery goes by.
type config struct {
	blocking                     bool
	checkTimeout, rolloutTimeout time.Duration
}

func configOf(spec optionsv1alpha1.KeptnConfigSpec) config {
	c := config{blocking: true, rolloutTimeout: defaultRolloutTimeout}
	c.override(spec.BlockDeployment, spec.CheckTimeout, spec.ObservabilityTimeout)
	return c
}

// override takes what is said, and leaves the rest.
func (c *config) override(blocking *bool, checks, rollout *metav1.Duration) {
	if blocking != nil {
		c.blocking = *blocking
	}
	if checks != nil {
		c.checkTimeout = checks.Duration
	}
	if rollout != nil {
		c.rolloutTimeout = rollout.Duration
	}
}

// handled runs a delivery again that failed, once for each new value of its
// annotation keptn.sh/retry.
func handled(obj client.Object, d *lifecyclev1.Delivery, retry func(*lifecyclev1.Delivery)) {
	value := obj.GetAnnotations()[lifecyclev1.RetryAnnotation]
	if value == "" || value == d.LastHandledRetry {
		return
	}
	d.LastHandledRetry = value
	if d.Status.Completed() && !d.Status.Passed() && d.Status != lifecyclev1.StateDeprecated {
		retry(d)
	}
}

func cancelMessage(why string) string {
	if why == "" || why == "true" {
		return "cancelled"
	}
	return "cancelled: " + why
}

// conclusion is what the conditions of a delivery say.
func conclusion(d *lifecyclev1.Delivery) condition.Outcome {
	current := phase.Decisive(d)
	switch {
	case d.Status.Passed():
		return condition.Ready(current.Reason, "%s", current.Message)
	case d.Status.Completed():
		return condition.Failed(current.Reason, "%s", current.Message)
	default:
		return condition.Waiting(current.Reason, "%s", current.Message)
	}
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
