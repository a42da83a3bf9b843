package gitsource

import (
	"errors"
	"io/fs"
	"net/http"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/gittest"
)

// turnstile gives turns as long as err is nil, and notes which of those it gave were
// answered.
type turnstile struct {
	err      error
	taken    int
	answered []bool
}

func (s *turnstile) take() (func(bool), error) {
	if s.err != nil {
		return nil, s.err
	}
	s.taken++
	return func(answered bool) { s.answered = append(s.answered, answered) }, nil
}

func TestOnlyWhatIsNotHereTakesATurnAtTheRemote(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1", "b": "2"})
	whole := open(t, newStore(t), repo.URL)
	fetch(t, whole, Ref{})
	readFile(t, whole, head, "a")
	srv.ResetTraffic()

	at := &turnstile{err: errors.New("no turn is left")}
	r := whole.InTurn(at.take)
	if got := readFile(t, r, head, "a"); got != "1" {
		t.Errorf("a is %q", got)
	}
	if _, err := fs.ReadFile(r.Tree(t.Context(), head), "b"); !errors.Is(err, at.err) {
		t.Errorf("read without a turn: %v", err)
	}
	if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, at.err) {
		t.Errorf("fetched without a turn: %v", err)
	}
	requests(t, srv, 0, "what has no turn")

	at.err = nil
	if got := readFile(t, r, head, "b"); got != "2" || at.taken != 1 || len(at.answered) != 1 || !at.answered[0] {
		t.Errorf("b is %q, with %d turns, answered: %v", got, at.taken, at.answered)
	}
}

func TestATurnIsOverWhenTheRemoteDoesNotAnswerInTime(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	hang := make(chan struct{})
	srv.Intercept(func(*http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	at := &turnstile{}
	r, err := newStore(t).Repository(Remote{URL: repo.URL, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(r.InTurn(at.take).Tree(t.Context(), head), "a"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a remote that hangs: %v", err)
	}
	if at.taken != 1 || len(at.answered) != 1 || at.answered[0] {
		t.Errorf("%d turns, answered: %v", at.taken, at.answered)
	}
}
