package evidence_test

import (
	"testing"
	"time"

	"github.com/keptn/gitops/controllers/evidence"
)

const release = "HelmRelease podinfo/podinfo: "

// deployedHelm is the Kustomization's claim of what the HelmRelease installs, and
// charted that of its chart.
func deployedHelm(commit, revision, when string) evidence.Claim {
	c := byApps(commit, revision, when)
	c.By = "HelmRelease podinfo/podinfo by Kustomization flux-system/apps"
	return c
}

func charted(repository, commit, revision, when string) evidence.Claim {
	return evidence.Claim{
		Evidence: evidence.Applier, By: "chart of HelmRelease podinfo/podinfo",
		Repository: repository, Commit: commit, Revision: revision, At: at(when),
	}
}

// running is a HelmRelease in an action; ready is what Ready says meanwhile.
func running(action, ready string) string {
	message := "Running '" + action + "' action with timeout of 5m0s"
	if ready == "" {
		ready = `{type: Ready, status: "Unknown", reason: Progressing, message: "` + message + `", lastTransitionTime: "2024-05-07T04:54:54Z"}`
	}
	return release + `{status: {observedGeneration: 1, conditions: [` + ready + `,
		{type: Reconciling, status: "True", reason: Progressing, message: "` + message + `", lastTransitionTime: "2024-05-07T04:54:54Z"}]}}`
}

// statusAt is when the status of the HelmRelease was written.
func statusAt(when string) string {
	return release + `{metadata: {managedFields: [
		{manager: kustomize-controller, operation: Apply, apiVersion: helm.toolkit.fluxcd.io/v2, fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}, time: "2024-05-07T04:54:40Z"},
		{manager: helm-controller, operation: Update, apiVersion: helm.toolkit.fluxcd.io/v2, fieldsType: FieldsV1, fieldsV1: {"f:status": {}}, subresource: status, time: "` + when + `"}]}}`
}

func TestAHelmReleaseComesFromWhoAppliedIt(t *testing.T) {
	v101 := "v1.0.1@sha1:" + newer
	chart := charted("https://github.com/stefanprodan/podinfo", "b3b00fe35424a45d373bf4c7214178bc36fd7872",
		"6.6.1@sha256:0cc9a8446c95009ef382f5eade883a67c257f77d50f84e78ecef2aac9428d1e5", "2024-05-07T04:54:55Z")
	const atMain = "d5f1c6ef1e5fd4b3a8a6b4f2d5b1a4f8b0a6a3c2"
	packed := charted("ssh://git@github.com/acme/charts.git", atMain, "main@sha1:"+atMain, "2024-05-07T04:54:55Z")
	both := claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z"), chart)
	fromGit := func(strategy, version string) string {
		return release + `{spec: {chartRef: null, chart: {spec: {chart: ./podinfo, reconcileStrategy: ` + strategy + `, sourceRef: {kind: GitRepository, name: charts}}}},
			status: {lastAttemptedRevision: "` + version + `", lastAttemptedRevisionDigest: null}}`
	}
	cases := map[string]struct {
		reason  string
		patches []string
		want    evidence.Explanation
	}{
		"Deployed": {
			reason: "The deploy repository's commit, then the chart's.",
			want:   both,
		},
		"Upgrades": {
			reason:  "Helm waits for pods: what was written since the upgrade began is its work.",
			patches: []string{running("upgrade", ""), statusAt("2024-05-07T04:54:54Z")},
			want:    both,
		},
		"UpgradesInTheSameSecond": {
			reason:  "Times have a resolution of a second.",
			patches: []string{running("upgrade", ""), statusAt("2024-05-07T04:54:56Z")},
			want:    both,
		},
		"NotYetUpgraded": {
			reason:  "What was written before is of the release before, or is not changed by this one.",
			patches: []string{running("upgrade", ""), statusAt("2024-05-07T04:54:57Z")},
			want:    waits("HelmRelease podinfo/podinfo"),
		},
		"WithoutManagedFields": {
			reason:  "The condition tells when the action began, where the API server does not.",
			patches: []string{running("upgrade", ""), release + "{metadata: {managedFields: null}}"},
			want:    both,
		},
		"FirstInstall": {
			reason:  "There is no history before the first install is done.",
			patches: []string{running("install", ""), statusAt("2024-05-07T04:54:54Z"), release + "{status: {history: null}}"},
			want: claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z"), func() evidence.Claim {
				c := chart
				c.At = time.Time{}
				return c
			}()),
		},
		"NewGeneration": {
			reason:  "The spec is another one than was released.",
			patches: []string{release + "{metadata: {generation: 3}}"},
			want:    waits("HelmRelease podinfo/podinfo"),
		},
		"NeverReleased": {
			reason:  "It was attempted, and nothing came of it so far.",
			patches: []string{release + "{status: {history: null}}"},
			want:    waits("HelmRelease podinfo/podinfo"),
		},
		"Tests": {
			reason:  "Helm's tests run on what is deployed.",
			patches: []string{running("test", `{type: Ready, status: "True", reason: UpgradeSucceeded, message: done, lastTransitionTime: "2024-05-07T04:55:00Z"}`)},
			want:    both,
		},
		"BeginsAnew": {
			reason: "Before an action nothing is written: what is deployed still runs.",
			patches: []string{statusAt("2024-05-07T05:04:55Z"), release + `{status: {conditions: [
				{type: Ready, status: "Unknown", reason: Progressing, message: reconciliation in progress, lastTransitionTime: "2024-05-07T05:04:55Z"},
				{type: Reconciling, status: "True", reason: Progressing, message: Fulfilling prerequisites, lastTransitionTime: "2024-05-07T05:04:55Z"}]}}`},
			want: both,
		},
		"WaitsForARetry": {
			reason: "An action that could not begin has written nothing; the message is that of Ready then too.",
			patches: []string{statusAt("2024-05-07T05:04:55Z"), release + `{status: {conditions: [
				{type: Ready, status: "Unknown", reason: Progressing, message: "Running 'upgrade' action", lastTransitionTime: "2024-05-07T05:04:55Z"},
				{type: Reconciling, status: "True", reason: ProgressingWithRetry, message: "Running 'upgrade' action", lastTransitionTime: "2024-05-07T05:04:55Z"}]}}`},
			want: both,
		},
		"RollsBack": {
			reason: "The upgrade has failed and the release before returns: no commit of the spec runs.",
			patches: []string{
				running("rollback", `{type: Ready, status: "False", reason: UpgradeFailed, message: timeout, lastTransitionTime: "2024-05-07T04:59:54Z"}`),
				release + `{status: {history: [{digest: "sha256:e5", chartName: podinfo, chartVersion: 6.6.1, configDigest: "sha256:e1", firstDeployed: "2024-05-07T04:54:21Z", lastDeployed: "2024-05-07T04:54:55Z", name: podinfo, namespace: podinfo, status: failed, version: 2}]}}`,
			},
		},
		"RolledBack": {
			reason:  "The release before runs again.",
			patches: []string{release + `{status: {conditions: [{type: Remediated, status: "True", reason: RollbackSucceeded, message: rolled back, lastTransitionTime: "2024-05-07T04:59:54Z"}]}}`},
		},
		"OtherCluster": {
			reason:  "It installs into another cluster.",
			patches: []string{release + "{spec: {kubeConfig: {secretRef: {name: remote}}}}"},
		},
		"Gone": {
			reason:  "The HelmRelease is gone.",
			patches: []string{release + "null"},
		},
		"AppliedByHand": {
			reason:  "Nobody says where the HelmRelease is from; the chart does.",
			patches: []string{release + "{metadata: {labels: null}}"},
			want:    claims(chart),
		},
		"KustomizationApplies": {
			reason:  "Whether the Kustomization has written the HelmRelease is not known yet.",
			patches: []string{attempting("Detecting drift", "Health check passed in 2s")},
			want:    evidence.Explanation{Claims: []evidence.Claim{chart}, Pending: []string{"Kustomization flux-system/apps"}},
		},
		"OtherChart": {
			reason:  "The artifact is a newer one than was released.",
			patches: []string{`OCIRepository podinfo/podinfo: {status: {artifact: {revision: "6.6.2@sha256:` + "00c9a8446c95009ef382f5eade883a67c257f77d50f84e78ecef2aac9428d1e5" + `"}}}`},
			want:    claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"ChartFromGit": {
			reason:  "Its version ends with the first digits of the commit.",
			patches: []string{fromGit("Revision", "6.6.1+d5f1c6ef1e5f")},
			want:    claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z"), charted("ssh://git@github.com/acme/charts.git", "d5f1c6ef1e5f", "d5f1c6ef1e5f", "2024-05-07T04:54:55Z")),
		},
		"ChartFromGitWithValuesFiles": {
			reason:  "A generation follows the commit.",
			patches: []string{fromGit("Revision", "6.6.1+d5f1c6ef1e5f.2")},
			want:    claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z"), charted("ssh://git@github.com/acme/charts.git", "d5f1c6ef1e5f", "d5f1c6ef1e5f", "2024-05-07T04:54:55Z")),
		},
		"ChartVersion": {
			reason:  "What follows the version is the author's; its HelmChart says what it was packed from.",
			patches: []string{fromGit("ChartVersion", "6.6.1"), release + "{status: {helmChart: podinfo/podinfo-podinfo}}"},
			want:    claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z"), packed),
		},
		"AnotherChartVersion": {
			reason:  "The HelmChart has moved on from what was released.",
			patches: []string{fromGit("ChartVersion", "6.6.0+d5f1c6ef1e5f"), release + "{status: {helmChart: podinfo/podinfo-podinfo}}"},
			want:    claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z")),
		},
		"ChartBesideItsRelease": {
			reason: "Both follow one branch; which of the two commits comes later only Git knows.",
			patches: []string{
				fromGit("ChartVersion", "6.6.1"), release + "{status: {helmChart: podinfo/podinfo-podinfo}}",
				`GitRepository podinfo/charts: {spec: {url: "https://github.com/acme/fleet"}}`,
				`HelmChart podinfo/podinfo-podinfo: {status: {observedSourceArtifactRevision: "v1.0.1@sha1:` + atMain + `"}}`,
			},
			want: claims(deployedHelm(newer, v101, "2025-08-15T11:12:00Z"),
				charted("https://github.com/acme/fleet", atMain, "v1.0.1@sha1:"+atMain, "2024-05-07T04:54:55Z")),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := worldOf(t, []string{"workloads.yaml", "kustomization.yaml", "helmrelease.yaml", "sources.yaml"}, tc.patches...)
			explain(t, w, "podinfo", "podinfo", tc.reason, tc.want)
		})
	}
}

func TestReleasesThatInstallEachOtherEnd(t *testing.T) {
	w := worldOf(t, []string{"workloads.yaml", "helmrelease.yaml", "sources.yaml"},
		release+`{metadata: {labels: {helm.toolkit.fluxcd.io/name: podinfo, helm.toolkit.fluxcd.io/namespace: podinfo}}}`)
	got, err := evidence.Explain(t.Context(), w, w.workload("podinfo", "podinfo"))
	if err != nil || len(got[0].Claims) == 0 || len(got[0].Claims) > 3 {
		t.Errorf("got %+v, %v", got, err)
	}
}
