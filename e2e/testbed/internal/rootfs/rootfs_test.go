package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrust says that programs find one file with all certificates, however they look
// for it.
func TestTrust(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"a.crt": "A", "b.crt": "B\n"} {
		if err := Write(root, filepath.Join("usr/share/ca-certificates/mozilla", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Trust(root); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, bundle))
	if err != nil || strings.Join(strings.Fields(string(text)), " ") != "A B" {
		t.Errorf("the bundle has %q (%v)", text, err)
	}
	if target, err := os.Readlink(filepath.Join(root, opensslBundle)); err != nil || target != "/"+bundle {
		t.Errorf("OpenSSL is led to %q (%v)", target, err)
	}
}

// TestTrustNobody says that a root in which no connection could be trusted is an error.
func TestTrustNobody(t *testing.T) {
	if err := Trust(t.TempDir()); err == nil || !strings.Contains(err.Error(), "ca-certificates") {
		t.Errorf("error is %v", err)
	}
}

// TestFailedCommand says that what a command said is told.
func TestFailedCommand(t *testing.T) {
	err := run(t.Context(), t.TempDir(), "sh", "-c", "echo why; exit 3")
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("error is %v", err)
	}
}
