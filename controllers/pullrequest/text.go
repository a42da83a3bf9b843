package pullrequest

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/forge"
)

// How much of what others wrote is shown: of one text, of a name or path, in characters,
// and of problems and rules.
const (
	maxText     = 200
	maxName     = 120
	maxProblems = 20
	maxRules    = 30
)

// text is what a pull request is told in Markdown. All that others may have written is
// code in it: no link, mention, image or HTML of theirs takes effect.
func (s *scope) text(j *judgement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**Keptn, %s:** %s is %s\n", code(s.origin.Environment, maxName), code(gitname.Short(j.commit), maxName), word(j.validity.State))
	if len(j.validity.Problems) == 0 {
		fmt.Fprintf(&b, "\n%s\n", code(j.validity.Description, maxText))
	} else {
		problems(&b, j.validity.Problems)
	}
	if s.asked.Evaluate {
		dryText(&b, j)
	}
	return b.String()
}

func word(state forge.State) string {
	switch state {
	case forge.Success:
		return "valid"
	case forge.Failure:
		return "not valid"
	case forge.Error, forge.Pending, forge.Warning:
	}
	return "not judged"
}

// problems writes them as a table.
func problems(b *strings.Builder, all []forge.Problem) {
	b.WriteString("\n| where | problem |\n|---|---|\n")
	for _, p := range all[:min(len(all), maxProblems)] {
		kind := ""
		if p.Warning {
			kind = "warning: "
		}
		fmt.Fprintf(b, "| %s | %s%s |\n", code(fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column), maxName), kind, code(p.Message, maxText))
	}
	if more := len(all) - maxProblems; more > 0 {
		fmt.Fprintf(b, "\n%d more.\n", more)
	}
}

// dryText writes what the policies would say, by their rules.
func dryText(b *strings.Builder, j *judgement) {
	switch {
	case len(j.dry) == 0 && j.undone != "":
		fmt.Fprintf(b, "\nIts policies are not evaluated: %s.\n", code(j.undone, maxText))
		return
	case len(j.dry) == 0:
		b.WriteString("\nIt changes no app that has a policy.\n")
		return
	}
	b.WriteString("\nWhat its policies say of what is measured now, without a rollout of it and without a baseline:\n\n| app | policy | verdict | rule | because |\n|---|---|---|---|---|\n")
	rows, more := 0, 0
	for i := range j.dry {
		v := &j.dry[i]
		app, name := code(v.app, maxName), code(v.policy, maxName)
		if v.failed != "" {
			fmt.Fprintf(b, "| %s | %s | %s | | %s |\n", app, name, v.result(), code(v.failed, maxText))
			continue
		}
		for _, rule := range v.found.Rules {
			if rows++; rows > maxRules {
				more++
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s: %s | %s |\n", app, name, v.found.Result, code(rule.Name, maxName), rule.Result, code(rule.Message, maxText))
		}
	}
	if more > 0 {
		fmt.Fprintf(b, "\n%d more rules.\n", more)
	}
	if j.undone != "" {
		fmt.Fprintf(b, "\n%s.\n", code(j.undone, maxText))
	}
}

// code shows a text as code in a cell of a table. What would end either is replaced by
// what looks like it.
func code(text string, limit int) string {
	text = strings.NewReplacer("`", "'", "|", "¦").Replace(oneLine(text, limit))
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "`" + text + "`"
}

// oneLine is a text in one line of at most so many characters, without those that nobody
// sees, or that change in which order others are read.
func oneLine(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > limit {
		return strings.TrimSpace(string(runes[:limit-1])) + "…"
	}
	return text
}
