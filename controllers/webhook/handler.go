// Package webhook takes in what forges send when something was pushed, and has the
// GitSources looked at that it concerns: those that watch a ref that has moved, in the
// repository that was pushed to. It believes nothing else of what is sent, asks no forge
// while one waits, and never reads a repository itself.
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge/webhook"
)

const (
	// maxBody is how many bytes a body may have: more than all but the largest pushes
	// have of their commits. What a larger one has pushed is found by the next look.
	maxBody = 3 << 20
	// atOnce is how many requests are handled at once.
	atOnce = 16
	// wakingAtOnce is how many sources one request wakes at once.
	wakingAtOnce = 16
)

// Handler takes in events of forges.
type Handler struct {
	// Reader reads the cache, which has the index that AddIndexes registers.
	Reader client.Reader
	// Origin tells what a source watches that borrows it. It asks the API server at most.
	Origin func(ctx context.Context, source *gitopsv1alpha1.GitSource) (repository.Origin, error)
	// Wake has a GitSource looked at, whichever replica reads it. It returns before that.
	Wake func(ctx context.Context, source *gitopsv1alpha1.GitSource) error
	// Seen has the deliveries of the last minutes.
	Seen *Deliveries
	// Log is told what could not be done.
	Log logr.Logger
}

// Routes are where forges send events to: what is about the repositories of one
// namespace's GitSources, or those of all. Who may send is what auth says, shown as the
// forge has it.
//
// What concerns a GitSource is answered 202 once that is woken, and everything else 200,
// with an Outcome in JSON: forges give up hooks that fail. The answer is 400 for a body
// that is not what its forge sends, with where; and 503 where a source could not be woken,
// or too many came: that is what forges send again, if anything.
func (h *Handler) Routes(auth guard.Auth) []guard.Route {
	route := func(path string) guard.Route {
		return guard.Route{
			Pattern: "POST " + path, Handler: h, Auth: auth, Scheme: scheme(),
			MaxBody: maxBody, ContentTypes: []string{"application/json"}, AtOnce: atOnce,
			Rate: guard.Rate{Each: 50, All: 200, Burst: 500}, TooMany: http.StatusServiceUnavailable,
		}
	}
	return []guard.Route{route("/hooks/git"), route("/hooks/git/{namespace}")}
}

// scheme is how forges show what they know.
func scheme() guard.Scheme {
	return guard.Scheme{
		Signed: webhook.Signed, Signs: webhook.Signs, Shows: webhook.Shows,
		Hint: "give the forge's hook the hmac-key of the Secret for its secret or, where it signs nothing, the token",
	}
}

// Outcome is what became of an event.
type Outcome struct {
	// Event is what the forge calls it.
	Event string `json:"event"`
	// Repository that it is about, as host/path.
	Repository string `json:"repository,omitempty"`
	// Woken are the GitSources that are looked at, as namespace/name.
	Woken []string `json:"woken,omitempty"`
	// Ignored says why none is.
	Ignored string `json:"ignored,omitempty"`
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var event webhook.Event
	if err == nil {
		event, err = webhook.Parse(r.Header, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	namespace := r.PathValue("namespace")
	outcome := Outcome{Event: event.Name}
	switch event.Kind {
	case webhook.Ping:
		outcome.Ignored = "the hook works"
	case webhook.Other:
		outcome.Ignored = "only pushes and pull requests count"
	case webhook.Push, webhook.PullRequestEvent:
		outcome.Repository = strings.Join(event.Repository.Identities(), ", ")
		err = h.take(r.Context(), namespace, event, body, &outcome)
	}
	if err != nil {
		h.Log.Error(err, "An event of a forge has woken not all that it concerns", "event", event.Name, "repository", outcome.Repository, "namespace", namespace)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "what the event concerns cannot be woken: try again", http.StatusServiceUnavailable)
		return
	}
	h.answer(w, outcome)
}

// take has looked at what an event concerns, unless that was done before.
func (h *Handler) take(ctx context.Context, namespace string, event webhook.Event, body []byte, outcome *Outcome) error {
	delivery := deliveryOf(namespace, event, body)
	if h.Seen.add(delivery) {
		outcome.Ignored = "it was delivered before"
		return nil
	}
	sources, err := h.ofRepository(ctx, namespace, event.Repository)
	if err == nil {
		outcome.Woken, err = h.wake(ctx, sources, event)
	}
	if err != nil || len(outcome.Woken) == 0 {
		h.Seen.forget(delivery) // it may come again once the cause is mended
	}
	switch {
	case err != nil:
		return err
	case len(sources) == 0:
		outcome.Ignored = "no GitSource has this repository"
	case len(outcome.Woken) == 0:
		outcome.Ignored = "no GitSource of this repository watches what has changed"
	}
	return nil
}

// ofRepository lists the sources of a repository that are looked at, in one namespace or
// in all.
func (h *Handler) ofRepository(ctx context.Context, namespace string, of webhook.Repository) ([]*gitopsv1alpha1.GitSource, error) {
	var found []*gitopsv1alpha1.GitSource
	for _, id := range of.Identities() {
		var list gitopsv1alpha1.GitSourceList
		err := h.Reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{byRepository: id})
		if err != nil {
			return nil, fmt.Errorf("list GitSources by their repository: %w", err)
		}
		for i := range list.Items {
			source := &list.Items[i]
			if source.Spec.Suspend || !source.DeletionTimestamp.IsZero() {
				continue
			}
			if !slices.ContainsFunc(found, func(s *gitopsv1alpha1.GitSource) bool { return s.UID == source.UID }) {
				found = append(found, source)
			}
		}
	}
	return found, nil
}

// wake has looked at those of the sources that an event concerns, and names them in
// order. One that cannot be woken keeps no other from it.
func (h *Handler) wake(ctx context.Context, sources []*gitopsv1alpha1.GitSource, event webhook.Event) ([]string, error) {
	var mu sync.Mutex
	var woken []string
	var failed error
	var group errgroup.Group
	group.SetLimit(wakingAtOnce)
	for _, source := range sources {
		group.Go(func() error {
			concerned, err := h.tell(ctx, source, event)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			if concerned {
				woken = append(woken, client.ObjectKeyFromObject(source).String())
			}
			return nil
		})
	}
	_ = group.Wait() // what failed is in failed, all of it
	slices.Sort(woken)
	return woken, failed
}

// tell wakes a source if an event concerns it.
func (h *Handler) tell(ctx context.Context, source *gitopsv1alpha1.GitSource, event webhook.Event) (concerned bool, err error) {
	if !h.watches(ctx, source, event) {
		return false, nil
	}
	if err := h.Wake(ctx, source); err != nil {
		return false, fmt.Errorf("wake %s: %w", client.ObjectKeyFromObject(source), err)
	}
	return true, nil
}

// answer says what became of an event.
func (h *Handler) answer(w http.ResponseWriter, outcome Outcome) {
	w.Header().Set("Content-Type", "application/json")
	if len(outcome.Woken) > 0 {
		w.WriteHeader(http.StatusAccepted)
	}
	if err := json.NewEncoder(w).Encode(outcome); err != nil {
		h.Log.V(1).Info("A forge left before its answer", "because", err.Error())
	}
}
