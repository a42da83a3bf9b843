package analysis

import (
	"errors"
	"fmt"
	"regexp"
	"text/template"
)

// functions replace those of text/template that would yield an empty text for a
// missing arg, or a text that is much longer than what they are given.
var functions = template.FuncMap{
	"index":    index,
	"print":    short(func(args ...any) string { return fmt.Sprint(args...) }),
	"println":  short(func(args ...any) string { return fmt.Sprintln(args...) }),
	"html":     short(template.HTMLEscaper),
	"js":       short(template.JSEscaper),
	"urlquery": short(template.URLQueryEscaper),
	"printf":   printf,
}

var errNoArg = errors.New("missing arg")

// index reads the arg of a name.
func index(args any, names ...string) (string, error) {
	named, ok := args.(map[string]string)
	if !ok || len(names) != 1 {
		return "", errors.New(`index reads one arg by its name: {{index . "some-name"}}`)
	}
	value, ok := named[names[0]]
	if !ok {
		return "", fmt.Errorf("%w %q", errNoArg, names[0])
	}
	return value, nil
}

// short refuses to write more than a query can hold. As every function's result
// is at most a few times as long as what it is given, no chain of them grows.
func short(write func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		size := 0
		for _, arg := range args {
			size += len(fmt.Sprint(arg))
		}
		if size > MaxQuery {
			return "", fmt.Errorf("the text is longer than %d bytes", MaxQuery)
		}
		return write(args...), nil
	}
}

// plain are formats in which no verb has a width, so that they cannot pad.
var plain = regexp.MustCompile(`^([^%]|%[%sdqvt])*$`)

func printf(format string, args ...any) (string, error) {
	if !plain.MatchString(format) {
		return "", fmt.Errorf("printf %q: only the verbs %%s, %%d, %%q, %%v and %%t are known here, without a width", format)
	}
	return short(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
}
