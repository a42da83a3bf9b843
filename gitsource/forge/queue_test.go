package forge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestAContextIsReadOnceAndThenWritten(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.put("a", forge.Pending, 0)
		s.want(t, "Another process may have written it.", []string{"ask shop a", "set shop a pending"}, []string{"Sent a pending"})
		s.put("a", forge.Success, 1)
		s.want(t, "Now this process knows what the forge holds.", []string{"set shop a success"}, []string{"Sent a success"})
		s.put("a", forge.Success, 2)
		s.want(t, "Nothing is said twice.", nil, []string{"Adopted a success"})
	})
}

func TestWhatTheForgeAlreadySaysIsAdoptedAfterARestart(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.held["shopa"] = forge.Status{Commit: knownCommit, Context: "a", State: forge.Success, Description: "rat"}
		i := item(s.host, "shop", "a", forge.Success, 0)
		i.Status.Description = "ratio 0.1 %"
		s.queue.Put(i)
		synctest.Wait()
		s.want(t, "The forge cut the text, and still says the same.", []string{"ask shop a"}, []string{"Adopted a success"})
	})
}

func TestAnAnswerThatWasLostIsNotAReasonToPostTwice(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.lost, s.answers = true, []error{nil, forge.ErrTemporary}
		s.put("a", forge.Success, 0)
		s.want(t, "The connection broke after sending.", []string{"ask shop a", "set shop a success"}, []string{"Retrying a success"})
		s.step(2 * time.Second)
		s.want(t, "The forge had taken it in.", []string{"ask shop a"}, []string{"Adopted a success"})
	})
}

func TestARequestThatNeverArrivedIsMadeAgain(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{nil, errors.New("boom"), forge.ErrTemporary}
		s.put("a", forge.Success, 0)
		s.step(2 * time.Second)
		s.step(4 * time.Second)
		s.want(t, "An error of no known kind may pass as well; reading fails like writing does.",
			[]string{"ask shop a", "set shop a success", "ask shop a", "ask shop a", "set shop a success"},
			[]string{"Retrying a success", "Retrying a success", "Sent a success"})
	})
}

func TestOfSeveralWaitingStatusesOnlyTheLastIsSent(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.put("busy", forge.Success, 0)
		s.put("a", forge.Pending, 1)
		s.put("a", forge.Warning, 2)
		s.put("a", forge.Failure, 3)
		close(s.gate)
		synctest.Wait()
		s.want(t, "Who reads the commit wants the newest.",
			[]string{"ask shop busy", "set shop busy success", "ask shop a", "set shop a failure"},
			[]string{"Sent busy success", "Sent a failure"})
	})
}

func TestStatusesOfAContextKeepTheirOrder(t *testing.T) {
	type put struct {
		state  forge.State
		second int
	}
	cases := map[string]struct {
		reason string
		puts   []put
		want   forge.State
	}{
		"Forward":      {"Pending, then the verdict.", []put{{forge.Pending, 0}, {forge.Success, 1}}, forge.Success},
		"LatePending":  {"A stale read puts Pending after its verdict.", []put{{forge.Success, 1}, {forge.Pending, 0}}, forge.Success},
		"SameMoment":   {"In one second, the verdict is the later.", []put{{forge.Success, 1}, {forge.Pending, 1}}, forge.Success},
		"LateVerdict":  {"A stale verdict does not replace a newer one.", []put{{forge.Success, 2}, {forge.Failure, 1}}, forge.Success},
		"NewVerdict":   {"Judged again at once, without Pending.", []put{{forge.Failure, 1}, {forge.Success, 1}}, forge.Success},
		"Reevaluation": {"A Pending later than the verdict is a new evaluation.", []put{{forge.Failure, 1}, {forge.Pending, 2}}, forge.Pending},
	}
	for name, tc := range cases {
		for _, when := range []string{"sent", "waiting", "in flight"} {
			t.Run(name+"/"+when, func(t *testing.T) {
				play(t, func(t *testing.T, s *stage) {
					release := s.hold(when)
					for _, p := range tc.puts {
						s.put("a", p.state, p.second)
					}
					release()
					if got := s.held["shopa"].State; got != tc.want {
						t.Errorf("%s\nthe forge shows %s, want %s; it was asked %v", tc.reason, got, tc.want, s.calls)
					}
				})
			})
		}
	}
}

func TestAfterARestartTheForgesOwnTimeCountsForPendingOnly(t *testing.T) {
	at := func(state forge.State, second int) forge.Status {
		return forge.Status{Commit: knownCommit, Context: "a", State: state, Time: noon.Add(time.Duration(second) * time.Second)}
	}
	cases := map[string]struct {
		reason    string
		held, put forge.Status
		want      string
	}{
		"StalePending":    {"The verdict was posted by the process before.", at(forge.Failure, 10), at(forge.Pending, 5), "Superseded a pending"},
		"NewPending":      {"A new evaluation began after the verdict.", at(forge.Failure, 10), at(forge.Pending, 15), "Sent a pending"},
		"OvertakenByPost": {"Pending may have been posted later than the verdict came about.", at(forge.Pending, 10), at(forge.Success, 5), "Sent a success"},
		"OtherVerdict":    {"So may an older verdict.", at(forge.Failure, 10), at(forge.Success, 5), "Sent a success"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				s.held["shopa"] = tc.held
				s.put("a", tc.put.State, int(tc.put.Time.Sub(noon)/time.Second))
				if diff := cmp.Diff([]string{tc.want}, s.results); diff != "" {
					t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
				}
			})
		})
	}
}

func TestAPauseAskedForHoldsForTheWholeHost(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{fmt.Errorf("wrapped: %w", &forge.RateLimitedError{RetryAfter: 90 * time.Second})}
		s.put("a", forge.Success, 0)
		if want := noon.Add(90 * time.Second); !s.last.Next.Equal(want) {
			t.Errorf("next try at %s, want %s", s.last.Next, want)
		}
		s.queue.Put(item(s.host, "store", "b", forge.Success, 0))
		s.step(89 * time.Second)
		s.want(t, "Nothing is asked meanwhile, of any repository.", []string{"ask shop a"}, []string{"Retrying a success"})
		s.step(time.Second)
		s.want(t, "The pause is over.",
			[]string{"ask shop a", "ask store b", "set shop a success", "set store b success"},
			[]string{"Sent a success", "Sent b success"})
	})
}

func TestAForgeThatAsksForNoPauseIsStillGivenOne(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{&forge.RateLimitedError{}, &forge.RateLimitedError{}}
		s.put("a", forge.Success, 0)
		s.step(2 * time.Second)
		s.want(t, "Retry-After: 0 must not become a loop.", []string{"ask shop a", "ask shop a"}, []string{"Retrying a success", "Retrying a success"})
	})
}

func TestPausesGrowWhileAForgeGoesOnAskingForThem(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = slices.Repeat([]error{&forge.RateLimitedError{RetryAfter: time.Millisecond}}, 12)
		for i := range 20 {
			s.queue.Put(item(s.host, "shop", fmt.Sprint(i), forge.Success, 0))
		}
		synctest.Wait()
		now, want := noon, time.Second
		for i := range 12 {
			if pause := s.last.Next.Sub(now); len(s.calls) != i+1 || pause < want/2 || pause > want*3/2+1 {
				t.Fatalf("limit %d, each met by another status: %d requests, next after %s, want %s give or take half", i, len(s.calls), pause, want)
			}
			now = s.last.Next
			s.step(now.Sub(s.clock.Now()))
			want = min(2*want, 5*time.Minute)
		}
		s.answers = []error{&forge.RateLimitedError{RetryAfter: time.Millisecond}}
		s.put("another", forge.Success, 0)
		if pause := s.last.Next.Sub(s.clock.Now()); s.last.Outcome != forge.Retrying || pause > 2*time.Second {
			t.Errorf("after the forge has answered: %s, next after %s", s.last.Outcome, pause)
		}
	})
}

func TestRetriesSlowDownWithJitter(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = slices.Repeat([]error{forge.ErrTemporary}, 12)
		now, want := noon, time.Second
		s.put("a", forge.Success, 0)
		for i := range 12 {
			if s.last.Outcome != forge.Retrying {
				t.Fatalf("try %d: %s", i, s.last.Outcome)
			}
			if pause := s.last.Next.Sub(now); pause < want/2 || pause > want*3/2+1 {
				t.Errorf("try %d: next after %s, want %s give or take half", i, pause, want)
			}
			s.step(s.last.Next.Sub(now))
			now, want = s.clock.Now(), min(2*want, 5*time.Minute)
		}
		if s.last.Outcome != forge.Sent {
			t.Errorf("the forge is back: got %s", s.last.Outcome)
		}
	})
}

func TestFinalErrorsAreGivenUpAndReported(t *testing.T) {
	for _, kind := range []error{forge.ErrUnauthorized, forge.ErrRejected} {
		t.Run(kind.Error(), func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				s.answers = []error{nil, fmt.Errorf("wrapped: %w", kind)}
				s.put("a", forge.Success, 0)
				if !errors.Is(s.last.Err, kind) || s.last.Item.Owner != "default/shop" {
					t.Errorf("the owner is told why: got %+v", s.last)
				}
				s.step(time.Hour)
				s.want(t, "It is not tried again by itself.", []string{"ask shop a", "set shop a success"}, []string{"Failed a success"})
				s.put("a", forge.Success, 0)
				s.want(t, "It is when it is put again.", []string{"set shop a success"}, []string{"Sent a success"})
			})
		})
	}
}

func TestACommitJustPushedMayTakeAMomentToShowUp(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{forge.ErrNotFound, forge.ErrNotFound}
		s.put("a", forge.Success, 0)
		s.step(2 * time.Second)
		s.step(4 * time.Second)
		s.want(t, "The forge had not seen it yet.",
			[]string{"ask shop a", "ask shop a", "ask shop a", "set shop a success"},
			[]string{"Retrying a success", "Retrying a success", "Sent a success"})
	})
}

func TestACommitThatNeverShowsUpIsGivenUp(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = slices.Repeat([]error{forge.ErrNotFound}, 100)
		s.put("a", forge.Success, 0)
		for range 4 {
			s.step(4 * time.Minute)
		}
		if s.last.Outcome != forge.Failed || !errors.Is(s.last.Err, forge.ErrNotFound) {
			t.Errorf("after 16 minutes: got %+v", s.last)
		}
	})
}

func TestRepositoriesOfAHostAreServedInTurn(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.put("busy", forge.Success, 0)
		for _, name := range []string{"a", "b", "c"} {
			s.put(name, forge.Success, 0)
		}
		s.queue.Put(item(s.host, "store", "x", forge.Success, 0))
		close(s.gate)
		synctest.Wait()
		s.want(t, "A repository with much to say does not hold up another.", []string{
			"ask shop busy", "set shop busy success", "ask store x", "ask shop a", "set store x success",
			"set shop a success", "ask shop b", "set shop b success", "ask shop c", "set shop c success",
		}, []string{"Sent busy success", "Sent x success", "Sent a success", "Sent b success", "Sent c success"})
	})
}

func TestOneFailingContextDoesNotHoldUpTheNext(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.answers = []error{forge.ErrTemporary}
		s.put("a", forge.Success, 0)
		s.put("b", forge.Success, 0)
		s.want(t, "b does not wait for a.", []string{"ask shop a", "ask shop b", "set shop b success"}, []string{"Retrying a success", "Sent b success"})
	})
}

func TestANewerStatusWaitsAsLongAsTheOneItReplaces(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.answers = []error{forge.ErrTemporary}
		s.put("a", forge.Pending, 0)
		other := item(s.host, "shop", "a", forge.Success, 1)
		other.Owner = "default/other"
		s.queue.Put(other)
		close(s.gate)
		synctest.Wait()
		s.want(t, "The forge fails: news are no reason to hurry.", []string{"ask shop a"}, []string{"Superseded a pending"})
		s.step(2 * time.Second)
		s.want(t, "Then the newest is sent.", []string{"ask shop a", "set shop a success"}, []string{"Sent a success"})
	})
}

func TestAnOwnerWhoseStatusIsReplacedByAnothersIsTold(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.put("busy", forge.Success, 0)
		s.put("a", forge.Success, 0)
		other := item(s.host, "shop", "a", forge.Failure, 1)
		other.Owner = "default/other"
		s.queue.Put(other)
		close(s.gate)
		synctest.Wait()
		if diff := cmp.Diff([]string{"Superseded a success", "Sent busy success", "Sent a failure"}, s.results); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAFullQueueDropsWhatWaitedLongest(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		for _, name := range []string{"busy", "a", "b", "c", "c", "b"} {
			s.put(name, forge.Success, 0)
		}
		close(s.gate)
		synctest.Wait()
		if diff := cmp.Diff([]string{"Failed a success", "Sent busy success", "Sent b success", "Sent c success"}, s.results); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}, forge.WithCapacity(2))
}

func TestRequestsToAHostAreSpacedOut(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for i := range 5 {
			s.put(fmt.Sprint(i), forge.Success, 0)
		}
		for _, want := range []int{3, 5, 7, 9, 10, 10} {
			if len(s.calls) != want {
				t.Errorf("%s after the start: %d requests, want %d", s.clock.Since(noon), len(s.calls), want)
			}
			s.step(time.Second / 2)
			s.step(time.Second / 2)
		}
	}, forge.WithRate(2, 3))
}

func TestAStatusWithoutATimeIsOfNow(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		for i, state := range []forge.State{forge.Failure, forge.Pending} {
			s.step(time.Duration(i) * time.Second)
			put := item(s.host, "shop", "a", state, 0)
			put.Status.Time = time.Time{}
			s.queue.Put(put)
			synctest.Wait()
		}
		if got := s.held["shopa"]; got.State != forge.Pending || !got.Time.Equal(noon.Add(time.Second)) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAForgeThatNeverAnswersIsLeftAfterAWhile(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.put("a", forge.Success, 0)
		<-time.After(30 * time.Second) // of the test's own time: requests have deadlines, not clocks
		synctest.Wait()
		if s.last.Outcome != forge.Retrying || !errors.Is(s.last.Err, context.DeadlineExceeded) {
			t.Errorf("got %+v", s.last)
		}
	})
}

func TestTheEndCutsARunningRequestShort(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.put("a", forge.Success, 0)
		s.stop()
		synctest.Wait()
		s.want(t, "Nothing is known of it, so nothing is reported.", []string{"ask shop a"}, nil)
	})
}
