package docs_test

import (
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/forge"
)

// TestMain builds the command that the pages speak of, and puts it on the PATH.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "keptn-docs-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "keptn"), "../cmd/keptn")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// A page is one file of documentation.
type page struct {
	file   string // from this folder
	text   string
	blocks []block
}

// A block is a fenced one: its language, what follows it, and its text.
type block struct {
	language string
	info     []string
	text     string
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)([^\n]*)\n(.*?)^```$")

// pages reads README.md and all pages of this folder.
func pages(t *testing.T) []page {
	t.Helper()
	files, err := filepath.Glob("*.md")
	if err != nil || len(files) < 8 {
		t.Fatalf("found the pages %q only: %v", files, err)
	}
	var all []page
	for _, file := range append(files, "../README.md") {
		all = append(all, readPage(t, file))
	}
	return all
}

func readPage(t *testing.T, file string) page {
	t.Helper()
	// A result that go test has cached is one of this source of the command.
	sources, err := filepath.Glob("../cmd/keptn/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if _, err := os.Stat(source); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := page{file: file, text: string(text)}
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		p.blocks = append(p.blocks, block{m[1], strings.Fields(m[2]), m[3]})
	}
	return p
}

// prose is the page without its blocks.
func (p page) prose() string { return fence.ReplaceAllString(p.text, "") }

// file is the path of the file that the block shows; empty if it shows none.
func (b block) file() string {
	if len(b.info) == 0 || path.Ext(b.info[0]) == "" {
		return ""
	}
	return b.info[0]
}

// marked says whether the block has a mark after its language and file.
func (b block) marked(mark string) bool {
	return len(b.info) > 0 && b.info[len(b.info)-1] == mark
}

// A command is a line after a prompt, with what it prints.
type command struct{ line, output string }

func (b block) commands() []command {
	var all []command
	for line := range strings.Lines(b.text) {
		if typed, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, command{line: strings.TrimSpace(typed)})
		} else if len(all) > 0 {
			all[len(all)-1].output += line
		}
	}
	return all
}

var (
	inline = regexp.MustCompile("`([^`]+)`")
	word   = regexp.MustCompile(`[A-Za-z][A-Za-z0-9]*`)
)

// column returns the first cell of every row of the tables whose header begins
// with the given cell.
func (p page) column(header string) []string {
	var cells []string
	inside := false
	for line := range strings.Lines(p.prose()) {
		row, isRow := strings.CutPrefix(strings.TrimSpace(line), "|")
		first := strings.TrimSpace(strings.SplitN(row, "|", 2)[0])
		switch {
		case !isRow:
			inside = false
		case first == header:
			inside = true
		case inside && strings.Trim(first, "-") != "":
			cells = append(cells, first)
		}
	}
	return cells
}

// workingCopy makes a clone of a repository of two commits with statuses as Git
// notes, and in it the files that the page shows.
func (p page) workingCopy(t *testing.T) string {
	t.Helper()
	origin, dir := t.TempDir(), t.TempDir()
	run(t, origin, "git init -q --bare -b main .")
	run(t, dir, "git init -q -b main . && git config user.name 'Ada Acme' && git config user.email ada@acme.example && git remote add origin "+origin)
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		message string
		after   time.Duration
		verdict forge.Status
	}{
		{"Deliver checkout", 0, forge.Status{State: forge.Success, Description: "error-ratio 0.1% < 1%"}},
		{"Answer faster", 30 * time.Minute, forge.Status{State: forge.Warning, Description: "error-ratio 0.7% > 0.5%"}},
	} {
		when := at.Add(c.after).Format(time.RFC3339)
		sha := run(t, dir, "GIT_AUTHOR_DATE="+when+" GIT_COMMITTER_DATE="+when+" git commit -q --allow-empty -m '"+c.message+"' && git rev-parse HEAD")
		note(t, dir, sha, at.Add(c.after), c.verdict)
	}
	run(t, dir, "git push -q origin main refs/notes/keptn && git update-ref -d refs/notes/keptn")
	for _, b := range p.blocks {
		if b.file() == "" {
			continue
		}
		name := filepath.Join(dir, b.file())
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// note writes the note of a commit that was delivered.
func note(t *testing.T, dir, sha string, at time.Time, verdict forge.Status) {
	t.Helper()
	verdict.Context, verdict.Time = "keptn/production/checkout/post-deployment", at.Add(6*time.Minute+5*time.Second)
	var lines []string
	for _, s := range []forge.Status{
		{Context: "keptn/production/validate", State: forge.Success, Description: "valid: checkout", Time: at.Add(62 * time.Second)},
		{Context: "keptn/production/checkout/deployment", State: forge.Success, Description: "2 pods run " + sha[:7], Time: at.Add(65 * time.Second)},
		verdict,
	} {
		lines = append(lines, forge.Note{Status: s, Cluster: "b1c03312"}.Line())
	}
	run(t, dir, "git notes --ref=keptn add -F - "+sha+" <<'END'\n"+strings.Join(lines, "\n")+"\nEND")
}

// run runs a line of bash that has to succeed, and returns what it prints.
func run(t *testing.T, dir, line string) string {
	t.Helper()
	out, err := bash(t, dir, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(out)
}

func bash(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_PAGER=cat", "TZ=UTC")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = io.Writer(&out), io.Writer(&out)
	err := cmd.Run()
	return out.String(), err
}
