package forge_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestNotesSortByTimeWhenSortedAsText(t *testing.T) {
	start := time.Date(2026, 9, 30, 23, 59, 59, 990e6, time.UTC)
	var lines []string
	for i := range 50 {
		s := status(knownCommit, forge.Success, strings.Repeat("z", 50-i))
		zone := time.FixedZone("", (i%3-1)*3600)
		s.Time = start.Add(time.Duration(i) * 7 * time.Millisecond).In(zone)
		lines = append(lines, forge.Note{Status: s, Cluster: "west"}.Line())
	}
	sorted := slices.Clone(lines)
	slices.Sort(sorted)
	if diff := cmp.Diff(lines, sorted); diff != "" {
		t.Errorf("(-by time +by text):\n%s", diff)
	}
}

func TestLinesThatAreNoNotesAreErrors(t *testing.T) {
	cases := map[string]struct{ reason, line string }{
		"Prose":        {"People write notes too.", "tested by hand"},
		"Empty":        {"Git separates notes by empty lines.", ""},
		"Cut":          {"Half a line is none.", `{"time":"2026-11-22T10:00:00.000Z","context":"a"`},
		"TwoValues":    {"One line, one note.", `{"time":"2026-11-22T10:00:00.000Z","context":"a","state":"success"} {}`},
		"NoTime":       {"It could not be ordered.", `{"context":"a","state":"success"}`},
		"OtherTime":    {"It would not sort.", `{"time":"2026-11-22T10:00:00+01:00","context":"a","state":"success"}`},
		"NoContext":    {"It would speak of nothing.", `{"time":"2026-11-22T10:00:00.000Z","state":"success"}`},
		"UnknownState": {"A newer version's words are not guessed at.", `{"time":"2026-11-22T10:00:00.000Z","context":"a","state":"great"}`},
		"List":         {"Not an object.", `[]`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if note, err := forge.ParseNote(knownCommit, tc.line); err == nil {
				t.Errorf("%s\ngot %+v, want an error", tc.reason, note)
			}
		})
	}
}

func TestANoteIsReadBackAsItWasWritten(t *testing.T) {
	want := forge.Note{Status: status(knownCommit, forge.Warning, "a\nb <&> \u2028 \"ü\""), Cluster: "west"}
	line := want.Line()
	if strings.Contains(line, "\n") {
		t.Errorf("more than one line: %q", line)
	}
	got, err := forge.ParseNote(knownCommit, line)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFieldsOfANewerVersionAreIgnored(t *testing.T) {
	line := `{"time":"2026-11-22T10:00:00.000Z","context":"a","state":"success","score":99}`
	if _, err := forge.ParseNote(knownCommit, line); err != nil {
		t.Error(err)
	}
}

func FuzzParseNote(f *testing.F) {
	f.Add(`{"time":"2026-11-22T10:00:00.000Z","context":"a","state":"success","description":"d","cluster":"c"}`)
	f.Add(`{"time":"2026-11-22T10:00:00.000Z","context":"\ud800","state":"error"}`)
	f.Add("{}\n{}")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		note, err := forge.ParseNote(knownCommit, line)
		if err != nil {
			return
		}
		again, err := forge.ParseNote(knownCommit, note.Line())
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if diff := cmp.Diff(note, again); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}
