package check

import (
	"fmt"
	"strings"

	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
)

// ValidateContext is the context of the status that says whether a commit is
// valid, below <prefix>/<environment>/. It is public API: branch protection
// refers to it.
const ValidateContext = "validate"

// Validity is what a commit should show of what it holds, with each problem at its line
// where the forge has a place for it.
func Validity(found *manifest.Found) forge.Status {
	status := verdict(found)
	for _, p := range found.Problems {
		status.Problems = append(status.Problems, forge.Problem{
			File: p.File, Line: p.Line, Column: p.Column, Message: oneLine(p.Message), Warning: p.Severity == manifest.Warning,
		})
	}
	return status
}

func verdict(found *manifest.Found) forge.Status {
	var wrong []string
	for _, p := range found.Problems {
		if p.Severity == manifest.Error {
			wrong = append(wrong, oneLine(p.String()))
		}
	}
	switch {
	case len(wrong) == 1:
		return forge.Status{State: forge.Failure, Description: wrong[0]}
	case len(wrong) > 1:
		return forge.Status{State: forge.Failure, Description: fmt.Sprintf("%d problems: %s", len(wrong), wrong[0])}
	case len(found.Apps) == 0:
		return forge.Status{State: forge.Success, Description: "no " + manifest.FileName + " found"}
	default:
		return forge.Status{State: forge.Success, Description: fmt.Sprintf("valid: %s", names(found.Apps))}
	}
}

func names(found []manifest.App) string {
	list := make([]string, len(found))
	for i := range found {
		list[i] = found[i].Lifecycle.AppName()
	}
	return strings.Join(list, ", ")
}

// oneLine makes a description of a message that may have several lines.
func oneLine(message string) string { return strings.Join(strings.Fields(message), " ") }
