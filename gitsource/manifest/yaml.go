package manifest

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// chunk is the text between two document markers, so that a syntax error in
// one document hides nothing of the others.
type chunk struct {
	data []byte
	line int // how many lines are above it
}

// split cuts before every line that begins with ---: wherever it stands, even
// in a block of text, YAML ends the document there (YAML 1.2.2, §9.1.2).
func split(data []byte) []chunk {
	var chunks []chunk
	start, startLine, line := 0, 0, 0
	for i := 0; i < len(data); {
		end := len(data)
		if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
			end = i + n + 1
		}
		if i > start && isMarker(data[i:end]) {
			chunks = append(chunks, chunk{data[start:i], startLine})
			start, startLine = i, line
		}
		i = end
		line++
	}
	return append(chunks, chunk{data[start:], startLine})
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

// parse returns the documents of a chunk, with the lines of the file.
func (c chunk) parse(file string) ([]*yaml.Node, Problems) {
	var (
		roots    []*yaml.Node
		problems Problems
	)
	in := &lineReader{data: c.data}
	for dec := yaml.NewDecoder(in); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return roots, problems
		}
		if err != nil {
			at, message := c.syntaxError(file, err, in.lines)
			problems.add(at, "%s", message)
			return roots, problems
		}
		if root := doc.Content[0]; !isEmpty(root) {
			shift(root, c.line)
			roots = append(roots, root)
		}
	}
}

// isEmpty is true for a document of nothing but comments.
func isEmpty(root *yaml.Node) bool {
	return root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null"
}

// lineReader hands out one line at a time, so that it is known how far a
// parser came.
type lineReader struct {
	data  []byte
	lines int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(r.data))
	if i := bytes.IndexByte(r.data[:n], '\n'); i >= 0 {
		n = i + 1
		r.lines++
	}
	copy(p, r.data[:n])
	r.data = r.data[n:]
	return n, nil
}

// syntaxError finds the place of a syntax error. The parser tells at most a
// line, and often that of the construct around; the line after the longest
// beginning of the text that can be read is the one to look at.
func (c chunk) syntaxError(file string, err error, read int) (Position, string) {
	told, message := splitYAMLError(err)
	line := max(told, 1)
	lines := bytes.SplitAfter(c.data, []byte{'\n'})
	budget := 4 << 20
	for n := min(read, len(lines)-1); n >= 0 && budget > 0; n-- {
		head := bytes.Join(lines[:n], nil)
		if budget -= len(head) + 1; readable(head) {
			line = n + 1
			break
		}
	}
	line = min(line, len(lines))
	text := string(lines[line-1])
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	column := utf8.RuneCountInString(indent) + 1
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		column = tab + 1
		message = "a tab is used to indent: YAML allows spaces only"
	}
	return Position{file, c.line + line, column}, message
}

func readable(data []byte) bool {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// splitYAMLError takes the line off an error of the parser; 0 if it tells none.
func splitYAMLError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): (.*)`).FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	return line, "not valid YAML: " + message
}
