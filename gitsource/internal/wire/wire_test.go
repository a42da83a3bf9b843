package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
)

const sha = "0123456789012345678901234567890123456789"

func lines(all ...string) string {
	var out []byte
	for _, l := range all {
		out = appendLine(out, l)
	}
	return string(out)
}

func TestPacketsAreReadOneByOneAndNothingBeyondThem(t *testing.T) {
	t.Parallel()
	r := strings.NewReader(lines("one") + "0004" + delimPkt + "0007two" + flushPkt + "rest")
	in := packets{r: r}
	var got []string
	for {
		kind, line, err := in.next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(kind, " ", string(line)))
		if kind == flush {
			break
		}
	}
	want := []string{"0 one", "0 ", "2 ", "0 two", "1 "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "rest" {
		t.Errorf("what is left is %q", rest)
	}
}

func TestWhatARemoteRefusesHasATypeOfItsOwn(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason, said string
		want         error
	}{
		"Git":    {"An object that is not there.", "upload-pack: not our ref " + sha, ErrRefused},
		"JGit":   {"The same of Gerrit.", "want " + sha + " not valid", ErrRefused},
		"GitLab": {"A filter that the administrator does not allow.", "filter 'tree' not supported", ErrFilter},
		"Depth":  {"One that goes too deep.", "tree filter allows max depth 0, but got 1", ErrFilter},
		"Else":   {"What is not known.", "we are closed", ErrProtocol},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := packets{r: strings.NewReader(lines("ERR " + tc.said))}
			if _, _, err := in.next(); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), strings.Trim(tc.said[:5], "'")) {
				t.Errorf("%s\n%v, want %v", tc.reason, err, tc.want)
			}
			if err := classify(t.Context(), errors.New(tc.said)); !errors.Is(err, tc.want) {
				t.Errorf("%s\nin version 0: %v, want %v", tc.reason, err, tc.want)
			}
		})
	}
}

func TestTheOpeningSaysTheVersionAndIsLeftUnread(t *testing.T) {
	t.Parallel()
	service := lines("# service=git-upload-pack") + flushPkt
	cases := map[string]struct {
		reason, text string
		two          bool
		err          error
	}{
		"TwoOverSSH":     {"A line of its own.", lines("version 2", "agent=x"), true, nil},
		"TwoOverHTTP":    {"The service first.", service + lines("version 2"), true, nil},
		"Zero":           {"The first ref.", service + lines(sha+" HEAD\x00multi_ack object-format=sha1 agent=x"), false, nil},
		"ZeroEmpty":      {"No refs at all; a server may wait after that.", flushPkt, false, nil},
		"EmptyOverHTTP":  {"The same behind a service.", service + flushPkt, false, nil},
		"SHA256":         {"Names that are too long.", lines(sha + " HEAD\x00multi_ack object-format=sha256 agent=x"), false, ErrObjectFormat},
		"Nothing":        {"Whoever reads it says so.", "", false, nil},
		"NoGit":          {"Likewise.", "<html>", false, nil},
		"LongerThanSeen": {"A line that is not looked at to its end.", lines(sha + " HEAD\x00" + strings.Repeat("x", 60000)), false, nil},
		"Cut":            {"A line that has no end.", lines("version 2")[:8], false, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReaderSize(strings.NewReader(tc.text), openingBytes)
			two, err := isVersionTwo(r)
			if two != tc.two || !errors.Is(err, tc.err) {
				t.Errorf("%s\n%t, %v", tc.reason, two, err)
			}
			if rest, _ := io.ReadAll(r); string(rest) != tc.text {
				t.Errorf("%s\nleft: %.80q", tc.reason, rest)
			}
		})
	}
}

func TestRefsAreReadWithWhatTheySayBeyondTheirNames(t *testing.T) {
	t.Parallel()
	refs := newRefs()
	for _, line := range []string{
		sha + " HEAD symref-target:refs/heads/main",
		sha + " refs/heads/main",
		strings.Repeat("1", 40) + " refs/tags/v1 peeled:" + sha,
		"unborn refs/heads/none",
	} {
		if err := refs.add(line); err != nil {
			t.Fatal(err)
		}
	}
	at := plumbing.NewHash(sha)
	want := Refs{
		At:     map[string]plumbing.Hash{"HEAD": at, "refs/heads/main": at, "refs/tags/v1": plumbing.NewHash(strings.Repeat("1", 40))},
		Peeled: map[string]plumbing.Hash{"refs/tags/v1": at},
		Head:   "refs/heads/main",
	}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Error(diff)
	}
}

// FuzzVersionTwo reads anything as each of the answers of version 2: nothing panics, what
// is read as a ref has a name that a ref can have, and what is no answer is a known error.
func FuzzVersionTwo(f *testing.F) {
	for _, seed := range []string{
		"", flushPkt, delimPkt, "0003", "fffe",
		lines("# service=git-upload-pack") + flushPkt + lines("version 2", "agent=git/2", "ls-refs=unborn", "fetch=shallow filter", "object-format=sha1") + flushPkt,
		lines(sha+" HEAD symref-target:refs/heads/main", sha+" refs/tags/v1 peeled:"+sha) + flushPkt,
		lines("shallow-info", "shallow "+sha) + delimPkt + lines("packfile") + "0009\x01PACK" + flushPkt,
		lines("ERR upload-pack: not our ref " + sha),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(err error) {
			if err = classify(t.Context(), err); err != nil && !isKnown(err) {
				t.Errorf("an error of no kind: %v", err)
			}
		}
		opening := bufio.NewReaderSize(bytes.NewReader(data), openingBytes)
		_, err := isVersionTwo(opening)
		check(err)
		_, err = readFeatures(bytes.NewReader(data))
		check(err)
		check((&Session{}).readPreamble(bytes.NewReader(data)))
		refs, in := newRefs(), packets{r: bytes.NewReader(data)}
		for {
			_, line, err := in.next()
			check(err)
			if err != nil {
				break
			}
			check(refs.add(string(line)))
		}
		for name := range refs.At {
			if name != "HEAD" && plumbing.ReferenceName(name).Validate() != nil {
				t.Errorf("%q was read as a ref", name)
			}
		}
	})
}
