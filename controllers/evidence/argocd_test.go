package evidence_test

import (
	"testing"

	"github.com/keptn/gitops/controllers/evidence"
)

const (
	velero   = "Application argo-cd/velero-test: "
	testLLA  = "Deployment test-lla/test-lla: "
	synced   = "ea8759964626a583667a2bfd08f334ec2070040a"
	manifest = "https://github.com/foo/manifests-velero.git"
	here     = velero + `{spec: {destination: {name: in-cluster}}}`
)

func byVelero(commit, when string) evidence.Claim {
	return evidence.Claim{
		Evidence: evidence.Applier, By: "Application argo-cd/velero-test",
		Repository: manifest, Commit: commit, Revision: commit, At: at(when),
	}
}

// operation is an operation of the Application, which began at 09:00:00.
func operation(phase, sync, result string) string {
	return velero + `{status: {operationState: {phase: ` + phase + `, startedAt: "2024-03-06T09:00:00Z", finishedAt: null,
		operation: {sync: ` + sync + `}, syncResult: ` + result + `}}}`
}

// result is that of a sync to third, which lists the Deployment with a status, or
// something else.
func result(name, status string) string {
	return `{revision: ` + third + `, resources: [{group: apps, kind: Deployment, namespace: test-lla, name: ` + name + `, version: v1, status: ` + status + `, hookPhase: Running, syncPhase: Sync}]}`
}

// templateAt is when the pod template was written.
func templateAt(when string) string {
	return testLLA + `{metadata: {managedFields: [{manager: argocd-controller, operation: Apply, apiVersion: apps/v1,
		fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:template": {}}}, time: "` + when + `"}]}}`
}

func TestAnApplicationSaysWhatItSynced(t *testing.T) {
	now := templateAt("2024-03-06T09:00:02Z")
	cases := map[string]struct {
		reason  string
		patches []string
		want    evidence.Explanation
	}{
		"AsItIs": {
			reason: "The document as it is in Argo CD's tests: it deploys to another cluster.",
			want:   claims(doubting(byVelero(synced, "2024-03-05T07:33:04Z"), "it deploys to gke-alpha-01-europe-west1, which may be another cluster")),
		},
		"Synced": {
			reason:  "What was synced last runs.",
			patches: []string{here},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"NotWhatIsCompared": {
			reason:  "sync.revision is what Git has by now.",
			patches: []string{here, velero + `{status: {sync: {status: OutOfSync, revision: ` + third + `}}}`},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"Begins": {
			reason:  "An operation without a result may have written the workload already.",
			patches: []string{here, now, operation("Running", "{}", "null")},
			want:    waits("Application argo-cd/velero-test"),
		},
		"BeginsLater": {
			reason:  "What is older than the operation is of the last sync.",
			patches: []string{here, operation("Running", "{}", "null")},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"WrittenInBetween": {
			reason:  "Of what was written after the last whole sync, and is not in the last one's result, nobody knows the revision.",
			patches: []string{here, now, operation("Failed", "{}", result("other", "Synced"))},
			want:    claims(doubting(byVelero(synced, "2024-03-05T07:33:04Z"), "it was written after the last sync that is recorded")),
		},
		"Waves": {
			reason:  "Its wave was applied; the next one waits until it is healthy.",
			patches: []string{here, now, operation("Running", "{}", result("test-lla", "Synced"))},
			want:    claims(byVelero(third, "2024-03-06T09:00:00Z")),
		},
		"OtherWave": {
			reason:  "Another wave was applied; whether this one was is said after it.",
			patches: []string{here, now, operation("Running", "{}", result("other", "Synced"))},
			want:    waits("Application argo-cd/velero-test"),
		},
		"Terminates": {
			reason:  "An operation that is being ended is not over.",
			patches: []string{here, now, operation("Terminating", "{}", result("other", "Synced"))},
			want:    waits("Application argo-cd/velero-test"),
		},
		"WillBeTriedAgain": {
			reason:  "A sync that failed is tried again while its phase is Running.",
			patches: []string{here, now, operation("Running", "{}", result("test-lla", "SyncFailed"))},
			want:    waits("Application argo-cd/velero-test"),
		},
		"Failed": {
			reason:  "Of a sync that failed, this object was applied.",
			patches: []string{here, now, operation("Failed", "{}", result("test-lla", "Synced"))},
			want:    claims(byVelero(third, "2024-03-06T09:00:00Z")),
		},
		"FailedHere": {
			reason:  "It was refused: the last whole sync counts.",
			patches: []string{here, operation("Failed", "{}", result("test-lla", "SyncFailed"))},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"InSyncAlready": {
			reason:  "With ApplyOutOfSyncOnly a whole sync does not list what was in sync.",
			patches: []string{here, operation("Succeeded", "{}", `{revision: `+third+`, source: {repoURL: "`+manifest+`"}}`)},
			want:    claims(byVelero(third, "2024-03-06T09:00:00Z")),
		},
		"HealsAnother": {
			reason:  "A sync of other resources says nothing of this one.",
			patches: []string{here, operation("Succeeded", "{resources: [{kind: Service, name: test-lla}]}", result("other", "Synced"))},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"DryRun": {
			reason:  "A dry run applies nothing.",
			patches: []string{here, operation("Succeeded", "{dryRun: true}", result("test-lla", "Synced"))},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"Local": {
			reason:  "Manifests from someone's disk are of no commit.",
			patches: []string{here, now, operation("Succeeded", `{manifests: ["{}"]}`, result("test-lla", "Synced"))},
		},
		"NeverSynced": {
			reason:  "Nothing was synced.",
			patches: []string{here, velero + "{status: {operationState: null, history: null}}"},
		},
		"NotItsOwn": {
			reason:  "The history is of what the Application lists.",
			patches: []string{here, velero + "{status: {operationState: null, resources: null}}"},
		},
		"Copied": {
			reason:  "An annotation that names another object was copied.",
			patches: []string{here, testLLA + `{metadata: {annotations: {argocd.argoproj.io/tracking-id: "velero-test:apps/Deployment:test-lla/other"}}}`},
		},
		"AnyNamespace": {
			reason:  "An Application elsewhere than in Argo CD's namespace is tracked with its own.",
			patches: []string{here, velero + `{status: {controllerNamespace: argocd}}`, testLLA + `{metadata: {annotations: {argocd.argoproj.io/tracking-id: "argo-cd_velero-test:apps/Deployment:test-lla/test-lla"}}}`},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"OfTheSameName": {
			reason:  "Without a namespace the Application in Argo CD's is meant.",
			patches: []string{here, velero + `{status: {controllerNamespace: argocd}}`},
		},
		"Label": {
			reason:  "A label counts where the Application lists the object.",
			patches: []string{here, testLLA + `{metadata: {annotations: null, labels: {app.kubernetes.io/instance: velero-test}}}`},
			want:    claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"OthersLabel": {
			reason:  "Helm's charts set the label too.",
			patches: []string{here, velero + "{status: {resources: null}}", testLLA + `{metadata: {annotations: null, labels: {app.kubernetes.io/instance: velero-test}}}`},
		},
		"Gone": {
			reason:  "The Application is gone, and with it the kind.",
			patches: []string{velero + "null"},
		},
		"Hydrated": {
			reason: "The commit that was rendered comes before the one that holds the result.",
			patches: []string{here, velero + `{spec: {source: null, sourceHydrator: {drySource: {repoURL: "https://github.com/foo/dry", targetRevision: HEAD, path: velero}, syncSource: {targetBranch: env/prod, path: velero}}},
				status: {sourceHydrator: {lastSuccessfulOperation: {drySHA: ` + third + `, hydratedSHA: ` + synced + `,
					sourceHydrator: {drySource: {repoURL: "https://github.com/foo/dry", targetRevision: HEAD, path: velero}, syncSource: {targetBranch: env/prod, path: velero}}}}}}`},
			want: claims(func() evidence.Claim {
				c := byVelero(third, "2024-03-05T07:33:04Z")
				c.Repository = "https://github.com/foo/dry"
				return c
			}(), byVelero(synced, "2024-03-05T07:33:04Z")),
		},
		"HydratedSince": {
			reason: "A later hydration was not synced yet.",
			patches: []string{here, velero + `{status: {sourceHydrator: {currentOperation: {startedAt: "2024-03-06T09:00:00Z", phase: Hydrated, message: "", drySHA: ` + third + `, hydratedSHA: ` + newer + `,
				sourceHydrator: {drySource: {repoURL: "https://github.com/foo/dry", targetRevision: HEAD, path: velero}, syncSource: {targetBranch: env/prod, path: velero}}}}}}`},
			want: claims(byVelero(synced, "2024-03-05T07:33:04Z")),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := worldOf(t, []string{"workloads.yaml", "application.yaml"}, tc.patches...)
			explain(t, w, "test-lla", "test-lla", tc.reason, tc.want)
		})
	}
}

func TestEachOfSeveralSourcesIsClaimed(t *testing.T) {
	w := worldOf(t, []string{"workloads.yaml", "multisource.yaml"},
		`Deployment default/podinfo: {metadata: {labels: null, annotations: {argocd.argoproj.io/tracking-id: "my-app:apps/Deployment:default/podinfo"}}}`,
		`Application argocd/my-app: {spec: {destination: {server: "https://kubernetes.default.svc"}},
			status: {operationState: {syncResult: {revision: "", resources: [{group: apps, version: v1, kind: Deployment, name: podinfo, namespace: default, status: Synced}],
				revisions: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, 1.2.3, cccccccccccccccccccccccccccccccccccccccc],
				sources: [{repoURL: "https://github.com/argoproj/argocd-example-apps.git", path: some/path}, {repoURL: "https://charts.example.com", chart: redis, targetRevision: 1.x}, {repoURL: "git@github.com:argoproj/values.git", ref: values}]}}}}`)
	claim := func(repository, commit, revision string) evidence.Claim {
		return evidence.Claim{
			Evidence: evidence.Applier, By: "Application argocd/my-app",
			Repository: repository, Commit: commit, Revision: revision, At: at("2018-09-21T23:50:29Z"),
		}
	}
	explain(t, w, "default", "podinfo", "A chart has a version, the others commits.", claims(
		claim("https://github.com/argoproj/argocd-example-apps.git", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		claim("https://charts.example.com", "", "1.2.3"),
		claim("git@github.com:argoproj/values.git", "cccccccccccccccccccccccccccccccccccccccc", "cccccccccccccccccccccccccccccccccccccccc"),
	))
}
