package policy

import (
	"regexp"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"

	"github.com/keptn/gitops/gitname"
)

// A Commit is a commit that is judged, as CEL's commit.<field> in lower case, and
// as an element of commits. CEL has these fields as well, which are read from
// Message: subject, its first paragraph in one line; body, the rest; and type, that
// of a Conventional Commit in lower case, as "fix", or "" where it is none
// (https://www.conventionalcommits.org/en/v1.0.0/).
type Commit struct {
	// SHA is the full object name.
	SHA string `json:"sha"`
	// Author and Email are the author's, as Git records them.
	Author string `json:"author"`
	Email  string `json:"email"`
	// Message is the whole commit message.
	Message string `json:"message"`
	// Time is the author's time.
	Time time.Time `json:"time"`
	// Trailers are the values of the trailers, by their keys in lower case, since
	// Git compares keys so. Where it is nil, they are those at the end of Message.
	Trailers map[string][]string `json:"trailers,omitempty"`
	// Files are the paths that the commit changed, from the root of the repository.
	// Where it is nil they are not known, and what reads them is undecided; a
	// commit that changed none has an empty list.
	Files []string `json:"files,omitempty"`
}

// commitObjects is the CEL type of a commit.
var commitObjects = &objectType{
	celType: types.NewObjectType("keptn.Commit"),
	fields: []objectField{
		known("author", cel.StringType, func(c *commitView) string { return c.Author }),
		known("body", cel.StringType, func(c *commitView) string { return body(c.Message) }),
		known("email", cel.StringType, func(c *commitView) string { return c.Email }),
		field(fieldFiles, cel.ListType(cel.StringType), func(c *commitView) (any, error) {
			if c.Files == nil {
				return nil, &undecidedError{what: "the files of commit " + gitname.Short(c.SHA) + " are not known"}
			}
			return c.Files, nil
		}),
		known("message", cel.StringType, func(c *commitView) string { return c.Message }),
		known("sha", cel.StringType, func(c *commitView) string { return c.SHA }),
		known("subject", cel.StringType, func(c *commitView) string { return subject(c.Message) }),
		known("time", cel.TimestampType, func(c *commitView) types.Timestamp { return types.Timestamp{Time: c.Time} }),
		known("trailers", cel.MapType(cel.StringType, cel.ListType(cel.StringType)), (*commitView).readTrailers),
		known("type", cel.StringType, func(c *commitView) string { return conventionalType(subject(c.Message)) }),
	},
	show: func(of any) string {
		c := of.(*commitView)
		return gitname.Short(c.SHA) + " " + shorten(subject(c.Message), maxText)
	},
}

// fieldFiles is the field of a commit that is costly to find out.
const fieldFiles = "files"

// A commitView is a commit within one evaluation. It reads the trailers once.
type commitView struct {
	*Commit
	trailers map[string][]string
}

func (c *commitView) readTrailers() map[string][]string {
	if c.trailers == nil {
		c.trailers = c.Trailers
	}
	if c.trailers == nil {
		c.trailers = trailers(c.Message)
	}
	return c.trailers
}

// paragraphs splits a message after its first paragraph.
func paragraphs(message string) (first, rest string) {
	lines := strings.Split(strings.Trim(strings.ReplaceAll(message, "\r\n", "\n"), "\n"), "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) == "" {
			return strings.Join(lines[:i], "\n"), strings.Trim(strings.Join(lines[i:], "\n"), "\n")
		}
	}
	return strings.Join(lines, "\n"), ""
}

// subject is the first paragraph in one line, as Git's %s.
func subject(message string) string {
	first, _ := paragraphs(message)
	return strings.Join(strings.Fields(first), " ")
}

// body is what follows the first paragraph, as Git's %b.
func body(message string) string {
	_, rest := paragraphs(message)
	return rest
}

var conventional = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*)(\([^()]*\))?!?: `)

// conventionalType is the type that the subject of a Conventional Commit begins
// with.
func conventionalType(subject string) string {
	if found := conventional.FindStringSubmatch(subject); found != nil {
		return strings.ToLower(found[1])
	}
	return ""
}

var trailerLine = regexp.MustCompile(`^([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)$`)

// trailers are those of a message, as git interpret-trailers finds them
// (https://git-scm.com/docs/git-interpret-trailers): in the last paragraph, but
// not the first, where it has only trailers, or one that Git writes itself and at
// least a quarter of the lines are trailers. A line that begins with a blank
// continues the one above.
func trailers(message string) map[string][]string {
	found := map[string][]string{}
	var entries [][]string
	others, ours := 0, false
	for _, line := range lastParagraph(body(message)) {
		entry := trailerLine.FindStringSubmatch(line)
		switch {
		case entry != nil:
			ours = ours || entry[1] == "Signed-off-by"
			entries = append(entries, entry)
		case len(entries) > 0 && strings.TrimLeft(line, " \t") != line:
			entries[len(entries)-1][2] += " " + strings.TrimSpace(line)
		case strings.HasPrefix(line, "(cherry picked from commit "):
			ours = true
		default:
			others++
		}
	}
	if others > 0 && !(ours && 3*len(entries) >= others) {
		return found
	}
	for _, entry := range entries {
		key := strings.ToLower(entry[1])
		found[key] = append(found[key], strings.TrimSpace(entry[2]))
	}
	return found
}

// lastParagraph are the lines after the last blank one.
func lastParagraph(text string) []string {
	lines := strings.Split(strings.TrimRight(text, " \t\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.TrimSpace(lines[i]) == "" {
			return lines[i+1:]
		}
	}
	return lines
}
