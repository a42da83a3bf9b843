package task

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// What is read of a log, and what is kept of that, in bytes. Kubernetes counts its
// limit from the first of the last lines, so that more is read than is kept: the
// end is what says why a task failed.
const (
	logLines = 50
	logRead  = 64 << 10
	logKept  = 4 << 10
)

// PodLogs returns a function that reads the end of what a container wrote: its last
// 50 lines and 4 KiB at the most. However much it wrote, no more than 64 KiB are
// read.
func PodLogs(client kubernetes.Interface) func(ctx context.Context, namespace, pod, container string) (string, error) {
	return func(ctx context.Context, namespace, pod, container string) (string, error) {
		options := &corev1.PodLogOptions{Container: container, TailLines: new(int64(logLines)), LimitBytes: new(int64(logRead))}
		text, err := client.CoreV1().Pods(namespace).GetLogs(pod, options).DoRaw(ctx)
		if err != nil {
			return "", fmt.Errorf("log of container %q of pod %s/%s: %w", container, namespace, pod, err)
		}
		return tail(string(text)), nil
	}
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
