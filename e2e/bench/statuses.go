package main

import "context"

// statusesOut runs the benchmark of package report: statuses that go out to a forge which
// limits its callers.
func statusesOut(ctx context.Context, b *bench) ([]table, error) {
	return b.goBenchmarks(ctx, "./controllers/report", "5,000 statuses to a forge that limits its callers",
		" The forge is a server in the benchmark that holds to GitHub's documented limits: a write costs 5 points, a read one."+
			" `minutes` pass by the clock of the queue and of the forge, which both do not wait for;"+
			" `minutes-at-least` is what the same statuses take who asks nothing, and of whom nothing fails."+
			" `time` and what is allocated are of both sides, for all statuses.", "-benchtime", "1x")
}
