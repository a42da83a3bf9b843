package webhook

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/keptn/gitops/gitsource/forge/webhook"
)

const (
	// remembered is how long a delivery is not taken again.
	remembered = 10 * time.Minute
	// maxRemembered is how many deliveries are remembered, of all forges together.
	maxRemembered = 8192
)

// Deliveries remembers which deliveries were taken, for a while. It is safe for
// concurrent use.
type Deliveries struct {
	now func() time.Time

	mu    sync.Mutex
	known *simplelru.LRU[delivery, time.Time]
}

// delivery is the digest of what tells a delivery from others. The zero value is one that
// nothing tells from others, and is never taken for known.
type delivery [sha256.Size]byte

// NewDeliveries returns Deliveries that have none yet.
func NewDeliveries(now func() time.Time) (*Deliveries, error) {
	known, err := simplelru.NewLRU[delivery, time.Time](maxRemembered, nil)
	if err != nil {
		return nil, fmt.Errorf("make the cache of deliveries: %w", err)
	}
	return &Deliveries{now: now, known: known}, nil
}

// deliveryOf tells a delivery by its id, or else by its whole body, if that names a
// commit: what only says that something was pushed is said with the same words of each
// push. What one namespace was sent is not known in another.
func deliveryOf(namespace string, event webhook.Event, body []byte) delivery {
	named := event.PullRequest.Head != "" || slices.ContainsFunc(event.Updates, func(u webhook.Update) bool { return u.After != "" })
	if event.Delivery == "" && !named {
		return delivery{}
	}
	id := "id " + event.Delivery
	if event.Delivery == "" {
		id = fmt.Sprintf("body %x", sha256.Sum256(body))
	}
	return sha256.Sum256(fmt.Appendf(nil, "%s %s %s", namespace, event.Forge, id))
}

// add says whether a delivery is known, and remembers it if not.
func (d *Deliveries) add(of delivery) (known bool) {
	if of == (delivery{}) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if at, ok := d.known.Peek(of); ok && now.Before(at.Add(remembered)) {
		return true
	}
	d.known.Add(of, now)
	return false
}

// forget has a delivery taken when it comes again.
func (d *Deliveries) forget(of delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known.Remove(of)
}
