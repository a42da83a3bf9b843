package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long anything may take on a machine that is busy with other things.
const patience = 3 * time.Minute

// TestMain lets the test binary be the testbed's command, too: the sandbox starts the
// program that it was started by.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestCycle brings real testbeds up and takes them down, in all the ways that happen.
// Binaries that are not in the cache are built first, which takes minutes: run
// `go run . build` before.
func TestCycle(t *testing.T) {
	if testing.Short() {
		t.Skip("brings up real clusters")
	}
	b, err := newBed(fmt.Sprintf("test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if b.Components, err = choose(nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.preflight(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { testbed(t, b, "down").must(t) })
	t.Run("Works", func(t *testing.T) { testWorks(t, b) })
	t.Run("SupervisorKilled", func(t *testing.T) { testSupervisorKilled(t, b) })
	t.Run("UpInterrupted", func(t *testing.T) { testUpEnded(t, b, syscall.SIGINT) })
	t.Run("UpKilled", func(t *testing.T) { testUpEnded(t, b, syscall.SIGKILL) })
}

// testWorks is the life of a testbed that nothing happens to.
func testWorks(t *testing.T, b *bed) {
	up := testbed(t, b, "up", "--audit-policy", "testdata/audit-policy.yaml").must(t)
	env := parseEnv(t, up.stdout)
	seen := look(t, b)
	if again := testbed(t, b, "up").must(t); again.stdout != up.stdout || !strings.Contains(again.stderr, "already up") {
		t.Errorf("a second up says\n%s%s", again.stderr, again.stdout)
	}
	testbed(t, b, "status").must(t)

	git(t, "init", "--quiet", "--bare", filepath.Join(env["TESTBED_GIT_ROOT"], "team", "app.git"))
	testPush(t, env["TESTBED_GIT_URL"]+"/team/app.git")
	testbed(t, b, "load", probeImage(t)).must(t)
	testWorkload(t, env)
	testTasks(t, b, env)
	testAudit(t, env)
	testGitea(t, env)

	testbed(t, b, "stop", "gitea").must(t)
	if s := testbed(t, b, "status"); s.code != 1 {
		t.Errorf("status exits %d while gitea is stopped", s.code)
	}
	testbed(t, b, "start", "gitea").must(t)
	testbed(t, b, "status").must(t)

	testbed(t, b, "down").must(t)
	seen.gone(t)
	b.nothingLeft(t)
}

func testPush(t *testing.T, remote string) {
	t.Helper()
	work := filepath.Join(t.TempDir(), "work")
	git(t, "clone", "--quiet", remote, work)
	git(t, "-C", work, "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "--quiet", "--allow-empty", "--message=x")
	git(t, "-C", work, "push", "--quiet", "origin", "HEAD:main")
}

// probeImage makes an archive of a program that speaks to the API server from a pod.
func probeImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build probe: %v\n%s", err, out)
	}
	img := image{names: []string{"testbed.invalid/probe:1"}, files: map[string]string{"probe": filepath.Join(dir, "probe")}, entrypoint: []string{"/probe"}}
	archive := filepath.Join(dir, "probe.tar")
	if err := img.write(archive); err != nil {
		t.Fatal(err)
	}
	return archive
}

// A kubectl runs kubectl in a namespace.
type kubectl struct{ config, namespace string }

func (k kubectl) run(t *testing.T, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "kubectl", append([]string{"--kubeconfig", k.config, "--namespace", k.namespace}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// apply applies a file in which variables are replaced.
func (k kubectl) apply(t *testing.T, file string, variables map[string]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	filled := os.Expand(string(text), func(name string) string { return variables[name] })
	if out, err := k.run(t, filled, "apply", "-f", "-"); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
}

// logsOf waits until a Job is complete, and returns what it said.
func (k kubectl) logsOf(t *testing.T, job string) string {
	t.Helper()
	out, err := k.run(t, "", "wait", "--for=condition=Complete", "job/"+job, "--timeout="+patience.String())
	logs, unread := k.run(t, "", "logs", "job/"+job, "--all-containers")
	if err := errors.Join(err, unread); err != nil {
		described, _ := k.run(t, "", "describe", "pods")
		t.Fatalf("the Job did not complete: %v\n%s%s%s", err, out, described, logs)
	}
	return logs
}

// testWorkload runs pods that reach each other, the API server and what is beside it.
func testWorkload(t *testing.T, env map[string]string) {
	t.Helper()
	shop := kubectl{env["KUBECONFIG"], "shop"}
	shop.apply(t, "testdata/workload.yaml", env)
	logs := shop.logsOf(t, "client")
	for _, want := range []string{"system:serviceaccount:shop:default", "welcome", `{"version":"1.26.0"}`, "Prometheus Server is Ready", "001e"} {
		if !strings.Contains(logs, want) {
			t.Errorf("the Job's logs have no %s:\n%s", want, logs)
		}
	}
	within(t, "Prometheus to scrape the annotated pod", func() error {
		answer, err := fetch(t, env["TESTBED_PROMETHEUS_URL"]+"/api/v1/query?query="+url.QueryEscape(`pages_served{namespace="shop",pod="web",app="web"}`), "")
		if err == nil && !strings.Contains(answer, `"3"`) {
			err = errors.New(answer)
		}
		return err
	})
}

// testTasks runs the code of tasks in the images that are made here.
func testTasks(t *testing.T, b *bed, env map[string]string) {
	t.Helper()
	archives := strings.Fields(testbed(t, b, "images").must(t).stdout)
	testbed(t, b, append([]string{"load"}, archives...)...).must(t)
	variables := maps.Clone(env)
	for _, r := range taskRuntimes() {
		variables[strings.ToUpper(r.name)+"_IMAGE"] = r.image
	}
	tasks := kubectl{env["KUBECONFIG"], "tasks"}
	tasks.apply(t, "testdata/tasks.yaml", variables)
	for job, want := range map[string]string{"deno": "deno greets the world 200", "python": "python greets the world 200 True"} {
		if logs := tasks.logsOf(t, job); !strings.Contains(logs, want) {
			t.Errorf("the Job's logs have no %s:\n%s", want, logs)
		}
	}
}

// testAudit says that the log has what the policy asks for, and nothing else.
func testAudit(t *testing.T, env map[string]string) {
	t.Helper()
	text, err := os.ReadFile(env["TESTBED_AUDIT_LOG"])
	if err != nil {
		t.Fatal(err)
	}
	events := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, want := range []string{`"name":"web"`, `"name":"code"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the audit log of %d events has no %s", len(events), want)
		}
	}
	for _, event := range events {
		if !strings.Contains(event, `"verb":"create"`) {
			t.Errorf("the audit log has %s", event)
		}
	}
}

// testGitea says that the printed token is an administrator's.
func testGitea(t *testing.T, env map[string]string) {
	t.Helper()
	answer, err := fetch(t, env["TESTBED_GITEA_URL"]+"/api/v1/user", env["TESTBED_GITEA_TOKEN"])
	var user struct {
		Login   string
		IsAdmin bool `json:"is_admin"`
	}
	if err := errors.Join(err, json.Unmarshal([]byte(answer), &user)); err != nil || user.Login != env["TESTBED_GITEA_USER"] || !user.IsAdmin {
		t.Errorf("gitea's token is of %+v: %v", user, err)
	}
}

// testSupervisorKilled says that the kernel takes back, at once, all that a crashed
// testbed has, and the next command the empty cgroups and the files.
func testSupervisorKilled(t *testing.T, b *bed) {
	testbed(t, b, "up").must(t)
	seen := look(t, b)
	if err := unix.Kill(seen.supervisor, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	seen.gone(t)
	if s := testbed(t, b, "status"); s.code != 1 {
		t.Errorf("status exits %d after a crash", s.code)
	}
	testbed(t, b, "down").must(t)
	b.nothingLeft(t)
}

// testUpEnded says that an up that ends in the middle takes down what it started; one
// that is killed leaves cgroups and files to the next command.
func testUpEnded(t *testing.T, b *bed, signal syscall.Signal) {
	cmd := exec.Command("/proc/self/exe", "up", "--name", b.Name)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var progress bytes.Buffer
	for chunk := make([]byte, 4096); !strings.Contains(progress.String(), "etcd ready"); {
		n, err := stderr.Read(chunk)
		progress.Write(chunk[:n])
		if err != nil {
			t.Fatalf("up did not start etcd: %v\n%s", err, &progress)
		}
	}
	seen := look(t, b)
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&progress, stderr); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("up ended well, though it was told to end: %v", err)
	}
	if got := cmd.ProcessState.ExitCode(); signal == syscall.SIGINT && got != exitInterrupted {
		t.Errorf("an interrupted up exits %d:\n%s", got, &progress)
	}
	seen.gone(t)
	if signal == syscall.SIGKILL {
		testbed(t, b, "down").must(t)
	}
	b.nothingLeft(t)
}

// A result is how a command of the testbed's ended.
type result struct {
	stdout, stderr string
	code           int
}

// testbed runs one of the testbed's commands.
func testbed(t *testing.T, b *bed, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/proc/self/exe", append(args, "--name", b.Name)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("testbed %s\n%s", strings.Join(args, " "), &stderr)
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (r result) must(t *testing.T) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	return r
}

func parseEnv(t *testing.T, text string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok {
			t.Fatalf("up printed %q", line)
		}
		env[name] = value
	}
	return env
}

func fetch(t *testing.T, url, token string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "token "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// within asks until the answer is good, for as long as anything may take.
func within(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := eventually(ctx, func(context.Context) error { return ask() }); err != nil {
		t.Fatalf("wait for %s: %v", what, err)
	}
}
