package task

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

const (
	// maxLabel is how long a label's value may be. A Job's name is one too, since
	// its pods carry it as a label, and so is a container's.
	maxLabel = 63
	// maxName is how long the name of an object may be.
	maxName = 253
	// hashed is how many digits of a hash stand for what was cut off.
	hashed = 10
)

// jobName is the name of the Job of a task, <task>-<5 digits> as Keptn has it. The
// digits are those of the task's UID, so that a second try finds the first one's
// Job, and another task of the same name has a Job of its own.
func jobName(t *lifecyclev1.KeptnTask) string {
	return fmt.Sprintf("%s-%d", short(t.Name, maxLabel-len("-00000")), digits(t.UID))
}

// digits are five digits that depend on a UID, from 10000 to 99998 as Keptn's.
func digits(uid types.UID) uint32 {
	sum := sha256.Sum256([]byte(uid))
	return 10000 + binary.BigEndian.Uint32(sum[:])%89999
}

// labelOf is the name of a task as a label's value.
func labelOf(task string) string { return short(task, maxLabel) }

// scriptsName is the name of the ConfigMap that holds the scripts of a
// KeptnTaskDefinition.
func scriptsName(definition string) string { return short("keptnfn-"+definition, maxName) }

// containerName is a name as a container can have it, which takes no dots.
func containerName(name string) string {
	return short(strings.ReplaceAll(name, ".", "-"), maxLabel)
}

// short is a name that is at most so long. What is cut off is replaced by a hash
// of the whole, so that two long names stay two.
func short(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:limit-hashed-1], "-.") + "-" + hex.EncodeToString(sum[:])[:hashed]
}
