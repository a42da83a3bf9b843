// Package grafana makes the boards in this folder, which Grafana imports and its sidecar
// finds: each is a few lines of a table here, so that what they ask for can be read, and
// be held against the metrics that there are.
//
// A board takes its Prometheus, and where it shows traces its Tempo and its Jaeger, from a
// variable, and knows none by name.
package grafana

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// schemaVersion is that of Grafana 12; a later Grafana migrates it by itself.
const schemaVersion = 42

// columns is how wide a board is.
const columns = 24

// Board is a board of Grafana.
type Board struct {
	// UID is part of its address, and with .json behind it the name of its file.
	UID, Title string
	// From is the begin of the time that it shows at first, as now-7d.
	From string
	// Variables that people choose, each of which filters those below it.
	Variables []Variable
	Panels    []Panel
	// Traces are those that Tempo, or Jaeger, is searched for; none where it is empty.
	Traces Attribute
}

// Variable is something that people choose, from the values that a label has.
type Variable struct {
	Name, Label string
	// Query is that of Prometheus' values, label_values(metric, label).
	Query string
	// All says whether all values can be chosen at once, and are at first.
	All bool
}

// Panel shows the answers to queries.
type Panel struct {
	Title string
	// Kind of panel, one of Grafana's; bars are a timeseries of bars.
	Kind string
	// Unit of Grafana; default short.
	Unit string
	// Width of 24, and Height.
	Width, Height int
	Queries       []Query
	// Steps colour a number from where it begins to be of a level.
	Steps []Step
	// Interval is the shortest between two points of a graph.
	Interval string
}

// Query is an expression of Prometheus.
type Query struct {
	Expr string
	// Legend names its series, with {{label}} filled in.
	Legend string
}

// Step is a number from which on a color counts; the first begins at the lowest.
type Step struct {
	From  float64
	Color string
}

// Attribute of a span, and the value that it has to have.
type Attribute struct{ Key, Value string }

// object is one of JSON.
type object = map[string]any

// File is the board as Grafana imports it.
func (b Board) File() ([]byte, error) {
	variables := []object{datasource("datasource", "prometheus")}
	for _, v := range b.Variables {
		variables = append(variables, v.object())
	}
	var panels []object
	row := 0
	for _, line := range lines(b.Panels) {
		x, height := 0, 0
		for _, p := range line {
			panels = append(panels, p.object(len(panels)+1, x, row))
			x, height = x+p.Width, max(height, p.Height)
		}
		row += height
	}
	if b.Traces.Key != "" {
		variables = append(variables, datasource("tempo", "tempo"), datasource("jaeger", "jaeger"))
		panels = append(panels, b.Traces.rows(len(panels)+1, row)...)
	}
	text, err := json.MarshalIndent(object{
		"uid": b.UID, "title": b.Title, "tags": []string{"keptn"}, "schemaVersion": schemaVersion,
		"time": object{"from": b.From, "to": "now"}, "refresh": "1m", "graphTooltip": 1, "editable": true,
		"templating": object{"list": variables}, "panels": panels,
		"links": []object{{"type": "dashboards", "tags": []string{"keptn"}, "asDropdown": true, "title": "Keptn"}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("board %s: %w", b.UID, err)
	}
	return append(text, '\n'), nil
}

// lines puts panels side by side as long as there is room.
func lines(panels []Panel) [][]Panel {
	var all [][]Panel
	room := 0
	for _, p := range panels {
		if p.Width > room {
			all, room = append(all, nil), columns
		}
		all[len(all)-1] = append(all[len(all)-1], p)
		room -= p.Width
	}
	return all
}

func datasource(name, kind string) object {
	return object{"type": "datasource", "name": name, "label": strings.ToUpper(kind[:1]) + kind[1:], "query": kind}
}

func source(kind, variable string) object {
	return object{"type": kind, "uid": "${" + variable + "}"}
}

func (v Variable) object() object {
	o := object{
		"type": "query", "name": v.Name, "label": v.Label, "datasource": source("prometheus", "datasource"),
		"query": v.Query, "definition": v.Query, "refresh": 2, "sort": 3,
	}
	if v.All {
		o["includeAll"], o["allValue"], o["current"] = true, ".*", object{"text": "All", "value": "$__all"}
	}
	return o
}

func (p Panel) object(id, x, y int) object {
	var targets []object
	instant := slices.Contains([]string{"stat", "bargauge"}, p.Kind)
	for i, q := range p.Queries {
		target := object{
			"refId": string(rune('A' + i)), "datasource": source("prometheus", "datasource"),
			"expr": q.Expr, "legendFormat": q.Legend,
		}
		if instant {
			target["instant"] = true
		}
		targets = append(targets, target)
	}
	unit := p.Unit
	if unit == "" {
		unit = "short"
	}
	defaults := object{"unit": unit, "noValue": "none"}
	if len(p.Steps) > 0 {
		defaults["color"], defaults["thresholds"] = object{"mode": "thresholds"}, thresholds(p.Steps)
	}
	o := object{
		"id": id, "title": p.Title, "type": p.Kind, "datasource": source("prometheus", "datasource"),
		"gridPos": object{"x": x, "y": y, "w": p.Width, "h": p.Height}, "targets": targets,
		"fieldConfig": object{"defaults": defaults},
	}
	if p.Interval != "" {
		o["interval"] = p.Interval
	}
	switch p.Kind {
	case "bars":
		o["type"] = "timeseries"
		defaults["custom"] = object{"drawStyle": "bars", "fillOpacity": 80, "stacking": object{"mode": "normal"}}
	case "state-timeline":
		defaults["mappings"] = []object{{"type": "value", "options": object{
			"0": object{"text": "ended", "color": "transparent"}, "1": object{"text": "under way", "color": "blue"},
		}}}
	case "stat", "bargauge":
		o["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}}
	}
	return o
}

func thresholds(steps []Step) object {
	all := []object{{"color": steps[0].Color, "value": nil}}
	for _, s := range steps[1:] {
		all = append(all, object{"color": s.Color, "value": s.From})
	}
	return object{"mode": "absolute", "steps": all}
}

// Service is the name by which traces are searched for in Jaeger.
const Service = "lifecycle-operator"

// rows are the tables of traces, one below the other and each folded, since most have one
// store of traces only.
func (a Attribute) rows(id, y int) []object {
	tempo := object{
		"queryType": "traceql", "tableType": "traces", "limit": 50,
		"query": fmt.Sprintf("{ span.%s = %q }", a.Key, a.Value),
	}
	jaeger := object{"queryType": "search", "service": Service, "limit": 50, "tags": fmt.Sprintf("%s=%q", a.Key, a.Value)}
	var rows []object
	for i, of := range []struct {
		kind   string
		target object
	}{{"tempo", tempo}, {"jaeger", jaeger}} {
		of.target["refId"], of.target["datasource"] = "A", source(of.kind, of.kind)
		title := "Traces of " + strings.ToUpper(of.kind[:1]) + of.kind[1:]
		rows = append(rows, object{
			"id": id + 2*i, "type": "row", "title": title, "collapsed": true,
			"gridPos": object{"x": 0, "y": y + i, "w": columns, "h": 1},
			"panels": []object{{
				"id": id + 2*i + 1, "type": "table", "title": title, "datasource": source(of.kind, of.kind),
				"gridPos": object{"x": 0, "y": y + i + 1, "w": columns, "h": 10}, "targets": []object{of.target},
			}},
		})
	}
	return rows
}
