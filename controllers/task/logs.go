package task

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// What is read of a log, and what is kept of that, in bytes. The end is what says why a
// task failed, and Kubernetes counts a limit from the first of the last lines: so all
// of these are read, and only the end is kept. A line is an entry of the node's log
// file here, which has 16 KiB at the most with containerd, and 32 KiB with CRI-O.
const (
	logLines = 50
	logRead  = 2 << 20
	logKept  = 4 << 10
)

// PodLogs returns a function that reads the end of what a container wrote: its last
// 50 lines and 4 KiB at the most. However much it wrote, no more than 2 MiB are read,
// and no more than some KiB at a time are held in memory.
func PodLogs(client kubernetes.Interface) func(ctx context.Context, namespace, pod, container string) (string, error) {
	return func(ctx context.Context, namespace, pod, container string) (string, error) {
		options := &corev1.PodLogOptions{Container: container, TailLines: new(int64(logLines)), LimitBytes: new(int64(logRead))}
		var kept end
		stream, err := client.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
		if err == nil {
			_, err = io.Copy(&kept, stream)
			_ = stream.Close() // what is to be read was read
		}
		if err != nil {
			return "", fmt.Errorf("log of container %q of pod %s/%s: %w", container, namespace, pod, err)
		}
		return tail(string(kept)), nil
	}
}

// An end is the last of what was written to it: enough for tail to cut it at a line.
type end []byte

// Write implements io.Writer. It never fails.
func (e *end) Write(text []byte) (int, error) {
	*e = append(*e, text...)
	if over := len(*e) - 2*logKept; over > 0 {
		*e = (*e)[:copy(*e, (*e)[over:])]
	}
	return len(text), nil
}

// tail is the end of a text, as valid UTF-8: whole lines of it, unless the last one
// alone is too long.
func tail(text string) string {
	text = strings.TrimRight(strings.ToValidUTF8(text, "\uFFFD"), "\n")
	if len(text) <= logKept {
		return text
	}
	text = text[len(text)-logKept:]
	if _, lines, found := strings.Cut(text, "\n"); found {
		return lines
	}
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
