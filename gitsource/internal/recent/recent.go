// Package recent remembers what was used lately, in bounded memory.
//
// What a [Cache] forgets is a matter of cost alone: nothing expires, and nobody is told.
package recent

import "sync"

// A Cache keeps values whose costs together stay below its limit. It is safe for
// concurrent use. The zero value keeps nothing; make one with [New].
type Cache[K comparable, V any] struct {
	limit int

	mu sync.Mutex
	// young holds what was put or used since the last change of generations, old what was
	// in the one before; each takes half of the limit.
	young, old map[K]item[V]
	cost       int // of the young
}

type item[V any] struct {
	value V
	cost  int
}

// New returns a cache for values that cost no more than limit together. Cost is in any
// unit, bytes for example.
func New[K comparable, V any](limit int) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, young: map[K]item[V]{}}
}

// Get returns what was put under a key, unless it is forgotten.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.young[key]
	if ok {
		return i.value, true
	}
	if i, ok = c.old[key]; ok {
		c.put(key, i)
	}
	return i.value, ok
}

// Put remembers a value. One that costs more than an eighth of the limit is not kept, so
// that it displaces nothing.
func (c *Cache[K, V]) Put(key K, value V, cost int) {
	if cost > c.limit/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(key, item[V]{value, cost})
}

func (c *Cache[K, V]) put(key K, i item[V]) {
	if before, ok := c.young[key]; ok {
		c.cost -= before.cost
	}
	if c.cost+i.cost > c.limit/2 {
		c.old, c.young, c.cost = c.young, map[K]item[V]{}, 0
	}
	c.young[key] = i
	c.cost += i.cost
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old, c.cost = map[K]item[V]{}, nil, 0
}
