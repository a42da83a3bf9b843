package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/gittest"
)

// A spoiler is a server of version 2 that spoils what a real one answers to a command.
type spoiler struct {
	real *gittest.Server
	// command is ls-refs, fetch or, for the first request, "".
	command string
	spoil   func(w http.ResponseWriter, answer []byte)
}

func (s spoiler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	command := ""
	if _, rest, ok := bytes.Cut(body, []byte("command=")); ok {
		name, _, _ := bytes.Cut(rest, []byte("\n"))
		command = string(name)
	}
	if command != s.command {
		s.real.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	s.real.ServeHTTP(rec, r)
	w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
	s.spoil(w, rec.Body.Bytes())
}

// pktLine is a line of the protocol.
func pktLine(line string) string { return fmt.Sprintf("%04x%s\n", len(line)+5, line) }

// endless repeats a text until whoever reads it leaves.
func endless(text string) func(http.ResponseWriter, []byte) {
	return func(w http.ResponseWriter, _ []byte) {
		many := []byte(strings.Repeat(text, 1+1<<16/len(text)))
		for {
			if _, err := w.Write(many); err != nil {
				return
			}
		}
	}
}

func instead(text string) func(http.ResponseWriter, []byte) {
	return func(w http.ResponseWriter, _ []byte) { _, _ = io.WriteString(w, text) }
}

func TestNoAnswerOfVersionTwoDoesHarm(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a/x": "1", "b": noise(1, 9000)})
	half := func(w http.ResponseWriter, answer []byte) { _, _ = w.Write(answer[:len(answer)/2]) }
	other := strings.Repeat("ab", 20)
	var (
		protocol  = []error{ErrProtocol}
		cut       = []error{ErrUnreachable, ErrProtocol}
		large     = []error{ErrTooLarge, ErrProtocol, ErrUnreachable}
		pack      = "PACK\x00\x00\x00\x02\x00\x00\x00\x00"
		emptyPack = pack + "\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"
		packOf    = func(content string) string {
			return pktLine("packfile") + fmt.Sprintf("%04x\x01%s", len(content)+5, content)
		}
		brokenDelta = "PACK\x00\x00\x00\x02\x00\x00\x00\x01\x76" + strings.Repeat("\xab", 20) + "x\x9c\x03\x00\x00\x00\x00\x01"
	)
	cases := map[string]struct {
		reason, command string
		spoil           func(http.ResponseWriter, []byte)
		want            []error // any of them
	}{
		"CapabilitiesCut":     {"A list of capabilities that ends too early.", "", half, cut},
		"CapabilitiesEndless": {"Or never.", "", endless(pktLine("version 2") + pktLine("agent=x")), large},
		"NoFetch":             {"A server of version 2 that cannot fetch.", "", instead(pktLine("version 2") + pktLine("ls-refs") + "0000"), protocol},
		"RefsCut":             {"A list of refs that ends too early.", "ls-refs", half, cut},
		"RefsEndless":         {"Or never.", "ls-refs", endless(pktLine(head + " refs/heads/main")), large},
		"NoLength":            {"What is no packet.", "ls-refs", instead("zzzzfoo"), protocol},
		"HTML":                {"A page to log in.", "ls-refs", instead("<html>log in</html>"), protocol},
		"ImpossibleLength":    {"A packet of three bytes.", "ls-refs", instead("0003"), protocol},
		"LongPacket":          {"A packet longer than any may be.", "ls-refs", instead("ffff" + strings.Repeat("x", 70000)), protocol},
		"NoRef":               {"A ref without a name.", "ls-refs", instead(pktLine(head) + "0000"), protocol},
		"NoObjectName":        {"A ref at what is no object name.", "ls-refs", instead(pktLine("main refs/heads/main") + "0000"), protocol},
		"LongObjectName":      {"Or at a longer one.", "ls-refs", instead(pktLine(head+head+" refs/heads/main") + "0000"), protocol},
		"BadPeeled":           {"A tag of something that is no object name.", "ls-refs", instead(pktLine(head+" refs/heads/main peeled:x") + "0000"), protocol},
		"NoSuchRef":           {"Refs whose names no ref can have.", "ls-refs", instead(pktLine(head+" refs/heads/../main") + pktLine(head+" refs/heads/a\x01") + pktLine(head+" ") + "0000"), []error{ErrEmptyRepository}},
		"HeadOfNothing":       {"HEAD that stands for what is no ref.", "ls-refs", instead(pktLine(head+" HEAD symref-target:../../etc") + "0000"), nil},
		"OtherRefs":           {"Other refs than were asked for.", "ls-refs", instead(pktLine(head+" refs/heads/other") + "0000"), []error{ErrRefNotFound}},
		"Lie":                 {"A commit that is not there.", "ls-refs", instead(pktLine(other+" HEAD symref-target:refs/heads/main") + pktLine(other+" refs/heads/main") + "0000"), []error{ErrRefNotFound}},
		"ErrorLine":           {"The server's own words.", "fetch", instead(pktLine("ERR we are closed")), protocol},
		"PackCut":             {"A pack that ends too early.", "fetch", half, cut},
		"NoPack":              {"An answer without one.", "fetch", instead("0000"), protocol},
		"NothingSent":         {"A pack without objects.", "fetch", instead(packOf(emptyPack) + "0000"), []error{ErrRefNotFound, ErrProtocol}},
		"PreambleEndless":     {"An answer that never comes to its pack.", "fetch", endless(pktLine("shallow-info") + pktLine("shallow "+other)), large},
		"ProgressEndless":     {"Progress and no pack.", "fetch", endlessAfter(pktLine("packfile"), "0009\x02busy"), large},
		"PackEndless":         {"A pack that does not end.", "fetch", endlessAfter(pktLine("packfile"), "0105\x01"+strings.Repeat("x", 256)), large},
		"UnknownChannel":      {"A channel that there is not.", "fetch", instead(pktLine("packfile") + "0006\x07x"), protocol},
		"BrokenDelta":         {"A delta of what is not there.", "fetch", instead(packOf(brokenDelta) + "0000"), protocol},
		"BadShallow":          {"A shallow commit that has no name.", "fetch", instead(pktLine("shallow-info") + pktLine("shallow x") + "0001"), protocol},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, spoiler{srv, tc.command, tc.spoil})
			dir := t.TempDir()
			r := open(t, storeIn(t, dir, MaxFetchBytes(1<<20), Timeout(time.Minute)), url+"/app.git")
			_, err := r.Fetch(t.Context(), Ref{})
			ok := err == nil && tc.want == nil
			for _, want := range tc.want {
				ok = ok || errors.Is(err, want)
			}
			if !ok {
				t.Errorf("%s\nerror: %v, want one of %v", tc.reason, err, tc.want)
			}
			if n := bytesIn(t, dir); n > 4<<20 {
				t.Errorf("%s\n%d bytes are left", tc.reason, n)
			}
		})
	}
}

func endlessAfter(first, text string) func(http.ResponseWriter, []byte) {
	rest := endless(text)
	return func(w http.ResponseWriter, answer []byte) {
		_, _ = io.WriteString(w, first)
		rest(w, answer)
	}
}

func TestAServerThatSendsOtherTreesThanAskedForIsAnErrorAndNoLoop(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	shas := longHistory(repo, 300)
	fetches := 0
	liar := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("command=fetch")) {
			if fetches++; fetches > 2 { // history and the newest trees come as they should
				tree := repo.Git("rev-parse", "main^{tree}")
				want := body[bytes.Index(body, []byte("want "))+5:][:40]
				body = bytes.ReplaceAll(body, want, []byte(tree))
			}
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		srv.ServeHTTP(w, r)
	})
	r := open(t, newStore(t), serve(t, liar)+"/app.git")
	fetch(t, r, Ref{})
	if _, err := fs.ReadFile(r.Tree(t.Context(), shas[1]), "lib/z"); !errors.Is(err, ErrProtocol) || fetches > 5 {
		t.Errorf("after %d fetches: %v", fetches, err)
	}
}

func TestNamesAreWhatTheyAreHoweverStrange(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	blob := repo.GitInput("x", "hash-object", "-w", "--stdin")
	var entries strings.Builder
	strange := []string{"new\nline", "\xff\xfe", "tab\t", `back\slash`, "späm", " "}
	for _, name := range strange {
		fmt.Fprintf(&entries, "100644 blob %s\t%s\x00", blob, name)
	}
	fmt.Fprintf(&entries, "160000 commit %s\tmodule\x00", strings.Repeat("ab", 20))
	folder := repo.GitInput(entries.String(), "mktree", "-z", "--missing")
	commit := func(line string) string {
		return repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "x", repo.GitInput(line, "mktree", "-z"))
	}
	repo.ForcePush("main", commit(fmt.Sprintf("040000 tree %s\tf\x00", folder)))
	r := open(t, newStore(t), repo.URL)
	rev := fetch(t, r, Ref{})
	if err := r.Prefetch(t.Context(), rev.Commit, "."); err != nil {
		t.Fatal(err)
	}
	paths, err := r.ChangedPaths(t.Context(), rev.Commit)
	if err != nil || len(paths) != len(strange)+1 {
		t.Errorf("%q, %v", paths, err)
	}
	if got := readFile(t, r, rev.Commit, "f/new\nline"); got != "x" {
		t.Errorf("read %q", got)
	}
	list, err := fs.ReadDir(r.Tree(t.Context(), rev.Commit), "f")
	if err != nil || len(list) != len(strange) { // all but the one that is not UTF-8, and the submodule
		t.Errorf("%v, %v", list, err)
	}
	for _, name := range strange {
		if changed, err := r.Changes(t.Context(), rev.Commit, "f/"+name); err != nil || !changed {
			t.Errorf("%q: %t, %v", name, changed, err)
		}
	}
	if _, err := fs.ReadFile(r.Tree(t.Context(), rev.Commit), "f/module"); err == nil {
		t.Error("a submodule was read as a file")
	}
}

func TestAFolderOf50000FilesAndALotOfRefsAreRead(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	const files, refCount = 50_000, 100_000
	zero, one := repo.GitInput("0", "hash-object", "-w", "--stdin"), repo.GitInput("1", "hash-object", "-w", "--stdin")
	var head string
	parent := []string{}
	for _, seventh := range []string{zero, one} {
		var big strings.Builder
		for i := range files {
			blob := zero
			if i == 7 {
				blob = seventh
			}
			fmt.Fprintf(&big, "100644 blob %s\tf%05d\n", blob, i)
		}
		root := repo.GitInput("040000 tree "+repo.GitInput(big.String(), "mktree")+"\tbig\n", "mktree")
		head = repo.Git(append([]string{"-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "x", root}, parent...)...)
		parent = []string{"-p", head}
	}
	repo.ForcePush("main", head)
	refs := []string{"refs/tags/v9.9.9"}
	for i := range refCount {
		refs = append(refs, fmt.Sprintf("refs/tags/v1.%d.0", i))
	}
	repo.PointAt(head, refs...)

	for name, lessen := range map[string]func(){"VersionTwo": func() {}, "VersionZero": srv.SpeakVersionZero} {
		lessen()
		r := open(t, newStore(t), repo.URL)
		if rev, err := r.Fetch(t.Context(), Ref{SemVer: ">=2"}); err != nil || rev.Name != "v9.9.9" {
			t.Fatalf("%s: %v, %v", name, rev, err)
		}
		if paths, err := r.ChangedPaths(t.Context(), head); err != nil || len(paths) != 1 || paths[0] != "big/f00007" {
			t.Errorf("%s: %q, %v", name, paths, err)
		}
		if list, err := fs.ReadDir(r.Tree(t.Context(), head), "big"); err != nil || len(list) != files {
			t.Errorf("%s: %d entries, %v", name, len(list), err)
		}
	}
}
