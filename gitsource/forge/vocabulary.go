package forge

import "strings"

// warningText and undecidedText begin the description of a Warning, and of an Error, at a
// forge that has no such state, or that counts a Warning as failed.
const (
	warningText   = "Warning: "
	undecidedText = "Inconclusive: "
)

// A word is how a forge says a state: by a state of its own, and by how the description
// begins where the forge's state stands for two of ours.
type word struct {
	state  State
	said   string
	begins string
}

// A vocabulary is the words of one forge. Of several words for one of our states the
// first is said and the others are understood; of several of our states for one word of
// the forge, those with a beginning come first.
type vocabulary []word

// say returns the forge's word for the state, and the description that goes with it.
func (v vocabulary) say(s Status) (said, description string) {
	for _, w := range v {
		if w.state == s.State {
			return w.said, w.begins + s.Description
		}
	}
	return "", s.Description
}

// hear is the reverse of say. A word that it does not know is somebody else's, and no
// verdict: it is heard as Error, which is never taken for a success.
func (v vocabulary) hear(said, description string) (State, string) {
	for _, w := range v {
		if rest, found := strings.CutPrefix(description+" ", w.begins); found && w.said == said {
			return w.state, strings.TrimSuffix(rest, " ")
		}
	}
	return Error, description
}

// judged is the vocabulary of a forge that knows a wait, a success and a failure. A
// warning has passed and is a success, so that it never blocks a merge. An inconclusive
// verdict is a failure, so that it never looks like a success.
func judged(pending, success, failure string) vocabulary {
	return vocabulary{
		{Pending, pending, ""},
		{Warning, success, warningText}, {Success, success, ""},
		{Error, failure, undecidedText}, {Failure, failure, ""},
	}
}
