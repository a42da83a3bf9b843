package pullrequest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/outbound"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// secret is the one of the forge.
type secret struct{}

func (secret) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	obj.(*corev1.Secret).Name, obj.(*corev1.Secret).Data = key.Name, map[string][]byte{"token": []byte("t0ken")}
	return nil
}

// commenting is a source with three pull requests that are judged, and of which nothing
// but the comment is yet to be told.
type commenting struct {
	*scope
	reconciler *Reconciler
	clock      *clocktesting.FakeClock
	// tried are the pull requests that were to be commented on since it was last looked at,
	// and refuse what is answered.
	tried  []string
	refuse func(number string, w http.ResponseWriter) bool
}

func newCommenting(t *testing.T) *commenting {
	c := &commenting{clock: clocktesting.NewFakeClock(noon)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/repos/acme/shop/issues/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		c.tried = append(c.tried, r.PathValue("number"))
		if c.refuse == nil || !c.refuse(r.PathValue("number"), w) {
			_ = json.NewEncoder(w).Encode(map[string]any{"id": 5})
		}
	})
	mux.HandleFunc("GET /api/v1/repos/acme/shop/issues/{number}/comments", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) })
	mux.HandleFunc("GET /api/v1/user", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id": 7}`)) })
	mux.HandleFunc("GET /api/v1/repos/acme/shop/pulls", func(w http.ResponseWriter, r *http.Request) {
		pull := func(number int) string {
			return fmt.Sprintf(`{"number": %d, "head": {"ref": "a", "sha": %q, "repo_id": 1}, "base": {"ref": "main", "repo_id": 1}}`, number, sha)
		}
		if r.FormValue("page") == "1" {
			_, _ = fmt.Fprintf(w, "[%s, %s]", pull(1), pull(2))
			return
		}
		_, _ = w.Write([]byte("[]"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	store, err := gitsource.NewStore(t.TempDir(), gitsource.AllowPlainHTTPCredentials())
	if err != nil {
		t.Fatal(err)
	}
	c.reconciler = &Reconciler{Clock: c.clock, Repositories: repository.New(secret{}, nil, store, "", outbound.Anywhere())}
	none := false
	c.scope = evaluating()
	c.base = "main"
	c.scope.asked = gitopsv1alpha1.PullRequests{Validate: &none, Comment: true}
	c.origin.Provider, c.origin.URL = gitopsv1alpha1.GiteaProvider, server.URL+"/acme/shop"
	c.origin.Reporting = types.NamespacedName{Name: "forge"}
	for number := range int64(3) {
		head := forge.Head{Number: number + 1, Commit: sha}
		c.memory.heads = append(c.memory.heads, head)
		c.memory.judged[head.Number] = &judgement{head: head, commit: sha, validity: forge.Status{State: forge.Success}}
	}
	return c
}

// comment does what a reconcile does, and returns for whom that was tried, and who was told.
func (c *commenting) comment(t *testing.T) string {
	t.Helper()
	c.recheck, c.problems, c.tried = time.Hour, nil, nil
	if err := c.reconciler.comment(t.Context(), c.scope); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, p := range c.source.Status.PullRequests {
		told = append(told, fmt.Sprint(p.Number))
	}
	return "tried " + strings.Join(c.tried, ",") + " told " + strings.Join(told, ",")
}

// forbid refuses the comments on the pull requests.
func forbid(numbers string) func(string, http.ResponseWriter) bool {
	return func(number string, w http.ResponseWriter) bool {
		if !strings.Contains(numbers, number) {
			return false
		}
		http.Error(w, `{"message": "user should have permission to write"}`, http.StatusForbidden)
		return true
	}
}

func TestAForgeThatRefusesACommentIsLeftAlone(t *testing.T) {
	c := newCommenting(t)
	c.refuse = forbid("123")
	var got []string
	for range 3 { // whatever wakes it
		got = append(got, c.comment(t))
	}
	if len(c.problems) != 1 || !strings.Contains(c.problems[0].Error(), "write:issue") || c.recheck != time.Minute {
		t.Errorf("it waits %s because of %v", c.recheck, c.problems)
	}
	for range 3 {
		c.clock.Step(time.Minute)
		got = append(got, c.comment(t))
	}
	c.clock.Step(time.Minute)
	c.refuse = nil
	got = append(got, c.comment(t))
	want := []string{"tried 1 told ", "tried  told ", "tried  told ", "tried 2 told ", "tried 3 told ", "tried 1 told ", "tried 2,3,1 told 1,2,3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPullRequestThatTakesNoCommentKeepsNoOtherFromBeingTold(t *testing.T) {
	c := newCommenting(t)
	c.refuse = forbid("1") // its conversation is locked
	got := []string{c.comment(t)}
	for range 2 {
		c.clock.Step(time.Minute)
		got = append(got, c.comment(t))
	}
	want := []string{"tried 1 told ", "tried 2,3,1 told 2,3", "tried 1 told 2,3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPauseThatTheForgeAsksForHoldsWhoeverAsks(t *testing.T) {
	c := newCommenting(t)
	c.refuse = func(_ string, w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	c.comment(t)
	c.clock.Step(9 * time.Minute)
	c.memory.asked = "before a hook" // so that it is to be listed anew
	if err := c.reconciler.list(t.Context(), c.scope); err == nil || c.recheck != time.Minute {
		t.Errorf("it goes on in %s, %v", c.recheck, err)
	}
	if got := c.comment(t); got != "tried  told " {
		t.Errorf("it %s", got)
	}
}

func TestTheStatusOfAForkNamesItsRef(t *testing.T) {
	s := evaluating()
	for _, fork := range []bool{true, false} {
		j := &judgement{commit: sha, head: forge.Head{Number: 7, Fork: fork, Ref: "refs/merge-requests/7/head"}}
		want := map[bool]string{true: "refs/merge-requests/7/head", false: ""}[fork]
		if got := s.statuses(j)[0].Ref; got != want {
			t.Errorf("fork %t: got %q, want %q", fork, got, want)
		}
	}
}

func TestWhatWasToldToAnotherRepositoryIsForgotten(t *testing.T) {
	c := newCommenting(t)
	c.source.Status.PullRequests = []gitopsv1alpha1.ToldPullRequest{
		{Number: 1, Head: sha, Destination: c.origin.ForgeName(), Comment: "5"}, {Number: 2, Head: sha, Destination: "gitea https://elsewhere/acme/shop", Comment: "6"},
	}
	if err := c.reconciler.list(t.Context(), c.scope); err != nil {
		t.Fatal(err)
	}
	if told := c.source.Status.PullRequests; len(told) != 1 || told[0].Number != 1 || len(c.memory.heads) != 2 || len(c.memory.judged) != 0 {
		t.Errorf("told %+v, judged %v of %+v", told, c.memory.judged, c.memory.heads)
	}
}
