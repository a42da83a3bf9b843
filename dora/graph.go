package dora

import (
	"cmp"
	"container/heap"
	"slices"
)

// Which of two commits can reach a commit, as bits, and whether it was met.
const (
	left uint8 = 1 << iota
	right
	both = left | right
)

// apart returns the commits that only a can reach and those that only b can, each
// newest first. It looks at no more of the history than it takes to be certain.
func (g *graph) apart(a, b int) (onlyA, onlyB []int) {
	if a == b {
		return nil, nil
	}
	w := &walk{g: g}
	w.meet(a, left)
	w.meet(b, right)
	for w.open > 0 {
		n := w.next()
		switch g.sides[n] {
		case left:
			onlyA = append(onlyA, n)
		case right:
			onlyB = append(onlyB, n)
		}
		for _, p := range g.nodes[n].parents {
			w.meet(p, g.sides[n])
		}
	}
	for _, n := range w.met {
		g.sides[n] = 0
	}
	newestFirst := func(i, j int) int { return g.nodes[j].committed.Compare(g.nodes[i].committed) }
	slices.SortStableFunc(onlyA, newestFirst)
	slices.SortStableFunc(onlyB, newestFirst)
	return onlyA, onlyB
}

// A walk goes from children to parents: by the time that a commit is taken, all that
// reach it were.
type walk struct {
	g     *graph
	queue []int
	met   []int
	// open counts the queued commits that only one side is known to reach.
	open int
}

func (w *walk) meet(n int, sides uint8) {
	before := w.g.sides[n]
	after := before | sides
	w.g.sides[n] = after
	switch {
	case before == 0:
		w.met = append(w.met, n)
		heap.Push(w, n)
		if after != both {
			w.open++
		}
	case before != both && after == both:
		w.open--
	}
}

func (w *walk) next() int {
	n, _ := heap.Pop(w).(int)
	if w.g.sides[n] != both {
		w.open--
	}
	return n
}

// Len is part of heap.Interface, as are the others below.
func (w *walk) Len() int { return len(w.queue) }

// Less puts children before parents, and then newer commits before older ones.
func (w *walk) Less(i, j int) bool { return w.g.compare(w.queue[i], w.queue[j]) < 0 }

// Swap swaps two commits.
func (w *walk) Swap(i, j int) { w.queue[i], w.queue[j] = w.queue[j], w.queue[i] }

// Push adds a commit at the end.
func (w *walk) Push(x any) {
	if n, ok := x.(int); ok {
		w.queue = append(w.queue, n)
	}
}

// Pop takes the commit at the end.
func (w *walk) Pop() any {
	last := len(w.queue) - 1
	n := w.queue[last]
	w.queue = w.queue[:last]
	return n
}

func (g *graph) compare(i, j int) int {
	a, b := &g.nodes[i], &g.nodes[j]
	return cmp.Or(cmp.Compare(b.generation, a.generation), b.committed.Compare(a.committed), cmp.Compare(a.sha, b.sha))
}

// bringers maps each of the commits that only tip reaches to the commit on tip's
// first-parent line that brought it.
func (g *graph) bringers(tip int, only []int) map[int]int {
	by := make(map[int]int, len(only))
	for _, n := range only {
		by[n] = -1
	}
	var line []int
	for n, within := tip, true; within; {
		line = append(line, n)
		if len(g.nodes[n].parents) == 0 {
			break
		}
		n = g.nodes[n].parents[0]
		_, within = by[n]
	}
	for _, bringer := range slices.Backward(line) {
		for todo := []int{bringer}; len(todo) > 0; {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if to, within := by[n]; !within || to >= 0 {
				continue
			}
			by[n] = bringer
			todo = append(todo, g.nodes[n].parents...)
		}
	}
	return by
}
