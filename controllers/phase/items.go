package phase

import (
	"fmt"
	"slices"
	"strings"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Item is one check of a phase as it was seen.
type Item struct {
	lifecyclev1.ItemStatus
	// Summary says in one line what the check found, or what it waits for.
	Summary string
	// Missing says that what the check is defined by does not exist.
	Missing bool
}

// Judge decides from the checks of a phase, as Keptn does: one that failed decides at
// once, and all have to have ended before the phase has passed. What they are called
// is said by noun, as in "tasks". Where a definition is missing the phase is Pending,
// unless another check is at work.
func Judge(noun string, items []Item) Outcome {
	worst, decisive := lifecyclev1.StateSucceeded, -1
	var missing, running []string
	for i := range items {
		item := &items[i]
		switch {
		case item.Missing:
			missing = append(missing, item.DefinitionName+": "+item.Summary)
		case !item.Status.Completed():
			running = append(running, item.DefinitionName+suffixed(": ", item.Summary))
		default:
			if state := Worse(worst, ended(item.Status)); state != worst || decisive < 0 {
				worst, decisive = state, i
			}
		}
	}
	switch {
	case worst == lifecyclev1.StateFailed:
		return concluded(worst, items[decisive])
	case len(missing) > 0:
		return Outcome{State: whileMissing(items), Reason: Missing, Message: strings.Join(missing, "; ")}
	case len(running) > 0:
		return Wait(Progressing, "%s %s", doing(noun), strings.Join(running, "; "))
	case decisive < 0:
		return Skip("no %s", noun)
	default:
		return concluded(worst, items[decisive])
	}
}

// whileMissing is the state of a phase that waits for a definition.
func whileMissing(items []Item) lifecyclev1.KeptnState {
	if slices.ContainsFunc(items, func(item Item) bool { return item.Status == lifecyclev1.StateProgressing }) {
		return lifecyclev1.StateProgressing
	}
	return lifecyclev1.StatePending
}

// doing says what is done with checks that are under way.
func doing(noun string) string {
	switch noun {
	case "evaluations":
		return "evaluating"
	case "workloads":
		return "delivering"
	default:
		return "running"
	}
}

// ended is the state of a check that has ended as it counts for its phase: one that
// was given up has failed.
func ended(s lifecyclev1.KeptnState) lifecyclev1.KeptnState {
	if s == lifecyclev1.StateDeprecated {
		return lifecyclev1.StateFailed
	}
	return s
}

var reasons = map[lifecyclev1.KeptnState]string{
	lifecyclev1.StateSucceeded: Succeeded,
	lifecyclev1.StateWarning:   Warning,
	lifecyclev1.StateFailed:    Failed,
	lifecyclev1.StateUnknown:   Inconclusive,
}

func concluded(state lifecyclev1.KeptnState, item Item) Outcome {
	message := item.Summary
	if message == "" {
		message = fmt.Sprintf("%s: %s", item.DefinitionName, item.Status)
	}
	return Outcome{State: state, Reason: reasons[state], Message: message}
}

func suffixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// Statuses are the items as a record lists them.
func Statuses(items []Item) []lifecyclev1.ItemStatus {
	statuses := make([]lifecyclev1.ItemStatus, len(items))
	for i := range items {
		statuses[i] = items[i].ItemStatus
	}
	return statuses
}
