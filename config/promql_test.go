package config_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A selector is what an expression asks Prometheus for.
type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, operator, value string }

// An expression is what was read of PromQL: what it selects, and the labels by which it
// groups and joins.
type expression struct {
	selectors []selector
	labels    []string
}

// promQL reads the part of PromQL that boards and alerts are written in, and refuses the
// rest: https://prometheus.io/docs/prometheus/latest/querying/basics/.
type promQL struct {
	tokens []string
	found  expression
}

var (
	promToken = regexp.MustCompile(`^(?:"[^"]*"|[0-9][0-9a-z.]*|[A-Za-z_:][A-Za-z0-9_:]*|=~|!~|!=|==|>=|<=|[-+*/<>=(){}\[\],])`)
	promName  = regexp.MustCompile(`^[A-Za-z_:]`)
	// ofGrafana are the times that Grafana fills in.
	ofGrafana = regexp.MustCompile(`\$__(rate_interval|interval|range)`)

	overTime     = []string{"rate", "increase", "min_over_time", "max_over_time"}
	aggregations = []string{"sum", "max", "min", "avg", "count"}
	functions    = append([]string{"histogram_quantile", "absent", "round"}, overTime...)
	operators    = []string{"+", "-", "*", "/", ">", "<", "==", "!=", ">=", "<=", "and", "or", "unless"}
)

// readPromQL reads an expression.
func readPromQL(text string) (expression, error) {
	p := &promQL{}
	rest := strings.TrimSpace(ofGrafana.ReplaceAllString(text, "5m"))
	for rest != "" {
		token := promToken.FindString(rest)
		if token == "" {
			return expression{}, fmt.Errorf("%q is not understood, from %q on", text, rest)
		}
		p.tokens, rest = append(p.tokens, token), strings.TrimSpace(rest[len(token):])
	}
	if err := p.operands(""); err != nil {
		return expression{}, fmt.Errorf("%q: %w", text, err)
	}
	if len(p.tokens) > 0 {
		return expression{}, fmt.Errorf("%q: %q is too much", text, p.tokens)
	}
	return p.found, nil
}

func (p *promQL) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *promQL) take() string {
	token := p.next()
	if token != "" {
		p.tokens = p.tokens[1:]
	}
	return token
}

func (p *promQL) expect(token string) error {
	if got := p.take(); got != token {
		return fmt.Errorf("%q in place of %q", got, token)
	}
	return nil
}

// operands reads operands with operators between them.
func (p *promQL) operands(function string) error {
	for {
		if err := p.operand(function); err != nil {
			return err
		}
		if !slices.Contains(operators, p.next()) {
			return nil
		}
		p.take()
		if next := p.next(); next == "on" || next == "ignoring" {
			p.take()
			if err := p.list(); err != nil {
				return err
			}
		}
	}
}

func (p *promQL) operand(function string) error {
	token := p.take()
	switch {
	case token == "(":
		if err := p.operands(""); err != nil {
			return err
		}
		return p.expect(")")
	case token == "" || !promName.MatchString(token):
		if token == "" || token[0] < '0' || token[0] > '9' {
			return fmt.Errorf("%q in place of an operand", token)
		}
		return nil
	case slices.Contains(aggregations, token):
		if next := p.next(); next == "by" || next == "without" {
			p.take()
			if err := p.list(); err != nil {
				return err
			}
		}
		return p.call(token)
	case p.next() == "(":
		if !slices.Contains(functions, token) {
			return fmt.Errorf("no function %q is known", token)
		}
		return p.call(token)
	default:
		return p.selector(token, function)
	}
}

// call reads the arguments of a function.
func (p *promQL) call(function string) error {
	if err := p.expect("("); err != nil {
		return err
	}
	for {
		if err := p.operands(function); err != nil {
			return err
		}
		if p.next() != "," {
			return p.expect(")")
		}
		p.take()
	}
}

// list reads labels in parentheses.
func (p *promQL) list() error {
	if err := p.expect("("); err != nil {
		return err
	}
	for {
		label := p.take()
		if !promName.MatchString(label) {
			return fmt.Errorf("%q in place of a label", label)
		}
		p.found.labels = append(p.found.labels, label)
		if p.next() != "," {
			return p.expect(")")
		}
		p.take()
	}
}

// selector reads what follows the name of a metric, which needs a range where the
// function is one over time, and only there.
func (p *promQL) selector(metric, function string) error {
	s := selector{metric: metric}
	if p.next() == "{" {
		p.take()
		for p.next() != "}" {
			m := matcher{p.take(), p.take(), strings.Trim(p.take(), `"`)}
			if !promName.MatchString(m.label) || !slices.Contains([]string{"=", "!=", "=~", "!~"}, m.operator) {
				return fmt.Errorf("%v is no matcher", m)
			}
			s.matchers = append(s.matchers, m)
			if p.next() == "," {
				p.take()
			}
		}
		p.take()
	}
	if ranged := p.next() == "["; ranged != slices.Contains(overTime, function) {
		return fmt.Errorf("%s in %q has a range: %v", metric, function, ranged)
	} else if ranged {
		p.tokens = p.tokens[2:]
		if err := p.expect("]"); err != nil {
			return err
		}
	}
	if p.next() == "offset" {
		p.tokens = p.tokens[2:]
	}
	p.found.selectors = append(p.found.selectors, s)
	return nil
}

func TestWhatIsNoPromQLIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ reason, text string }{
		"a parenthesis too few":     {"it does not end", `sum(rate(a_total[5m])`},
		"a parenthesis too many":    {"it ended before", `sum(a))`},
		"no operand":                {"an operator stands between two", `a +`},
		"a function that is none":   {"a name may be misspelled", `summ(a)`},
		"a rate without a range":    {"Prometheus refuses it", `rate(a_total)`},
		"a range without a rate":    {"Prometheus refuses it as well", `a[5m]`},
		"a matcher without a value": {"it was cut off", `a{b=}`},
		"a variable of no board":    {"Grafana fills in what it knows", `rate(a[$__ratio])`},
	} {
		t.Run(name, func(t *testing.T) {
			if found, err := readPromQL(c.text); err == nil {
				t.Errorf("%s is read as %v, although %s", c.text, found, c.reason)
			}
		})
	}
}
