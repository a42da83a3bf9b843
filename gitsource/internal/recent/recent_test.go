package recent_test

import (
	"sync"
	"testing"

	"github.com/keptn/gitops/gitsource/internal/recent"
)

func TestWhatIsUsedStaysAndTheRestIsForgotten(t *testing.T) {
	c := recent.New[int, string](100)
	c.Put(0, "kept", 1)
	for i := 1; i <= 10_000; i++ {
		if got, ok := c.Get(0); !ok || got != "kept" {
			t.Fatalf("after %d others what is used all the time is forgotten", i)
		}
		c.Put(i, "other", 1)
	}
	left := 0
	for i := range 10_001 {
		if _, ok := c.Get(i); ok {
			left++
		}
	}
	if left > 100 {
		t.Errorf("%d values of cost 1 are kept, and the limit is 100", left)
	}
	if _, ok := c.Get(10_000); !ok {
		t.Error("the latest is forgotten")
	}
}

func TestCostsAreNotCountedTwice(t *testing.T) {
	c := recent.New[string, int](100)
	c.Put("other", 1, 1)
	for i := range 1000 {
		c.Put("same", i, 10)
	}
	if _, ok := c.Get("other"); !ok {
		t.Error("a value put again and again displaces others")
	}
	if got, _ := c.Get("same"); got != 999 {
		t.Errorf("got %d, want the latest", got)
	}
}

func TestWhatCostsTooMuchIsNotKept(t *testing.T) {
	c := recent.New[string, int](80)
	c.Put("small", 1, 10)
	c.Put("large", 2, 11)
	if _, ok := c.Get("large"); ok {
		t.Error("more than an eighth of the limit is kept")
	}
	if _, ok := c.Get("small"); !ok {
		t.Error("an eighth of the limit is not kept")
	}
	c.Clear()
	if _, ok := c.Get("small"); ok {
		t.Error("something is left after Clear")
	}
}

func TestManyMayUseACacheAtOnce(_ *testing.T) {
	c := recent.New[int, int](1000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				c.Put(i, i, 7)
				c.Get(i / 2)
			}
		})
	}
	wg.Wait() // the race detector judges
}
