package forge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// NotesRef is where statuses are kept as Git notes.
const NotesRef = "refs/notes/keptn"

// noteTime is RFC 3339 in UTC with a fixed width, so that lines sort by time
// when they are sorted as text.
const noteTime = "2006-01-02T15:04:05.000Z"

// Note is one line of a commit's Git note: a status, and who said it.
type Note struct {
	// Status is what is said. Its Time is in milliseconds, and its Commit the
	// one the note is attached to.
	Status
	// Cluster is where it came about.
	Cluster string
}

// noteLine is the JSON of a line. The time comes first: notes are merged with
// git's cat_sort_uniq, which sorts lines as text.
type noteLine struct {
	Time        string `json:"time"`
	Context     string `json:"context"`
	State       State  `json:"state"`
	Description string `json:"description,omitempty"`
	TargetURL   string `json:"targetURL,omitempty"`
	Cluster     string `json:"cluster,omitempty"`
}

// Line returns the note as one line of JSON without the line's end. The commit
// is not in it: the note is attached to it. Lines of one repository sort by
// time when sorted as text, for times of the years 0 to 9999.
func (n Note) Line() string {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	// Strings only: encoding cannot fail.
	_ = encoder.Encode(noteLine{
		Time:        n.Time.UTC().Format(noteTime),
		Context:     n.Context,
		State:       n.State,
		Description: n.Description,
		TargetURL:   n.TargetURL,
		Cluster:     n.Cluster,
	})
	return strings.TrimSuffix(line.String(), "\n")
}

// ParseNote reads one line of the note of a commit, as Line writes it. Fields
// it does not know are ignored; a line that is none of ours, such as what
// somebody wrote by hand, is an error.
func ParseNote(commit, line string) (Note, error) {
	var read noteLine
	decoder := json.NewDecoder(strings.NewReader(line))
	if err := decoder.Decode(&read); err != nil {
		return Note{}, fmt.Errorf("note of commit %.7s: not a line of JSON: %w", commit, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Note{}, fmt.Errorf("note of commit %.7s: more than one value in a line", commit)
	}
	at, err := time.Parse(noteTime, read.Time)
	switch {
	case err != nil:
		return Note{}, fmt.Errorf("note of commit %.7s: time: %w", commit, err)
	case read.Context == "":
		return Note{}, fmt.Errorf("note of commit %.7s: it has no context", commit)
	case !read.State.valid():
		return Note{}, fmt.Errorf("note of commit %.7s: context %q: unknown state %q", commit, read.Context, read.State)
	}
	return Note{
		Status: Status{
			Commit:      commit,
			Context:     read.Context,
			State:       read.State,
			Description: read.Description,
			TargetURL:   read.TargetURL,
			Time:        at,
		},
		Cluster: read.Cluster,
	}, nil
}

// newer reports whether n says the newer thing of two notes of one context. At
// the same time, a verdict is newer than the wait for it.
func (n Note) newer(other Note) bool {
	if !n.Time.Equal(other.Time) {
		return n.Time.After(other.Time)
	}
	if n.State.Final() != other.State.Final() {
		return n.State.Final()
	}
	return n.Line() > other.Line()
}
