package evidence_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/controllers/evidence"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// Revisions of the documents.
const (
	older = "67e2c98a60dc92283531412a9e604dd4bae005a9"
	newer = "450796ddb2ab6724ee1cc32a4be56da032d1cca0"
	third = "d5f1c6ef1e5f8a2a0c3b1a4b9c8d7e6f5a4b3c2d"
)

const fleet = "https://github.com/acme/fleet.git"

// explain compares what is claimed of one workload. A pending word is compared by a
// part of it.
func explain(t *testing.T, w *world, namespace, name, reason string, want evidence.Explanation) {
	t.Helper()
	got, err := evidence.Explain(t.Context(), w, w.workload(namespace, name))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || len(got[0].Pending) != len(want.Pending) {
		t.Fatalf("%s\ngot %+v, want %+v", reason, got, want)
	}
	for i, waits := range want.Pending {
		if !strings.Contains(got[0].Pending[i], waits) {
			t.Errorf("%s\npending %q, want it to say %q", reason, got[0].Pending[i], waits)
		}
	}
	if diff := cmp.Diff(want.Claims, got[0].Claims, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s\n(-want +got):\n%s", reason, diff)
	}
}

// apps is the Kustomization, and podinfo what it applies.
const (
	apps    = "Kustomization flux-system/apps: "
	podinfo = "Deployment default/podinfo: "
)

// byApps is a claim of the Kustomization.
func byApps(commit, revision, when string) evidence.Claim {
	return evidence.Claim{
		Evidence: evidence.Applier, By: "Kustomization flux-system/apps",
		Repository: fleet, Commit: commit, Revision: revision, At: at(when),
	}
}

func doubting(c evidence.Claim, doubt string) evidence.Claim {
	c.Doubt = doubt
	return c
}

func claims(all ...evidence.Claim) evidence.Explanation { return evidence.Explanation{Claims: all} }

func waits(of string) evidence.Explanation { return evidence.Explanation{Pending: []string{of}} }

// attempting is a Kustomization in a step of the reconciliation of main at third.
func attempting(step, healthy string) string {
	message := step + " for revision main@sha1:" + third + " with a timeout of 5m0s"
	return apps + `{status: {lastAttemptedRevision: "main@sha1:` + third + `", conditions: [
		{type: Healthy, status: "Unknown", reason: Progressing, message: "` + healthy + `", lastTransitionTime: "2025-08-15T12:00:03Z"},
		{type: Reconciling, status: "True", reason: Progressing, message: "` + message + `", lastTransitionTime: "2025-08-15T12:00:03Z"},
		{type: Ready, status: "Unknown", reason: Progressing, message: Reconciliation in progress, lastTransitionTime: "2025-08-15T12:00:00Z"}]}}`
}

const checking = "Running health checks for revision main@sha1:" + third + " with a timeout of 5m0s"

// atRest is a Kustomization that has given up for now, by the reason of Ready.
func atRest(attempted, reason, message, healthy string) string {
	return apps + `{status: {lastAttemptedRevision: "` + attempted + `", conditions: [
		{type: Healthy, status: "` + healthy + `", reason: Progressing, message: "` + checking + `", lastTransitionTime: "2025-08-15T12:00:03Z"},
		{type: Reconciling, status: "True", reason: ProgressingWithRetry, message: "` + message + `", lastTransitionTime: "2025-08-15T12:05:00Z"},
		{type: Ready, status: "False", reason: ` + reason + `, message: "what went wrong", lastTransitionTime: "2025-08-15T12:05:00Z"}]}}`
}

// record is an entry of the history.
func record(revision, status, first, last string) string {
	return `{digest: "sha256:` + strings.Repeat("0", 64) + `", firstReconciled: "` + first + `", lastReconciled: "` + last + `",
		lastReconciledDuration: 10s, lastReconciledStatus: ` + status + `, totalReconciliations: 1, metadata: {revision: "` + revision + `"}}`
}

func history(entries ...string) string {
	return apps + "{status: {history: [" + strings.Join(entries, ",") + "]}}"
}

// writtenAt is when the pod template of podinfo was written.
func writtenAt(when string) string {
	return podinfo + `{metadata: {managedFields: [{manager: kustomize-controller, operation: Apply, apiVersion: apps/v1,
		fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:template": {}}}, time: "` + when + `"}]}}`
}

func TestAKustomizationSaysWhatItApplied(t *testing.T) {
	v100, v101, main := "v1.0.0@sha1:"+older, "v1.0.1@sha1:"+newer, "main@sha1:"+third
	cases := map[string]struct {
		reason  string
		patches []string
		want    evidence.Explanation
	}{
		"AtRest": {
			reason: "What was applied last is what runs.",
			want:   claims(byApps(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"HealthCheckFailed": {
			reason: "It runs although it is not healthy; lastAppliedRevision is that of the revision before.",
			patches: []string{
				atRest(main, "HealthCheckFailed", checking, "False"),
				history(record(main, "HealthCheckFailed", "2025-08-15T12:05:00Z", "2025-08-15T12:05:00Z"), record(v101, "ReconciliationSucceeded", "2025-08-15T10:11:00Z", "2025-08-15T11:12:00Z")),
				writtenAt("2025-08-15T12:00:02Z"),
			},
			want: claims(byApps(third, main, "2025-08-15T12:05:00Z")),
		},
		"ChecksHealth": {
			reason:  "All was applied that is waited for, gated pods among it; no history has it yet.",
			patches: []string{attempting("Running health checks", checking), writtenAt("2025-08-15T12:00:02Z")},
			want:    claims(byApps(third, main, "2025-08-15T12:00:03Z")),
		},
		"ChecksHealthOfWhatIsOld": {
			reason:  "What the revision did not change is as it has it too.",
			patches: []string{attempting("Running health checks", checking)},
			want:    claims(byApps(third, main, "2025-08-15T12:00:03Z")),
		},
		"FirstInstallChecksHealth": {
			reason:  "There need not be a history.",
			patches: []string{attempting("Running health checks", checking), apps + "{status: {history: null, lastAppliedRevision: null}}"},
			want:    claims(byApps(third, main, "2025-08-15T12:00:03Z")),
		},
		"Applies": {
			reason:  "It may be written already or not: the revision before is never claimed of it.",
			patches: []string{attempting("Detecting drift", "Health check passed in 2s"), writtenAt("2025-08-15T12:00:02Z")},
			want:    waits("Kustomization flux-system/apps"),
		},
		"AppliesAfterHealthChecksWereGivenUp": {
			reason:  "Healthy still speaks of the revision before.",
			patches: []string{attempting("Detecting drift", "Running health checks for revision "+v101+" with a timeout of 5m0s"), writtenAt("2025-08-15T12:00:02Z")},
			want:    waits("Kustomization flux-system/apps"),
		},
		"Fetches": {
			reason: "Nothing is said of a revision that is only fetched.",
			patches: []string{
				attempting("Fetching manifests", "Health check passed in 2s"),
				apps + `{status: {lastAttemptedRevision: "` + v101 + `"}}`,
			},
			want: waits("Kustomization flux-system/apps"),
		},
		"GaveUpHealthChecks": {
			reason:  "A newer revision waits, and this one runs; the history has none of it.",
			patches: []string{atRest(main, "HealthCheckCanceled", checking, "Unknown"), writtenAt("2025-08-15T12:00:02Z")},
			want:    claims(byApps(third, main, "2025-08-15T12:05:00Z")),
		},
		"BuildFailed": {
			reason:  "A revision that does not build changes nothing.",
			patches: []string{atRest(main, "BuildFailed", "Building manifests for revision "+main, "True")},
			want:    claims(byApps(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"BuildFailedAfterHealthChecksWereGivenUp": {
			reason:  "What was written meanwhile is of a revision that nobody remembers.",
			patches: []string{atRest(main, "BuildFailed", "Building manifests for revision "+main, "Unknown"), writtenAt("2025-08-15T12:00:02Z")},
			want:    claims(doubting(byApps(newer, v101, "2025-08-15T11:12:00Z"), "it was written after the last apply that is recorded")),
		},
		"SomeoneElseWrote": {
			reason:  "That a workload was changed by hand does not change what was applied.",
			patches: []string{writtenAt("2025-08-15T12:30:00Z")},
			want:    claims(byApps(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"AppliedInPart": {
			reason: "The apply failed at another object; this one was written in it.",
			patches: []string{
				atRest(main, "ReconciliationFailed", "Detecting drift for revision "+main, "True"),
				history(record(main, "ReconciliationFailed", "2025-08-15T12:00:10Z", "2025-08-15T12:20:10Z"), record(v101, "ReconciliationSucceeded", "2025-08-15T10:11:00Z", "2025-08-15T11:12:00Z")),
				writtenAt("2025-08-15T12:00:02Z"),
			},
			want: claims(doubting(byApps(third, main, "2025-08-15T12:20:10Z"), "revision "+main+" was applied in part only")),
		},
		"NotAppliedInPart": {
			reason: "The apply failed at another object; this one was written before.",
			patches: []string{
				atRest(main, "ReconciliationFailed", "Detecting drift for revision "+main, "True"),
				history(record(main, "ReconciliationFailed", "2025-08-15T12:00:10Z", "2025-08-15T12:20:10Z"), record(v101, "ReconciliationSucceeded", "2025-08-15T10:11:00Z", "2025-08-15T11:12:00Z")),
			},
			want: claims(byApps(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"NeverApplied": {
			reason: "A first apply that failed leaves nothing to go by.",
			patches: []string{
				atRest(main, "ReconciliationFailed", "Detecting drift for revision "+main, "True"),
				apps + "{status: {inventory: null, lastAppliedRevision: null}}",
				history(record(main, "ReconciliationFailed", "2025-08-15T12:00:10Z", "2025-08-15T12:20:10Z")),
			},
		},
		"WithoutHistory": {
			reason:  "Before 1.7 there was no history.",
			patches: []string{apps + "{status: {history: null}}"},
			want:    claims(byApps(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"WithoutHistoryAndHealth": {
			reason:  "Then lastAttemptedRevision tells.",
			patches: []string{atRest(main, "HealthCheckFailed", checking, "False"), apps + "{status: {history: null}}"},
			want:    claims(byApps(third, main, "2025-08-15T12:05:00Z")),
		},
		"WithoutHistoryAndBuild": {
			reason:  "And else nothing does.",
			patches: []string{atRest(main, "BuildFailed", "Building manifests", "True"), apps + "{status: {history: null}}"},
		},
		"OldHistory": {
			reason:  "A revision that renders what an older one did is the newest entry again.",
			patches: []string{history(record(v100, "ReconciliationSucceeded", "2025-07-14T13:10:00Z", "2025-08-15T12:00:00Z"), record(v101, "ReconciliationSucceeded", "2025-08-15T10:11:00Z", "2025-08-15T11:12:00Z")), apps + `{status: {lastAttemptedRevision: "` + v100 + `"}}`},
			want:    claims(byApps(older, v100, "2025-08-15T12:00:00Z")),
		},
		"Untouched": {
			reason:  "A Kustomization that was never reconciled has applied nothing.",
			patches: []string{apps + "{status: null}"},
		},
		"NotInInventory": {
			reason:  "Labels are copied, an inventory is not.",
			patches: []string{apps + `{status: {inventory: {entries: [{id: default_other_apps_Deployment, v: v1}]}}}`},
		},
		"OtherCluster": {
			reason:  "It applies to another cluster something of the same name.",
			patches: []string{apps + `{spec: {kubeConfig: {secretRef: {name: remote}}}}`},
		},
		"Disabled": {
			reason:  "It was told to leave the workload alone.",
			patches: []string{podinfo + `{metadata: {annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}}}`},
		},
		"IfNotPresent": {
			reason:  "It only made the workload; a label says it as well as an annotation.",
			patches: []string{podinfo + `{metadata: {labels: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}}`},
		},
		"Merge": {
			reason:  "Merged fields are applied all the same.",
			patches: []string{podinfo + `{metadata: {annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}}}`},
			want:    claims(byApps(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"Gone": {
			reason:  "The Kustomization is gone, its objects were kept.",
			patches: []string{apps + "null"},
		},
		"NoLabels": {
			reason:  "Nobody is named.",
			patches: []string{podinfo + `{metadata: {labels: null}}`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := worldOf(t, []string{"workloads.yaml", "kustomization.yaml", "sources.yaml"}, tc.patches...)
			explain(t, w, "default", "podinfo", tc.reason, tc.want)
		})
	}
}

func TestASourceTellsTheCommit(t *testing.T) {
	oci := "latest@sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"
	external := "latest@sha256:aa638abb455ca5f9ef4825b949fd2de4d4be0a74895bf7ed2338622cd1268672"
	bucket := "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	const built = "b3b00fe35424a45d373bf4c7214178bc36fd7872"
	from := func(kind, revision, origin string) []string {
		return []string{
			apps + `{spec: {sourceRef: {kind: ` + kind + `}}, status: {lastAttemptedRevision: "` + revision + `", history: [` +
				strings.Replace(record(revision, "ReconciliationSucceeded", "2025-08-15T10:11:00Z", "2025-08-15T11:12:00Z"), "}}", origin+"}}", 1) + `]}}`,
		}
	}
	checks := func(revision string) string {
		return apps + `{spec: {sourceRef: {kind: OCIRepository}}, status: {lastAttemptedRevision: "` + revision + `"}}`
	}
	claim := func(repository, commit, revision string) evidence.Claim {
		c := byApps(commit, revision, "2025-08-15T11:12:00Z")
		c.Repository = repository
		return c
	}
	underway := func(c evidence.Claim) evidence.Claim {
		c.At = at("2025-08-15T12:00:03Z")
		return c
	}
	cases := map[string]struct {
		reason  string
		patches []string
		want    evidence.Explanation
	}{
		"OCIRepository": {
			reason:  "The history has the origin of the artifact, the artifact its repository.",
			patches: from("OCIRepository", oci, `, originRevision: "main@sha1:`+third+`"`),
			want:    claims(claim("https://github.com/stefanprodan/podinfo.git", third, oci)),
		},
		"OCIRepositoryWithoutOrigin": {
			reason:  "The artifact tells where the history does not.",
			patches: from("OCIRepository", oci, ""),
			want:    claims(claim("https://github.com/stefanprodan/podinfo.git", built, oci)),
		},
		"OCIRepositoryMovedOn": {
			reason:  "An artifact that is not the one that was applied tells no commit of it.",
			patches: from("OCIRepository", "latest@sha256:"+strings.Repeat("0", 64), ""),
			want:    claims(claim("https://github.com/stefanprodan/podinfo.git", "", "latest@sha256:"+strings.Repeat("0", 64))),
		},
		"OCIRepositoryChecksHealth": {
			reason:  "While health is checked only the artifact tells.",
			patches: []string{attempting("Running health checks", checking), checks(oci)},
			want:    claims(underway(claim("https://github.com/stefanprodan/podinfo.git", built, oci))),
		},
		"OCIRepositoryMovedOnUnderway": {
			reason:  "If it is another one by then, the end of the reconciliation tells.",
			patches: []string{attempting("Running health checks", checking), checks("latest@sha256:" + strings.Repeat("0", 64))},
			want:    waits("OCIRepository flux-system/fleet"),
		},
		"OCIRepositoryGone": {
			reason:  "The origin was recorded; the repository was not.",
			patches: append(from("OCIRepository", oci, `, originRevision: "main@sha1:`+third+`"`), "OCIRepository flux-system/fleet: null"),
			want:    claims(claim("", third, oci)),
		},
		"Bucket": {
			reason:  "A bucket has no commits.",
			patches: from("Bucket", bucket, ""),
			want:    claims(claim("", "", bucket)),
		},
		"ExternalArtifact": {
			reason:  "A generated artifact has the revision of its source.",
			patches: from("ExternalArtifact", external, `, originRevision: "main@sha1:`+third+`"`),
			want:    claims(claim("", third, external)),
		},
		"GitRepositoryGone": {
			reason:  "A revision names its commit by itself.",
			patches: []string{"GitRepository flux-system/fleet: null"},
			want:    claims(claim("", newer, "v1.0.1@sha1:"+newer)),
		},
		"SHA256": {
			reason:  "A repository may use SHA-256.",
			patches: from("GitRepository", "main@sha256:"+strings.Repeat("ab", 32), ""),
			want:    claims(claim(fleet, strings.Repeat("ab", 32), "main@sha256:"+strings.Repeat("ab", 32))),
		},
		"Credentials": {
			reason:  "Credentials do not get any further.",
			patches: []string{`GitRepository flux-system/fleet: {spec: {url: "https://robot:token@github.com/acme/fleet.git"}}`},
			want:    claims(claim(fleet, newer, "v1.0.1@sha1:"+newer)),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := worldOf(t, []string{"workloads.yaml", "kustomization.yaml", "sources.yaml"}, tc.patches...)
			explain(t, w, "default", "podinfo", tc.reason, tc.want)
		})
	}
}
