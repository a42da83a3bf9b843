package forge

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxPages bounds the pages that are read of one list.
const maxPages = 100

// linked yields the pages of a list, each decoded into a T. The next one is where the
// header Link of the last one leads (RFC 8288, rel="next"). Its error ends it.
func linked[T any](ctx context.Context, a api, path string, query url.Values) iter.Seq2[T, error] {
	return chained(ctx, a, path, query, func(got answer, _ T) string { return got.next() })
}

// chained yields the pages of a list, each decoded into a T, of which it is told where the
// next one is; at the last one nowhere. Its error ends it.
func chained[T any](ctx context.Context, a api, path string, query url.Values, follows func(answer, T) (next string)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		at, err := a.at(path, query)
		for range maxPages {
			var page T
			var got answer
			if err == nil {
				got, err = a.ask(ctx, http.MethodGet, at, nil)
			}
			if err == nil {
				err = got.read(&page)
			}
			next := ""
			if err == nil {
				next = follows(got, page)
			}
			if !yield(page, err) || next == "" {
				return
			}
			at, err = leads(got.at, next)
		}
		var none T
		yield(none, tooManyPages())
	}
}

// numbered yields the pages of a list, each decoded into a T, by counting the parameter
// "page" from 1. It has no end of its own: the caller knows what an empty page looks
// like. Its error ends it.
func numbered[T any](ctx context.Context, a api, path string, query url.Values) iter.Seq2[T, error] {
	return counted[T](ctx, a, path, query, "page", 1, 1)
}

// counted yields the pages of a list as numbered does, by counting the named parameter
// from first in steps.
func counted[T any](ctx context.Context, a api, path string, query url.Values, parameter string, first, step int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := maps.Clone(query)
		for number := range maxPages {
			var page T
			query.Set(parameter, strconv.Itoa(first+number*step))
			err := a.call(ctx, http.MethodGet, path, query, nil, &page)
			if !yield(page, err) || err != nil {
				return
			}
		}
		var none T
		yield(none, tooManyPages())
	}
}

// each yields the items of a list one by one. Of a page it is told which they are, and
// whether it is the last.
func each[P, T any](pages iter.Seq2[P, error], of func(P) (items []T, last bool)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for page, err := range pages {
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			items, last := of(page)
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if last {
				return
			}
		}
	}
}

// bare are the items of a page that is nothing but them. It is the last if it has fewer
// than were asked for.
func bare[T any](asked int) func([]T) ([]T, bool) {
	return func(page []T) ([]T, bool) { return page, len(page) < asked }
}

// first is the first item of a list that is the one; nil if none is.
func first[T any](list iter.Seq2[T, error], is func(T) bool) (*T, error) {
	for item, err := range list {
		if err != nil {
			return nil, err
		}
		if is(item) {
			return &item, nil
		}
	}
	return nil, nil //nolint:nilnil // a list that has none is no error
}

// newest is the item of a list with the highest number, of those that count; nil if none
// does.
func newest[T any](list iter.Seq2[*T, error], number func(*T) (n int64, counts bool)) (*T, error) {
	var found *T
	var highest int64
	for item, err := range list {
		if err != nil {
			return nil, err
		}
		if n, counts := number(item); counts && (found == nil || n > highest) {
			found, highest = item, n
		}
	}
	return found, nil
}

// gather returns what an item is taken for, of those that are taken for something, the
// first so many. It looks at so many items at most.
func gather[T, R any](list iter.Seq2[T, error], most, looks int, take func(T) (R, bool)) ([]R, error) {
	var all []R
	for item, err := range list {
		if err != nil {
			return nil, err
		}
		if one, ok := take(item); ok {
			all = append(all, one)
		}
		if looks--; looks <= 0 || len(all) == most {
			break
		}
	}
	return all, nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func tooManyPages() error {
	return fmt.Errorf("%w: the list has more than %d pages", ErrRejected, maxPages)
}

// link is one target of the header Link with its parameters.
var link = regexp.MustCompile(`<([^>]*)>((?:\s*;\s*[^;,\s]+)*)`)

// next is the address of the page after an answer; empty if it is the last.
func (got answer) next() string {
	for _, header := range got.header.Values("Link") {
		for _, l := range link.FindAllStringSubmatch(header, -1) {
			parameters := strings.FieldsFunc(l[2], func(r rune) bool { return r == ';' || r == ' ' || r == '\t' })
			if slices.ContainsFunc(parameters, func(p string) bool { return p == `rel="next"` || p == "rel=next" }) {
				return l[1]
			}
		}
	}
	return ""
}
