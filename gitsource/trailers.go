package gitsource

import (
	"regexp"
	"strings"
)

// A Trailer is one "Key: value" line at the end of a commit message, for example
// Signed-off-by.
type Trailer struct{ Key, Value string }

// gitGenerated begin lines that Git writes itself; one of them makes a paragraph with
// enough other trailers a block of them (git_generated_prefixes in trailer.c).
var gitGenerated = []string{"Signed-off-by: ", "(cherry picked from commit "}

// trailerLine is a key of letters, digits and hyphens, white space, a colon, a value.
var trailerLine = regexp.MustCompile(`^([A-Za-z0-9-]+)[ \t]*:(.*)$`)

// Trailers returns the trailers in order, as git interpret-trailers --parse does
// with its default configuration: the last paragraph that follows a blank line counts
// if it holds nothing but trailers, or a line that Git generates and at most three
// other lines to each trailer. A line that begins with white space continues the
// value before it. Keys keep their spelling; Git compares them without regard to case.
func (c *Commit) Trailers() []Trailer {
	block := trailerBlock(messageLines(c.Message))
	var out []Trailer
	last := -1 // the trailer that a continuation belongs to
	for _, line := range block {
		switch m := trailerLine.FindStringSubmatch(line); {
		case isContinuation(line):
			if last >= 0 {
				out[last].Value = strings.TrimSpace(out[last].Value + " " + strings.TrimSpace(line))
			}
		case m != nil:
			last = len(out)
			out = append(out, Trailer{Key: m[1], Value: strings.TrimSpace(m[2])})
		default:
			last = -1
		}
	}
	return out
}

// messageLines cuts off what Git ignores at the end: a patch after "---", comments,
// and blank lines.
func messageLines(message string) []string {
	lines := strings.Split(strings.ReplaceAll(message, "\r\n", "\n"), "\n")
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "---"); ok && strings.TrimLeft(rest, " \t") == "" {
			lines = lines[:i]
			break
		}
	}
	for len(lines) > 0 {
		last := lines[len(lines)-1]
		if strings.TrimSpace(last) != "" && !strings.HasPrefix(last, "#") {
			break
		}
		lines = lines[:len(lines)-1]
	}
	return lines
}

// trailerBlock returns the last paragraph if it is one of trailers. The first
// paragraph is the subject and never is (find_trailer_block_start in trailer.c).
func trailerBlock(lines []string) []string {
	start := len(lines)
	for start > 0 && strings.TrimSpace(lines[start-1]) != "" {
		start--
	}
	if start == 0 || strings.TrimSpace(strings.Join(lines[:start], "")) == "" {
		return nil
	}
	block := lines[start:]
	trailers, others, generated := count(block)
	if trailers > 0 && others == 0 || generated && trailers*3 >= others {
		return block
	}
	return nil
}

func count(block []string) (trailers, others int, generated bool) {
	belongs := false // whether the line before was a trailer
	for _, line := range block {
		switch {
		case strings.HasPrefix(line, "#"):
		case isGenerated(line):
			trailers, generated, belongs = trailers+1, true, true
		case isContinuation(line) && belongs:
		case trailerLine.MatchString(line):
			trailers, belongs = trailers+1, true
		default:
			others, belongs = others+1, false
		}
	}
	return trailers, others, generated
}

func isGenerated(line string) bool {
	for _, prefix := range gitGenerated {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func isContinuation(line string) bool {
	return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
}
