package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// printEnv writes what a shell evaluates to use the testbed.
func (b *bed) printEnv(w io.Writer) error {
	vars, err := b.env()
	if err != nil {
		return err
	}
	for _, v := range vars {
		fmt.Fprintf(w, "export %s=%s\n", v.name, quote(v.value))
	}
	return nil
}

// A variable tells tests and demos where one part of the testbed is.
type variable struct{ name, value string }

func (b *bed) env() ([]variable, error) {
	var vars []variable
	if b.has("kube-apiserver") {
		vars = append(vars, variable{"KUBECONFIG", b.path("admin.kubeconfig")})
	}
	if b.AuditPolicy != "" {
		vars = append(vars, variable{"TESTBED_AUDIT_LOG", b.auditLog()})
	}
	vars = append(vars,
		variable{"TESTBED_DIR", b.State},
		variable{"TESTBED_NODE_IP", b.Network.Node().String()},
		variable{"TESTBED_HOST_IP", b.Network.Host().String()})
	if b.has("gitea") {
		token, err := os.ReadFile(b.giteaTokenFile())
		if err != nil {
			return nil, fmt.Errorf("read gitea's token: %w", err)
		}
		vars = append(vars,
			variable{"TESTBED_GITEA_URL", b.url("http", giteaPort)},
			variable{"TESTBED_GITEA_USER", giteaUser},
			variable{"TESTBED_GITEA_PASSWORD", giteaPassword},
			variable{"TESTBED_GITEA_TOKEN", string(token)})
	}
	if b.has("prometheus") {
		vars = append(vars, variable{"TESTBED_PROMETHEUS_URL", b.url("http", prometheusPort)})
	}
	if b.has("git") {
		vars = append(vars,
			variable{"TESTBED_GIT_URL", b.url("http", gitPort)},
			variable{"TESTBED_GIT_ROOT", b.path("git")})
	}
	return vars, nil
}

// quote makes a value one word of a shell.
func quote(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/:._-", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !plain(r) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// printStatus writes the components as a table.
func printStatus(w io.Writer, reports []report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tPID\tADDRESS\tHEALTHY\tSTATE")
	for _, r := range reports {
		pid, address, healthy, state := "-", r.Address, "no", r.State
		if r.Pid != 0 {
			pid = fmt.Sprint(r.Pid)
		}
		if address == "" {
			address = "-"
		}
		if r.Healthy {
			healthy = "yes"
		}
		if r.Error != "" {
			first, _, _ := strings.Cut(r.Error, "\n")
			state += ": " + first
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Name, pid, address, healthy, state)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	return nil
}
