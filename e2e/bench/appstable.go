package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// quotedDeliveries are Keptn's own lifecycle-operator's: pods running and app versions
// succeeded after, of how many; requests, CPU per app and peak memory.
var quotedDeliveries = [][]string{
	{"Keptn's lifecycle-operator, 1 (quoted)", "", "40.7 s", "45.0 s", "73", "", "160 ms", "51 MB", "", "", ""},
	{"Keptn's lifecycle-operator, 20 (quoted)", "", "53.6 s", "61.3 s", "67.2", "", "95.0 ms", "58 MB", "", "", ""},
	{"Keptn's lifecycle-operator, 100 (quoted)", "", "89.1 s", "95 of 100 after 462 s", "68.6", "", "115 ms", "75 MB", "", "", ""},
}

// deliveryTables are what it took to deliver apps, and what the controller asked the
// API server for.
func deliveryTables(all []delivery) []table {
	if len(all) == 0 {
		return nil
	}
	var sizes []string
	took := table{
		title: "Annotated apps, all applied at once",
		columns: []string{
			"apps", "`kubectl apply`", "all pods running", "all app versions Succeeded", "requests per app", "events per app", "CPU per app",
			"peak memory", "of it not the program's file", "gate p50", "gate p99",
		},
		note: "One annotated Deployment of one replica for each app, without checks, all in one file and in one namespace; API server, controller manager, " +
			"scheduler and the MutatingAdmissionPolicy are real, nodes and kubelets simulated (kwok). Without Keptn is in a namespace that does not ask for checks, " +
			"with no controller: what the cluster and kubectl need by themselves. Times are from the begin of `kubectl apply --server-side --validate=ignore` " +
			"(kubectl's validation and reads take longer than all the rest), when a watch tells of the last. Requests are the controller's, by the API server's audit log, without watches and leases, and events apart; CPU is its user " +
			"and system time. A gate's time is from the status that releases the workload, or from the pod's creation if that came later, until the request that " +
			"takes the gate away, both as the API server received them. Each number of apps has a namespace and a controller of its own. Keptn's own " +
			"lifecycle-operator is quoted from an earlier measurement of commit 40e195d on such a control plane with two cores.",
	}
	delivered := slices.DeleteFunc(slices.Clone(all), func(d delivery) bool { return d.bare })
	for _, d := range all {
		took.rows = append(took.rows, d.row())
	}
	for _, d := range delivered {
		sizes = append(sizes, strconv.Itoa(d.size))
	}
	took.rows = append(took.rows, quotedDeliveries...)
	asked := requestsTable(delivered)
	took.flags = "-n " + strings.Join(sizes, ",")
	asked.flags = took.flags
	return []table{took, asked}
}

// row is what it took to deliver the apps.
func (d delivery) row() []string {
	if d.bare {
		return []string{strconv.Itoa(d.size) + " without Keptn", seconds(d.applied), d.lastOf(d.reached.running), "", "", "", "", "", "", "", ""}
	}
	perApp := func(n float64) string { return fmt.Sprintf("%.1f", n/float64(d.size)) }
	p50, p99 := "", ""
	if latencies := d.audit.latencies(); len(latencies) > 0 {
		p50, p99 = ms(quantile(latencies, 0.5)), ms(quantile(latencies, 0.99))
		if len(latencies) < d.size {
			p99 += fmt.Sprintf(" (of %d)", len(latencies))
		}
	}
	return []string{
		strconv.Itoa(d.size), seconds(d.applied), d.lastOf(d.reached.running), d.lastOf(d.reached.succeeded),
		perApp(float64(d.audit.total())), perApp(float64(d.audit.events)), ms(milliseconds(d.used.cpu) / float64(d.size)), size(d.used.peak), size(d.used.own), p50, p99,
	}
}

// lastOf is when the last of the apps got there, and how many did if not all.
func (d delivery) lastOf(seen map[string]time.Time) string {
	if len(seen) == 0 {
		return fmt.Sprintf("0 of %d", d.size)
	}
	last := seconds(slices.MaxFunc(slices.Collect(maps.Values(seen)), time.Time.Compare).Sub(d.began))
	if len(seen) < d.size {
		return fmt.Sprintf("%d of %d after %s", len(seen), d.size, last)
	}
	return last
}

// requestsTable is what the controller asked the API server for, most first.
func requestsTable(all []delivery) table {
	t := table{
		title:   "What the controller asks the API server for, per app",
		columns: []string{"request"},
		note:    "A number behind a request is the error that it was answered with: 409 is a conflict.",
	}
	sum := map[string]float64{}
	for _, d := range all {
		t.columns = append(t.columns, fmt.Sprintf("%d apps", d.size))
		for what, n := range d.audit.requests {
			sum[what] += float64(n) / float64(d.size)
		}
	}
	names := slices.SortedFunc(maps.Keys(sum), func(x, y string) int {
		return cmp.Or(cmp.Compare(sum[y], sum[x]), strings.Compare(x, y))
	})
	for _, name := range names {
		row := []string{name}
		for _, d := range all {
			row = append(row, fmt.Sprintf("%.2f", float64(d.audit.requests[name])/float64(d.size)))
		}
		t.rows = append(t.rows, row)
	}
	return t
}
