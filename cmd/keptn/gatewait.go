package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/verdict"
)

// gateOwner is who asks for deliveries.
const gateOwner = "keptn-gate"

// rewatch is the time between the end of a watch and the next one.
const rewatch = time.Second

// gateWait is one wait for the delivery of a commit.
type gateWait struct {
	client   client.WithWatch
	flags    gateFlags
	progress io.Writer

	lc *gitopsv1alpha1.Lifecycle
	// deliveries are those of the commit that were seen.
	deliveries map[types.UID]*lifecyclev1.KeptnAppVersion
	// asked says that a delivery was asked for, and heard that the request was seen on
	// the Lifecycle since: what it says of requests then speaks of this one.
	asked, heard bool
	// told is what was said of each phase, and of the delivery.
	told map[string]string
}

// wait waits until the delivery is decided.
func (w *gateWait) wait(ctx context.Context) (phase.Answer, error) {
	var err error
	if w.lc, err = w.lifecycle(ctx); err != nil {
		return phase.Answer{}, err
	}
	for {
		result, err := w.look(ctx)
		if !errors.Is(err, errWatchEnded) {
			return result, err
		}
		pause := time.NewTimer(rewatch)
		select {
		case <-ctx.Done():
			pause.Stop()
			return phase.Answer{}, ctx.Err()
		case <-pause.C:
		}
	}
}

// lifecycle finds the Lifecycle of the app.
func (w *gateWait) lifecycle(ctx context.Context) (*gitopsv1alpha1.Lifecycle, error) {
	var all gitopsv1alpha1.LifecycleList
	if err := w.client.List(ctx, &all, client.InNamespace(w.flags.namespace)); err != nil {
		return nil, fmt.Errorf("list Lifecycles: %w", err)
	}
	var found, others []string
	var candidates []*gitopsv1alpha1.Lifecycle
	for i := range all.Items {
		lc := &all.Items[i]
		if lc.Spec.App != w.flags.app || lc.Labels[gitopsv1alpha1.SourceLabel] == "" {
			others = append(others, lc.Spec.App)
			continue
		}
		environment, err := w.environmentOf(ctx, lc)
		if err != nil {
			return nil, err
		}
		if w.flags.environment == "" || environment == "" || environment == w.flags.environment {
			candidates = append(candidates, lc)
			found = append(found, fmt.Sprintf("%s/%s (environment %s)", lc.Namespace, lc.Name, cmp.Or(environment, "not known yet")))
		}
	}
	slices.Sort(others)
	switch len(candidates) {
	case 1:
		return candidates[0], nil
	case 0:
		return nil, fmt.Errorf("no Lifecycle of the app %q that a GitSource reads is in %s: there are the apps %q; correct --app, --environment or --namespace, or wait until its GitSource has read the commit that adds it",
			w.flags.app, cmp.Or(w.flags.namespace, "any namespace"), slices.Compact(others))
	default:
		return nil, fmt.Errorf("several Lifecycles are of the app %q: %s; say --environment or --namespace", w.flags.app, strings.Join(found, ", "))
	}
}

// environmentOf is the environment of a Lifecycle, as its newest delivery or what was
// reported of it says; empty where nothing does.
func (w *gateWait) environmentOf(ctx context.Context, lc *gitopsv1alpha1.Lifecycle) (string, error) {
	if w.flags.environment == "" {
		return "", nil
	}
	if ref := lc.Status.Delivery; ref != nil {
		var kav lifecyclev1.KeptnAppVersion
		err := w.client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &kav)
		if err == nil {
			return kav.Spec.Environment, nil
		}
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("read delivery: %w", err)
		}
	}
	for _, r := range lc.Status.Reported { // <prefix>/<environment>/<app>/<phase>
		if parts := strings.Split(r.Context, "/"); len(parts) == 4 && parts[2] == lc.Spec.App {
			return parts[1], nil
		}
	}
	return "", nil
}

// errWatchEnded: the API server ended a watch, as it does from time to time.
var errWatchEnded = errors.New("the watch has ended")

// look follows the deliveries and the Lifecycle as long as they can be watched. They
// are watched before they are read, so that nothing is missed in between.
func (w *gateWait) look(ctx context.Context) (phase.Answer, error) {
	var kavs lifecyclev1.KeptnAppVersionList
	where := client.InNamespace(recordNamespace(w.lc))
	deliveries, err := w.client.Watch(ctx, &kavs, where)
	if err != nil {
		return phase.Answer{}, fmt.Errorf("watch KeptnAppVersions: %w", err)
	}
	defer deliveries.Stop()
	lifecycles, err := w.client.Watch(ctx, &gitopsv1alpha1.LifecycleList{}, client.InNamespace(w.lc.Namespace))
	if err != nil {
		return phase.Answer{}, fmt.Errorf("watch Lifecycles: %w", err)
	}
	defer lifecycles.Stop()
	if err := w.client.List(ctx, &kavs, where); err != nil {
		return phase.Answer{}, fmt.Errorf("list KeptnAppVersions: %w", err)
	}
	w.deliveries = map[types.UID]*lifecyclev1.KeptnAppVersion{}
	for i := range kavs.Items {
		w.take(&kavs.Items[i])
	}
	if err := w.ask(ctx); err != nil {
		return phase.Answer{}, err
	}
	return w.follow(ctx, deliveries.ResultChan(), lifecycles.ResultChan())
}

// follow waits for the events that decide, as long as deliveries are recorded where
// they are watched.
func (w *gateWait) follow(ctx context.Context, deliveries, lifecycles <-chan watch.Event) (phase.Answer, error) {
	watched := recordNamespace(w.lc)
	for {
		if result, done, err := w.decide(); done || err != nil {
			return result, err
		}
		var event watch.Event
		var open bool
		select {
		case <-ctx.Done():
			return phase.Answer{}, ctx.Err()
		case event, open = <-deliveries:
		case event, open = <-lifecycles:
		}
		if !open || event.Type == watch.Error {
			return phase.Answer{}, errWatchEnded
		}
		if why := w.see(event); why != "" {
			return w.result(lifecyclev1.VerdictInconclusive, why), nil
		}
		if recordNamespace(w.lc) != watched {
			return phase.Answer{}, errWatchEnded
		}
	}
}

// see takes an event in, and says why nothing more is to be waited for.
func (w *gateWait) see(event watch.Event) (why string) {
	gone := event.Type == watch.Deleted
	switch obj := event.Object.(type) {
	case *lifecyclev1.KeptnAppVersion:
		if gone && w.deliveries[obj.UID] != nil {
			return fmt.Sprintf("the delivery %s/%s was deleted", obj.Namespace, obj.Name)
		}
		if !gone {
			w.take(obj)
		}
	case *gitopsv1alpha1.Lifecycle:
		if obj.Name != w.lc.Name {
			return ""
		}
		if gone {
			return fmt.Sprintf("the Lifecycle %s/%s was deleted", obj.Namespace, obj.Name)
		}
		w.lc = obj
		return w.refused()
	}
	return ""
}

// refused says why there will be no delivery of what was asked for.
func (w *gateWait) refused() string {
	pending := w.lc.Annotations[lifecycle.DeliverAnnotation]
	w.heard = w.heard || w.asked && pending == w.flags.commit
	c := condition.Of(w.lc, lifecycle.RequestedCondition)
	if !w.heard || pending != "" || c == nil || c.Status != metav1.ConditionFalse {
		return ""
	}
	return c.Message
}

// take notes a delivery if it is one of the commit, or was: the next one who asks for it
// takes the place of who asked before.
func (w *gateWait) take(kav *lifecyclev1.KeptnAppVersion) {
	if verdict.Of(kav, w.lc, w.flags.commit) || w.deliveries[kav.UID] != nil && kav.Spec.Commit != nil {
		w.deliveries[kav.UID] = kav
	}
}

// newest is the newest delivery of the commit, or nil.
func (w *gateWait) newest() *lifecyclev1.KeptnAppVersion {
	var newest *lifecyclev1.KeptnAppVersion
	for _, kav := range w.deliveries {
		if verdict.Newer(kav, newest) {
			newest = kav
		}
	}
	return newest
}

// ask asks for the delivery, where there is none and one is not a rollout yet.
func (w *gateWait) ask(ctx context.Context) error {
	if w.newest() != nil || w.asked {
		w.heard = w.asked // what came of it in between was not watched
		return nil
	}
	if w.until() != lifecyclev1.StagePreDeployment {
		return w.tell("commit", "waiting for a delivery of "+w.flags.commit)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gitopsv1alpha1.GroupVersion.WithKind(gitopsv1alpha1.LifecycleKind))
	u.SetNamespace(w.lc.Namespace)
	u.SetName(w.lc.Name)
	u.SetUID(w.lc.UID)
	u.SetAnnotations(map[string]string{lifecycle.DeliverAnnotation: w.flags.commit})
	if err := w.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(gateOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("ask for the delivery: %w", err)
	}
	w.asked = true
	return w.tell("commit", fmt.Sprintf("asked Lifecycle %s/%s for a delivery of %s", w.lc.Namespace, w.lc.Name, w.flags.commit))
}

// decide tells what is new, and says whether the wait is over.
func (w *gateWait) decide() (result phase.Answer, done bool, err error) {
	kav := w.newest()
	if kav == nil {
		return result, false, nil
	}
	if environment := w.flags.environment; environment != "" && kav.Spec.Environment != environment {
		return result, false, fmt.Errorf("the delivery %s/%s is to the environment %q, not %q: correct --environment", kav.Namespace, kav.Name, kav.Spec.Environment, environment)
	}
	if err := w.tell("delivery", fmt.Sprintf("delivery %s/%s of %s", kav.Namespace, kav.Name, kav.Spec.Commit.SHA)); err != nil {
		return result, false, err
	}
	for _, name := range lifecyclev1.AppPhasesUntil(w.until()) {
		rec := kav.Status.Phase(name)
		if rec == nil || rec.StartTime == nil {
			continue
		}
		if err := w.tell(string(name), fmt.Sprintf("%s %s: %s", name, rec.State, rec.Message)); err != nil {
			return result, false, err
		}
	}
	result = w.result(phase.Verdict(&kav.Status.Delivery, w.until()))
	return result, result.Verdict != "", nil
}

// tell prints what is said of something, once.
func (w *gateWait) tell(of, line string) error {
	if w.told[of] == line {
		return nil
	}
	w.told[of] = line
	_, err := fmt.Fprintln(w.progress, line)
	return err
}

// last is what is waited for.
func (w *gateWait) last() string {
	kav := w.newest()
	if kav == nil {
		return fmt.Sprintf("there is no delivery of %s", w.flags.commit)
	}
	_, message := phase.Verdict(&kav.Status.Delivery, w.until())
	return message
}

// result is how the wait ends.
func (w *gateWait) result(v lifecyclev1.Verdict, message string) phase.Answer {
	r := phase.Answer{Environment: w.flags.environment, Commit: w.flags.commit, Until: w.until(), Phases: []phase.Standing{}}
	if kav := w.newest(); kav != nil {
		r = phase.AnswerOf(kav, w.until())
	}
	r.App, r.Verdict, r.Message = w.flags.app, v, message
	return r
}

// until is the last stage that is waited for.
func (w *gateWait) until() lifecyclev1.Stage { return lifecyclev1.Stage(w.flags.until) }

// recordNamespace is where deliveries of a Lifecycle are recorded: beside its
// workloads, and while none is known beside itself. It is empty, which is everywhere,
// where that could be several namespaces.
func recordNamespace(lc *gitopsv1alpha1.Lifecycle) string {
	var namespaces []string
	for _, w := range lc.Status.Workloads {
		if !slices.Contains(namespaces, w.Namespace) {
			namespaces = append(namespaces, w.Namespace)
		}
	}
	switch len(namespaces) {
	case 0:
		return lc.Namespace
	case 1:
		return namespaces[0]
	default:
		return ""
	}
}
