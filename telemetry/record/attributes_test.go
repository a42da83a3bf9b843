package record_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"

	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

func texts(kvs []attribute.KeyValue) map[string]string {
	all := map[string]string{}
	for _, kv := range kvs {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}

func TestAttributesSayWhatIsDeliveredAndWhereItComesFrom(t *testing.T) {
	origin := map[string]string{
		"deployment.environment.name": "production", "vcs.ref.head.revision": recordtest.SHA,
		"vcs.repository.url.full":  "https://git.example.com/acme/shop",
		"keptn.commit.author_time": "2026-03-01T11:36:40Z", "keptn.commit.evidence": "Content",
		"keptn.deployment.app.name": "checkout", "keptn.deployment.app.version": "4b825dc", "keptn.deployment.app.namespace": "shop",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{origin, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	described := recordtest.Delivered()
	described.Spec.Metadata = map[string]string{"commit-id": "1", "keptn.deployment.app.name": "forged", "": "x"}
	cases := map[string]struct {
		reason string
		of     record.Delivery
		want   map[string]string
	}{
		"App":      {"The commit goes with its delivery, the password does not.", record.OfApp(recordtest.Delivered()), origin},
		"Attempt":  {"Later attempts say which they are.", record.OfApp(recordtest.Retried()), with(map[string]string{"keptn.deployment.attempt": "1"})},
		"Metadata": {"Every entry is an attribute, but none takes the place of ours.", record.OfApp(described), with(map[string]string{"commit-id": "1"})},
		"Workload": {
			"The workload's metadata goes before the app's, and the rest is its app's.",
			record.OfWorkload(recordtest.Workload(), described), with(map[string]string{
				"keptn.deployment.workload.name": "checkout-web", "keptn.deployment.workload.version": "1.2",
				"keptn.deployment.workload.namespace": "shop", "team": "web", "commit-id": "1",
			}),
		},
		"Alone": {
			"Without its app there is what it was told of that.",
			record.OfWorkload(recordtest.Workload(), nil), map[string]string{
				"keptn.deployment.app.name": "checkout", "keptn.deployment.app.namespace": "shop",
				"keptn.deployment.workload.name": "checkout-web", "keptn.deployment.workload.version": "1.2",
				"keptn.deployment.workload.namespace": "shop", "team": "web", "tier": "1",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, texts(tc.of.Attributes())); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMetadataIsBoundedInNumberAndLength(t *testing.T) {
	kav := recordtest.Delivered()
	plain := len(record.OfApp(kav).Attributes())
	kav.Spec.Metadata = map[string]string{}
	for i := range 100 {
		kav.Spec.Metadata[fmt.Sprintf("key-%03d", i)] = strings.Repeat("ä", 1000)
	}
	all := record.OfApp(kav).Attributes()
	if len(all) != plain+64 {
		t.Errorf("%d entries of the metadata, want the first 64", len(all)-plain)
	}
	for _, kv := range all[plain:] {
		if v := kv.Value.AsString(); len(v) > 1024 || !utf8.ValidString(v) || kv.Key >= "key-064" {
			t.Errorf("%s has %d bytes", kv.Key, len(v))
		}
	}
}

func TestDerivingAttributesLeavesTheRecordAlone(t *testing.T) {
	kwv := recordtest.Workload()
	record.OfWorkload(kwv, recordtest.Delivered()).Attributes()
	if diff := cmp.Diff(recordtest.Workload(), kwv); diff != "" {
		t.Errorf("the record changed, -want +got:\n%s", diff)
	}
}
