package gate

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Look has the reconciler look for the policy as its watch would.
func (r *Reconciler) Look(ctx context.Context, reader client.Reader) { r.look(ctx, reader) }

// Written is the text of a list, and how many of its entries are left out.
func Written(released map[string]time.Time, limit int) (string, int) {
	return write(byAge(released), limit)
}

// Read reads the text of a list.
func Read(text string) []string { return read(text) }
