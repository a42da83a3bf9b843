package fabric

import (
	"errors"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/keptn/gitops/policy/metric"
)

// keepErrors is how long an error is kept at most.
const keepErrors = 10 * time.Second

// A cache keeps answers for a while, and drops those first that were not asked for
// the longest. It is not safe for concurrent use.
type cache struct {
	keep            time.Duration
	kept            *simplelru.LRU[digest, keptAnswer]
	bytes, maxBytes int64
}

type keptAnswer struct {
	answer
	until time.Time
	bytes int64
}

func newCache(keep time.Duration, n int, maxBytes int64) *cache {
	c := &cache{keep: keep, maxBytes: maxBytes}
	c.kept, _ = simplelru.NewLRU(n, func(_ digest, k keptAnswer) { c.bytes -= k.bytes }) // fails for n < 1 only
	return c
}

// get is the answer that is kept, if there is one.
func (c *cache) get(key digest, now time.Time) (answer, bool) {
	k, ok := c.kept.Get(key)
	if ok && !now.Before(k.until) {
		c.kept.Remove(key)
		return answer{}, false
	}
	return k.answer, ok
}

// put keeps an answer if it may be kept.
func (c *cache) put(key digest, a answer, now time.Time) {
	c.expire(now)
	keep, bytes := c.keep, sizeOf(a.result)
	if a.err != nil {
		keep = min(keep, keepErrors)
	}
	if keep <= 0 || !keepable(a.err) || bytes > c.maxBytes/8 {
		return
	}
	c.kept.Remove(key)
	c.kept.Add(key, keptAnswer{a, now.Add(keep), bytes})
	c.bytes += bytes
	for c.bytes > c.maxBytes {
		c.kept.RemoveOldest()
	}
}

// expire drops what is too old, as far as it was not asked for since.
func (c *cache) expire(now time.Time) {
	for {
		_, oldest, ok := c.kept.GetOldest()
		if !ok || now.Before(oldest.until) {
			return
		}
		c.kept.RemoveOldest()
	}
}

// keepable says whether the same query would end the same if it were asked again
// soon: with a result, or with an error that its author, or the provider's
// administrator, has to mend.
func keepable(err error) bool {
	if err == nil {
		return true
	}
	for _, lasting := range []error{
		metric.ErrBadQuery, metric.ErrNoData, metric.ErrTooManySeries, metric.ErrConfig,
		metric.ErrUnauthorized, metric.ErrForbiddenAddress, metric.ErrBadResponse,
	} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}

// sizeOf is about how much memory a result takes, in bytes.
func sizeOf(r metric.Result) int64 {
	const entry, series, sample, label = 512, 96, 32, 64
	n := entry + len(r.Raw)
	for _, one := range r.Series {
		n += series + len(one.Samples)*sample
		for name, value := range one.Labels {
			n += label + len(name) + len(value)
		}
	}
	for _, texts := range [][]string{r.Lines, r.Warnings} {
		for _, text := range texts {
			n += len(text)
		}
	}
	return int64(n)
}
