package dora

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// What is read at most: bytes of a line, lines of a file, and mistakes that are told.
const (
	maxLine     = 64 << 10
	maxLines    = 1_000_000
	maxMistakes = 20
)

// ReadDeployments reads deployments, one JSON object a line; blank lines are skipped.
// It is strict: an unknown or missing field, a field given twice, and a value that
// cannot be are mistakes. The error names each of the first twenty as "name:line: what is
// wrong", name being that of the file. A line may have 64 KiB, a file a million lines.
func ReadDeployments(r io.Reader, name string) ([]Deployment, error) {
	return readLines(r, name, func(line []byte) (Deployment, error) {
		var d Deployment
		if err := decode(line, d.fields(), "failedBy", "cluster"); err != nil {
			return d, err
		}
		return d, d.check()
	})
}

// ReadIncidents reads incidents as [ReadDeployments] reads deployments; only their
// resolvedAt and commit may be missing.
func ReadIncidents(r io.Reader, name string) ([]Incident, error) {
	return readLines(r, name, func(line []byte) (Incident, error) {
		var i Incident
		if err := decode(line, i.fields(), "resolvedAt", "commit"); err != nil {
			return i, err
		}
		return i, i.check()
	})
}

// DeploymentOfNote reads a line of a Git note that may be a deployment, as
// [Deployment.Line] writes it. A line that says something else is none. Fields that are
// not known are ignored: a newer program wrote them.
func DeploymentOfNote(line string) (Deployment, bool) {
	if len(line) > maxLine || !strings.Contains(line, `"finishedAt"`) {
		return Deployment{}, false
	}
	var d Deployment
	if err := json.Unmarshal([]byte(line), &d); err != nil || d.check() != nil {
		return Deployment{}, false
	}
	return d, len(missing(d.fields(), "failedBy", "cluster")) == 0
}

// readLines reads lines until there are too many mistakes.
func readLines[T any](r io.Reader, name string, parse func(line []byte) (T, error)) ([]T, error) {
	var all []T
	var mistakes []error
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number := 0
	for lines.Scan() && len(mistakes) < maxMistakes {
		if number++; number > maxLines {
			mistakes = append(mistakes, fmt.Errorf("%s: more than %d lines", name, maxLines))
			break
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		item, err := parse(lines.Bytes())
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s:%d: %w", name, number, err))
			continue
		}
		all = append(all, item)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		mistakes = append(mistakes, fmt.Errorf("%s:%d: a line of more than %d bytes", name, number+1, maxLine))
	case err != nil:
		mistakes = append(mistakes, fmt.Errorf("%s: %w", name, err))
	}
	return all, errors.Join(mistakes...)
}

// decode reads a JSON object strictly into fields, of which all must be there but for
// the optional ones.
func decode(line []byte, fields map[string]any, optional ...string) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("not a JSON object: %w", err)
		}
		field, _ := token.(string)
		into, known := fields[field]
		switch {
		case !known:
			return fmt.Errorf("unknown field %q (known are %s)", field, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case seen[field]:
			return fmt.Errorf("field %q is given twice", field)
		}
		seen[field] = true
		if err := decoder.Decode(into); err != nil {
			return fmt.Errorf("field %q: %w", field, err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value in a line")
	}
	if absent := missing(fields, optional...); len(absent) > 0 {
		return fmt.Errorf("it has no %s", strings.Join(absent, ", "))
	}
	return nil
}

// missing are the fields without a value, sorted, but for the optional ones.
func missing(fields map[string]any, optional ...string) []string {
	var absent []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(optional, field) && isEmpty(fields[field]) {
			absent = append(absent, field)
		}
	}
	return absent
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case *string:
		return *v == ""
	case *Result:
		return *v == ""
	case *time.Time:
		return v.IsZero()
	default:
		return false
	}
}
