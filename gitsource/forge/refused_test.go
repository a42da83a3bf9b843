package forge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// by puts a verdict with the credentials of an account.
func (s *stage) by(account, repo, name string) {
	i := item(s.host, repo, name, forge.Success, 0)
	i.Destination.Account = account
	s.queue.Put(i)
	synctest.Wait()
}

func TestWrongCredentialsAreTriedWithOneStatusForAll(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers, s.gate = []error{fmt.Errorf("wrapped: %w", forge.ErrUnauthorized)}, make(chan struct{})
		s.by("bot", "shop", "a")
		s.by("bot", "shop", "b")
		s.by("bot", "store", "c")
		s.by("ada", "store", "d")
		close(s.gate)
		synctest.Wait()
		s.want(t, "Those of another account are sent.", []string{"ask shop a", "ask store d", "set store d success"},
			[]string{"Failed a success", "Failed b success", "Failed c success", "Sent d success"})
		s.by("bot", "depot", "e")
		if said := "not tried again before 2026-11-22T12:00:01Z"; s.last.Err == nil || !strings.Contains(s.last.Err.Error(), said) {
			t.Errorf("got %v, want it to say %q", s.last.Err, said)
		}
		s.want(t, "Whoever comes later is told as well.", nil, []string{"Failed e success"})
		s.step(time.Second)
		for _, name := range []string{"a", "b"} {
			s.by("bot", "shop", name)
		}
		s.want(t, "They work now.", []string{"ask shop a", "set shop a success", "ask shop b", "set shop b success"},
			[]string{"Sent a success", "Sent b success"})
	})
}

func TestWhatIsRefusedIsTriedMoreAndMoreSeldomUpToAnHour(t *testing.T) {
	for _, kind := range []error{forge.ErrUnauthorized, forge.ErrForbidden, forge.ErrRejected} {
		play(t, func(t *testing.T, s *stage) {
			s.answers = slices.Repeat([]error{kind}, 15)
			pause := time.Second
			for i := range 15 {
				s.by("bot", "shop", "a")
				s.step(pause - 1)
				s.by("bot", "shop", "a")
				if len(s.calls) != i+1 || s.last.Outcome != forge.Failed {
					t.Fatalf("%v: %d requests within %s after try %d: %+v", kind, len(s.calls)-i, pause, i, s.last)
				}
				s.step(1)
				pause = min(2*pause, time.Hour)
			}
			s.by("bot", "shop", "a")
			s.answers = []error{nil, kind}
			s.by("bot", "shop", "b")
			s.calls, s.results = nil, nil
			s.step(time.Second)
			s.by("bot", "shop", "b")
			s.want(t, "Once one was sent, it begins anew.", []string{"set shop b success"}, []string{"Sent b success"})
		})
	}
}

func TestOtherCredentialsAreTriedAtOnce(t *testing.T) {
	cases := map[string]struct {
		reason string
		answer error
		want   []string
	}{
		"Unauthorized": {"They were wrong.", forge.ErrUnauthorized, []string{"Failed a success", "Sent a success"}},
		"Forbidden":    {"They may not do this.", forge.ErrForbidden, []string{"Failed a success", "Sent a success"}},
		"Rejected":     {"What is refused may depend on who asks.", forge.ErrRejected, []string{"Failed a success", "Sent a success"}},
		"Limited":      {"The limit is of the others.", &forge.RateLimitedError{RetryAfter: time.Hour}, []string{"Retrying a success", "Sent a success"}},
		"Down":         {"Another server may be meant.", forge.ErrTemporary, []string{"Retrying a success", "Sent a success"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				s.answers = []error{tc.answer}
				s.by("old", "shop", "a")
				s.by("new", "shop", "a")
				s.want(t, tc.reason, []string{"ask shop a", "ask shop a", "set shop a success"}, tc.want)
			})
		})
	}
}

func TestCredentialsThatChangeDuringARequestAreTriedAtOnce(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers, s.gate = []error{&forge.RateLimitedError{RetryAfter: time.Hour}}, make(chan struct{})
		s.by("old", "shop", "a")
		s.by("new", "shop", "a")
		close(s.gate)
		synctest.Wait()
		s.want(t, "The answer is the others'.", []string{"ask shop a", "ask shop a", "set shop a success"}, []string{"Sent a success"})
	})
}

func TestARefusalHoldsUpNoMoreThanItSpeaksFor(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   error
		again  []string
	}{
		"Forbidden": {"What a token may do can depend on the branch.", forge.ErrForbidden, []string{"Failed a success", "Failed b success", "Sent a success"}},
		"Rejected":  {"The other status is another question.", forge.ErrRejected, []string{"Failed a success", "Sent b success", "Sent a success"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				s.answers = []error{tc.kind}
				s.by("bot", "shop", "a")
				s.by("bot", "shop", "b")
				other := item(s.host, "shop", "a", forge.Success, 0)
				other.Destination.Account, other.Status.Commit = "bot", strings.Repeat("2", 40)
				s.queue.Put(other)
				synctest.Wait()
				if diff := cmp.Diff(tc.again, s.results); diff != "" {
					t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
				}
			})
		})
	}
}

func TestAStatusThatIsRefusedHoldsUpNoNewerOneOfItsContext(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{nil, forge.ErrRejected}
		s.put("a", forge.Pending, 0)
		s.put("a", forge.Success, 1)
		s.want(t, "The verdict may be taken.", []string{"ask shop a", "set shop a pending", "set shop a success"}, []string{"Failed a pending", "Sent a success"})
	})
}

func TestACommitThatNeverShowedUpIsNotWaitedForAgain(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = slices.Repeat([]error{forge.ErrNotFound}, 100)
		s.put("a", forge.Success, 0)
		for range 4 {
			s.step(4 * time.Minute)
		}
		s.calls, s.results = nil, nil
		for range 3 {
			s.put("a", forge.Success, 0)
			s.step(10 * time.Minute)
		}
		s.want(t, "It had its time.", slices.Repeat([]string{"ask shop a"}, 3), slices.Repeat([]string{"Failed a success"}, 3))
	})
}

func TestALimitIsOfWhoHasReachedIt(t *testing.T) {
	cases := map[string]struct {
		reason  string
		host    bool
		results []string
	}{
		"Account": {"Forges count by token.", false, []string{"Retrying a success", "Sent c success"}},
		"Host":    {"The host has too much to do for anybody.", true, []string{"Retrying a success"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				s.answers = []error{&forge.RateLimitedError{RetryAfter: time.Minute, Host: tc.host}}
				s.by("bot", "shop", "a")
				s.by("bot", "store", "b")
				s.by("ada", "store", "c")
				s.step(59 * time.Second)
				if diff := cmp.Diff(tc.results, s.results); diff != "" {
					t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
				}
				s.step(time.Second)
				slices.Sort(s.results)
				if diff := cmp.Diff([]string{"Retrying a success", "Sent a success", "Sent b success", "Sent c success"}, s.results); diff != "" {
					t.Errorf("the pause is over\n(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTheLimitOfOneAccountGrowsThoughTheForgeAnswersAnother(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{&forge.RateLimitedError{}}
		s.by("bot", "shop", "a")
		for want := time.Second; want < time.Minute; want *= 2 {
			pause := s.last.Next.Sub(s.clock.Now())
			if pause < want/2 || pause > want*3/2+1 {
				t.Fatalf("next after %s, want %s give or take half", pause, want)
			}
			s.by("ada", "store", want.String())
			s.answers = []error{&forge.RateLimitedError{}}
			s.step(pause)
		}
		s.step(s.last.Next.Sub(s.clock.Now()))
		s.answers = []error{&forge.RateLimitedError{}}
		s.by("bot", "shop", "b")
		if pause := s.last.Next.Sub(s.clock.Now()); s.last.Outcome != forge.Retrying || pause > 2*time.Second {
			t.Errorf("once it was answered: %s, next after %s", s.last.Outcome, pause)
		}
	})
}

func TestWhatIsExpectedFindsOutThatCredentialsAreWrong(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{forge.ErrUnauthorized}
		for range 3 {
			s.queue.Expect(item(s.host, "shop", "a", "", 0).Destination, knownCommit, "a")
			synctest.Wait()
		}
		s.put("a", forge.Success, 0)
		s.want(t, "The status is not tried in vain.", []string{"ask shop a"}, []string{"Failed a success"})
	})
}
