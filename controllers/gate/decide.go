package gate

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// claim is what the Lifecycles in Git that name a workload say of it.
type claim struct {
	// current is the key of its newest revision; empty while that is not known.
	current string
	// released says whether all of them let that revision go, and since when.
	released bool
	since    time.Time
}

// join adds what another Lifecycle says: both have to let a revision go.
func (c claim) join(other claim) claim {
	c.released = c.released && other.released
	if other.since.After(c.since) {
		c.since = other.since
	}
	return c
}

// delivery is what a KeptnWorkloadVersion says of one revision.
type delivery struct {
	// workload is the name of the KeptnWorkload.
	workload string
	// generation is higher for the newer of two deliveries of a workload.
	generation int64
	key        string
	released   bool
	since      time.Time
}

// life is what is left of a revision.
type life struct {
	// current: it is the newest of its workload, or it is not known which one is.
	current bool
	// pods: it has pods, or is to have some.
	pods bool
}

// view is all that decides over the gates of one namespace.
type view struct {
	// enabled: the namespace asks for all its annotated workloads to be gated.
	enabled bool
	// listed are the keys that the namespace lists as released.
	listed []string
	// claims are those of Lifecycles, by <Kind>/<name> of the workload.
	claims map[string]claim
	// deliveries are those of annotated workloads that no Lifecycle claims.
	deliveries []delivery
	// delivered are the keys of their revisions.
	delivered map[string]bool
	// gated are the pods that carry the gate.
	gated []gatedPod
}

// gatedPod is a pod that carries the gate.
type gatedPod struct {
	namespace, name string
	uid             types.UID
	// key of its revision; empty where it is of no kind that is gated.
	key string
	// workload is <Kind>/<name> of what it belongs to.
	workload string
	// unmanaged: no annotation asks for the workload to be delivered with checks.
	unmanaged bool
	// orphan: what it belongs to does not exist any more.
	orphan bool
}

// granted are the keys of the revisions that are let go by the newest word on
// their workload, and since when.
func (v *view) granted() map[string]time.Time {
	granted := map[string]time.Time{}
	for _, c := range v.claims {
		if c.released && c.current != "" {
			granted[c.current] = c.since
		}
	}
	if !v.enabled {
		return granted
	}
	for _, d := range v.newest() {
		if d.released && d.key != "" {
			granted[d.key] = d.since
		}
	}
	return granted
}

// newest are the newest deliveries of each annotated workload.
func (v *view) newest() map[string]delivery {
	newest := map[string]delivery{}
	for _, d := range v.deliveries {
		if was, known := newest[d.workload]; !known || d.generation > was.generation {
			newest[d.workload] = d
		}
	}
	return newest
}

// earlier are the keys that deliveries let go before there was a newer one, and
// since when.
func (v *view) earlier() map[string]time.Time {
	earlier := map[string]time.Time{}
	if !v.enabled {
		return earlier
	}
	for _, d := range v.deliveries {
		if d.released && d.key != "" {
			earlier[d.key] = d.since
		}
	}
	return earlier
}

// doubt is what has to be known of a revision. A listed one stays released if it is
// its workload's newest or has pods, another becomes so if it has pods and is not.
type doubt int

const (
	unlisted doubt = iota
	listed
)

// doubtful are the keys of which it has to be known what is left of them: those
// that are listed, and those of gated pods that were let go before, where no newest
// word lets them go.
func (v *view) doubtful(granted, earlier map[string]time.Time) map[string]doubt {
	doubtful := map[string]doubt{}
	for _, pod := range v.gated {
		if _, was := earlier[pod.key]; was {
			doubtful[pod.key] = unlisted
		}
	}
	for _, key := range v.listed {
		doubtful[key] = listed
	}
	for key := range granted {
		delete(doubtful, key)
	}
	return doubtful
}

// released are the keys of all revisions whose pods may start, and since when. One
// that was released stays so while it is its workload's newest or has pods. One
// that is not listed any more, but was let go before and still has pods, is so
// again, unless it is the newest: then it was rolled back to, and its checks run
// again.
func released(granted, earlier map[string]time.Time, doubtful map[string]doubt, lives map[string]life) map[string]time.Time {
	released := maps.Clone(granted)
	for key, of := range doubtful {
		left := lives[key]
		if of == listed && (left.current || left.pods) || of == unlisted && left.pods && !left.current {
			released[key] = earlier[key]
		}
	}
	return released
}

// free are the gated pods that may start: those of released revisions, and those
// that nobody wants gated.
func (v *view) free(released map[string]time.Time) []gatedPod {
	var free []gatedPod
	for _, pod := range v.gated {
		_, isReleased := released[pod.key]
		_, isClaimed := v.claims[pod.workload]
		switch {
		case pod.key == "", isReleased:
			free = append(free, pod)
		case pod.orphan, isClaimed:
		case !v.enabled, pod.unmanaged && !v.delivered[pod.key]:
			free = append(free, pod)
		}
	}
	return free
}

// The longest lists that are written, in bytes. The API server takes 256 KiB of
// annotations, of which others need some.
const (
	maxGated    = 64 << 10
	maxReleased = 136 << 10
)

// write writes entries as ,a,b, so that CEL finds one by contains(',a,'). Where they
// are longer than limit the first are left out; dropped says how many.
func write(entries []string, limit int) (text string, dropped int) {
	length := 1
	from := len(entries)
	for from > 0 && length+len(entries[from-1])+1 <= limit {
		from--
		length += len(entries[from]) + 1
	}
	if from == len(entries) {
		return "", from
	}
	return "," + strings.Join(entries[from:], ",") + ",", from
}

// read reads what write has written.
func read(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' })
}

// byAge orders keys by when they were released, oldest first.
func byAge(released map[string]time.Time) []string {
	return slices.SortedFunc(maps.Keys(released), func(a, b string) int {
		return cmp.Or(released[a].Compare(released[b]), cmp.Compare(a, b))
	})
}
