package task_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/keptn/gitops/controllers/task"
)

func TestOfALogItsEndIsRead(t *testing.T) {
	const limit = 4096
	line := strings.Repeat("x", 99) + "\n"
	cases := map[string]struct{ reason, written, want string }{
		"Short":   {"All of it.", "one\ntwo\n", "one\ntwo"},
		"Empty":   {"Nothing is an answer.", "", ""},
		"Long":    {"Whole lines, and the last of them.", strings.Repeat(line, 49) + "the error\n", strings.Repeat(line, 40) + "the error"},
		"OneLine": {"The end of a line without end.", strings.Repeat("x", 2*limit) + "!", strings.Repeat("x", limit-1) + "!"},
		"Wide":    {"The last of long lines, too.", strings.Repeat(strings.Repeat("x", 16<<10-1)+"\n", 49) + "the error\n", "the error"},
		"Runes":   {"No rune is cut in two.", "a" + strings.Repeat("é", limit), strings.Repeat("é", limit/2)},
		"Binary":  {"What is no text is marked.", "a\xff\xfeb", "a\uFFFDb"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.URL.String(); got != "/api/v1/namespaces/shop/pods/p1/log?container=main&limitBytes=2097152&tailLines=50" {
					http.Error(w, got, http.StatusBadRequest)
					return
				}
				_, _ = io.WriteString(w, c.written)
			}))
			defer server.Close()
			kube, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := task.PodLogs(kube)(t.Context(), "shop", "p1", "main")
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s: got %d bytes, %q", c.reason, len(got), got)
			}
		})
	}
}

func TestALogThatCannotBeReadSaysWhose(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.PodLogs(kube)(t.Context(), "shop", "p1", "main"); err == nil || !strings.Contains(err.Error(), `"main" of pod shop/p1`) {
		t.Errorf("got %v", err)
	}
}

func TestALongLogIsNotHeldInMemory(t *testing.T) {
	var kept task.End
	chunk := []byte(strings.Repeat(strings.Repeat("x", 1023)+"\n", 32))
	allocated := testing.AllocsPerRun(1, func() {
		for range 100 << 5 { // 100 MiB
			if n, err := kept.Write(chunk); n != len(chunk) || err != nil {
				t.Fatal(n, err)
			}
		}
	})
	if allocated > 10 || cap(kept) > 128<<10 {
		t.Errorf("%v allocations, %d bytes held", allocated, cap(kept))
	}
	if got := task.Tail(string(kept)); len(got) != 4095 {
		t.Errorf("%d bytes are left", len(got))
	}
}

func FuzzTheEndOfALogIsValidAndShort(f *testing.F) {
	f.Add("a\xffb")
	f.Add(strings.Repeat("é\n", 3000))
	f.Fuzz(func(t *testing.T, text string) {
		got := task.Tail(text)
		if !utf8.ValidString(got) || len(got) > 4096 {
			t.Error(fmt.Sprint(len(got), utf8.ValidString(got)))
		}
	})
}
