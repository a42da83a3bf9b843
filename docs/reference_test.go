package docs_test

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/config/metricstest"
	"github.com/keptn/gitops/telemetry/event"
)

func TestPagesNameTheFieldsThatThereAre(t *testing.T) {
	kinds := readKinds(t)
	for file, names := range map[string][]string{
		"gitsource.md": {"GitSource"}, "lifecycle.md": {"Lifecycle"}, "policies.md": {"SLOPolicy"},
		"tasks.md": {"KeptnTaskDefinition", "KeptnTask"}, "apps.md": {"KeptnApp", "KeptnAppContext", "KeptnEvaluationDefinition", "KeptnConfig"},
		"metrics.md": {"KeptnMetricsProvider", "KeptnMetric", "AnalysisValueTemplate", "AnalysisDefinition", "Analysis"},
	} {
		p := readPage(t, file)
		var spoken, known []string
		for _, m := range inline.FindAllStringSubmatch(p.prose(), -1) {
			spoken = append(spoken, word.FindAllString(m[1], -1)...)
		}
		for _, name := range names {
			fields := kinds[name].fields()
			if len(fields) < 4 {
				t.Fatalf("%s has the fields %q only", name, fields)
			}
			for _, field := range fields {
				if !slices.Contains(spoken, field) {
					t.Errorf("%s does not name the field %s of %s", file, field, name)
				}
			}
			known = append(known, fields...)
		}
		rows := p.column("field of `spec`")
		if len(rows) == 0 {
			t.Errorf("%s has no table of fields", file)
		}
		for _, cell := range rows {
			for _, named := range word.FindAllString(cell, -1) {
				if !slices.Contains(known, named) {
					t.Errorf("%s names a field %s, which %s do not have", file, named, names)
				}
			}
		}
	}
}

func TestTablesOfFlagsAreThoseOfTheCommands(t *testing.T) {
	sections := strings.Split(readPage(t, "cli.md").text, "\n## keptn ")
	if len(sections) < 4 {
		t.Fatalf("cli.md has %d sections", len(sections))
	}
	long := regexp.MustCompile(`--[a-z][a-z-]*`)
	for _, section := range sections[1:] {
		name, text, _ := strings.Cut(section, "\n")
		var want, got []string
		for line := range strings.Lines(run(t, ".", "keptn "+name+" --help | sed -n '/^Flags:/,$p'")) {
			if flag := long.FindString(line); flag != "" && flag != "--help" {
				want = append(want, flag)
			}
		}
		for _, cell := range (page{text: text}).column("flag") {
			got = append(got, long.FindAllString(cell, -1)...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("flags of keptn %s (-command +cli.md):\n%s", name, diff)
		}
	}
}

func TestEveryCommandHasItsSection(t *testing.T) {
	sections := regexp.MustCompile(`(?m)^## keptn (.*)$`).FindAllStringSubmatch(readPage(t, "cli.md").text, -1)
	var got []string
	for _, s := range sections {
		got = append(got, s[1])
	}
	want := commands(t, "")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-keptn +cli.md):\n%s", diff)
	}
}

var subcommand = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}`)

// commands are those below a command that do something themselves.
func commands(t *testing.T, above string) []string {
	t.Helper()
	help := run(t, ".", "keptn "+above+" --help")
	_, list, found := strings.Cut(help, "Available Commands:\n")
	if !found {
		return []string{strings.TrimSpace(above)}
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var all []string
	for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
		if m[1] != "help" && m[1] != "completion" {
			all = append(all, commands(t, above+" "+m[1])...)
		}
	}
	return all
}

// commandOf is the command of a command line: the words before its arguments.
func commandOf(line string) string {
	words := regexp.MustCompile(`[a-z]+`).FindAllString(line, 2)
	if n := len(words); n > 1 && (words[0] == "policy" || words[0] == "convert" || words[0] == "gate") {
		return words[0] + " " + words[1]
	}
	return words[0]
}

func TestCommandsForAClusterNameWhatThereIs(t *testing.T) {
	known := []string{"namespace", "events", "deployment", "job", "secret", "apiservice"}
	for _, k := range readKinds(t) {
		known = append(append(known, k.names.Plural, k.names.Singular), k.names.ShortNames...)
	}
	object := regexp.MustCompile(`kubectl (?:-n \S+ )?(?:get|describe|delete|annotate|wait --for=\S+) ([a-z,]+)`)
	place := regexp.MustCompile(`kubectl .*-[kf] (\w\S*)`)
	flags := regexp.MustCompile(` --[a-z][a-z-]*`)
	checked := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			for _, c := range b.commands() {
				if m := object.FindStringSubmatch(c.line); m != nil {
					checked++
					for _, name := range strings.Split(m[1], ",") {
						if !slices.Contains(known, name) {
							t.Errorf("%s: $ %s: there is no %q", p.file, c.line, name)
						}
					}
				}
				if m := place.FindStringSubmatch(c.line); m != nil && !p.has(m[1]) {
					t.Errorf("%s: $ %s: there is no %s, here or on the page", p.file, c.line, m[1])
				}
				if rest, ok := strings.CutPrefix(c.line, "keptn "); ok {
					help := run(t, ".", "keptn "+commandOf(rest)+" --help")
					for _, flag := range flags.FindAllString(c.line, -1) {
						if !strings.Contains(help, flag) {
							t.Errorf("%s: $ %s: there is no flag%s", p.file, c.line, flag)
						}
					}
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d commands were checked", checked)
	}
}

// has says whether a file or folder is in the repository, shown on the page, or
// written by a command of it.
func (p page) has(name string) bool {
	if _, err := os.Stat(filepath.Join("..", name)); err == nil {
		return true
	}
	return slices.ContainsFunc(p.blocks, func(b block) bool {
		written := slices.ContainsFunc(b.commands(), func(c command) bool { return strings.HasSuffix(c.line, "> "+name) })
		return written || b.file() != "" && (b.file() == name || path.Dir(b.file()) == name)
	})
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// anchors are the names by which headings are linked to, as forges make them.
func (p page) anchors() []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(p.prose(), -1) {
		kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	followed := 0
	for _, p := range append(pages(t), readPage(t, "../CONTRIBUTING.md")) {
		for _, m := range link.FindAllStringSubmatch(p.prose(), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(p.file), file)
			if file == "" {
				target = p.file
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", p.file, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(readPage(t, target).anchors(), anchor) {
				t.Errorf("%s: link to %s: there is no such heading", p.file, m[1])
			}
		}
	}
	if followed < 20 {
		t.Errorf("only %d links were followed", followed)
	}
}

func TestEveryMakeTargetExists(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\bmake((?: +[a-z][a-z0-9-]*)+)`)
	found := 0
	for _, p := range append(pages(t), readPage(t, "../CONTRIBUTING.md")) {
		var code []string
		for _, m := range inline.FindAllStringSubmatch(p.prose(), -1) {
			code = append(code, m[1])
		}
		for _, b := range p.blocks {
			for _, c := range b.commands() {
				code = append(code, c.line)
			}
		}
		for _, m := range call.FindAllStringSubmatch(strings.Join(code, "\n"), -1) {
			for _, target := range strings.Fields(m[1]) {
				found++
				if !strings.Contains(string(makefile), "\n"+target+":") {
					t.Errorf("%s: there is no make target %q", p.file, target)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d targets were found", found)
	}
}

func TestOperationsNamesEveryMetric(t *testing.T) {
	var names []string
	for _, family := range metricstest.Gather(t) {
		if !strings.HasPrefix(family.GetName(), "keptn_") {
			continue
		}
		names = append(names, family.GetName())
		for _, label := range family.GetMetric()[0].GetLabel() {
			if !strings.HasPrefix(label.GetName(), "otel_scope_") && !slices.Contains(names, label.GetName()) {
				names = append(names, label.GetName())
			}
		}
	}
	if len(names) < 40 {
		t.Fatalf("only %q were gathered", names)
	}
	text := readPage(t, "operations.md").text
	for _, name := range names {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("operations.md does not name %s, a metric or a label", name)
		}
	}
}

func TestOperationsShowsTheDataOfACloudEvent(t *testing.T) {
	p := readPage(t, "operations.md")
	types := strings.Join(p.column("type"), " ")
	for _, kind := range []string{
		event.DeliveryStartedType, event.PhaseFinishedType, event.DeliveryFinishedType,
		event.WorkloadStartedType, event.WorkloadPhaseFinishedType, event.WorkloadFinishedType,
		event.TaskStartedType, event.TaskFinishedType, event.EvaluationStartedType, event.EvaluationFinishedType,
		event.ServiceDeployedType, event.ServiceUpgradedType, event.ServiceRolledBackType, event.TestCaseRunFinishedType,
		event.IncidentDetectedType, event.IncidentResolvedType,
	} {
		if !strings.Contains(types, "`"+kind+"`") {
			t.Errorf("operations.md does not name the event %s", kind)
		}
	}
	i := slices.IndexFunc(p.blocks, func(b block) bool { return b.language == "json" && strings.Contains(b.text, `"verdicts"`) })
	if i < 0 {
		t.Fatal("operations.md shows no data")
	}
	var data event.DeliveryData
	decoder := json.NewDecoder(strings.NewReader(p.blocks[i].text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&data); err != nil || len(data.Verdicts) != 1 {
		t.Errorf("data %+v: %v", data, err)
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	for reason, file := range map[string]string{
		v1alpha1.ReadFromGitReason: "lifecycle.md", v1alpha1.UnmatchedReason: "lifecycle.md",
		v1alpha1.AccessDeniedReason: "lifecycle.md", v1alpha1.NoWorkloadsReason: "lifecycle.md",
		v1alpha1.InvalidManifestReason: "gitsource.md", v1alpha1.FetchFailedReason: "gitsource.md",
		v1alpha1.AuthenticationFailedReason: "gitsource.md", v1alpha1.NoCredentialsReason: "gitsource.md",
		v1alpha1.ForgeFailedReason: "gitsource.md", v1alpha1.InvalidPolicyReason: "policies.md",
	} {
		if !strings.Contains(readPage(t, file).text, "`"+reason+"`") {
			t.Errorf("%s does not say what to do about %s", file, reason)
		}
	}
}

func TestMessagesOfGitAreThoseOfTheCode(t *testing.T) {
	var sources strings.Builder
	for _, folder := range []string{"../gitsource", "../outbound", "../controllers/repository"} {
		err := filepath.WalkDir(folder, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			sources.WriteString(strings.ReplaceAll(string(text), `\"`, `"`))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	verbs := regexp.MustCompile(`%[a-z]|"`)
	code := verbs.ReplaceAllString(sources.String(), "…")
	rows := readPage(t, "git.md").column("message")
	for _, row := range rows {
		message := strings.Trim(row, "`")
		if message == "certificate signed by unknown authority" { // Go's own
			continue
		}
		for _, piece := range strings.FieldsFunc(message, func(r rune) bool { return r == '…' || r == ':' }) {
			if piece = strings.TrimSpace(piece); piece != "" && !strings.Contains(code, piece) {
				t.Errorf("git.md has the message %q, and the code has no %q", message, piece)
			}
		}
	}
	if len(rows) < 20 {
		t.Errorf("only %d messages were looked for", len(rows))
	}
}
