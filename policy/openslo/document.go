package openslo

import "slices"

// APIVersion is that of the documents that are read.
const APIVersion = "openslo/v1"

// ProviderAnnotation is the annotation of a DataSource that names its
// KeptnMetricsProvider. Default: the DataSource's own name.
const ProviderAnnotation = "gitops.keptn.sh/provider"

// The kinds of OpenSLO v1.
const (
	kindDataSource  = "DataSource"
	kindService     = "Service"
	kindSLI         = "SLI"
	kindSLO         = "SLO"
	kindAlertPolicy = "AlertPolicy"
	kindCondition   = "AlertCondition"
	kindTarget      = "AlertNotificationTarget"
)

// A dataSource says which KeptnMetricsProvider is asked.
type dataSource struct {
	name     field[string]
	provider string
}

// An sli is a document or an inline indicator.
type sli struct {
	name field[string]
	spec sliSpec
}

type sliSpec struct {
	mapping
	threshold source
	ratio     ratioMetric
}

type ratioMetric struct {
	mapping
	counter               field[bool]
	good, bad, total, raw source
	rawType               field[string]
}

// A source is a metricSource: a query, and who is asked.
type source struct {
	at        Place
	given     bool
	empty     bool // without a metricSource
	ref, kind field[string]
	spec      mapping
	query     field[string]
}

type sloDocument struct {
	name      field[string]
	spec      mapping
	indicator indicatorUse
	windows   field[[]any]
	method    field[string]
	list      field[[]any]
	objective []objectiveText
}

// An indicatorUse is an indicator, or a reference to one.
type indicatorUse struct {
	inline    sli
	given     bool // inline
	ref       field[string]
	inlinedAt Place
}

type objectiveText struct {
	at                    Place
	op                    field[string]
	value                 field[float64]
	target, targetPercent field[float64]
	sliceTarget           field[float64]
	sliceWindow           any
	sliceWindowAt         Place
	weight                field[float64]
	indicator             indicatorUse
}

// documents are those of a set, by kind, in their order.
type documents struct {
	problems
	sources []dataSource
	slis    []sli
	slos    []sloDocument
}

// add reads one document.
func (d *documents) add(index int, fields map[string]any) {
	root := mappingAt(&d.problems, Place{Document: index}, fields, "apiVersion", "kind", "metadata", "spec")
	version, kind := root.text("apiVersion"), root.text("kind")
	if version.value != APIVersion {
		d.problems.add(version.at, "apiVersion %q is not supported: write %s", version.value, APIVersion)
		return
	}
	switch kind.value {
	case kindDataSource:
		d.sources = append(d.sources, d.dataSource(root))
	case kindService:
		d.metadata(root)
		root.mapping("spec", "description").text("description")
	case kindSLI:
		name, _ := d.metadata(root)
		d.slis = append(d.slis, sli{name, d.sliSpec(root)})
	case kindSLO:
		d.slos = append(d.slos, d.slo(root))
	case kindAlertPolicy, kindCondition, kindTarget:
		d.problems.warn(kind.at, "%s is not supported, and this document is ignored: alert with what watches your metrics", kind.value)
	default:
		known := []string{kindDataSource, kindService, kindSLI, kindSLO}
		d.problems.add(kind.at, "kind %q is none of OpenSLO v1 that is read%s: write DataSource, Service, SLI or SLO", kind.value, didYouMean(kind.value, known))
	}
}

// metadata reads the name, and the annotations.
func (d *documents) metadata(of mapping) (name field[string], annotations mapping) {
	meta := of.mapping("metadata", "name", "displayName", "labels", "annotations")
	name = meta.text("name")
	if name.value == "" {
		d.problems.add(name.at, "metadata.name is required")
	}
	meta.text("displayName")
	d.labels(meta.mapping("labels"))
	annotations = meta.mapping("annotations")
	for key := range annotations.entries {
		annotations.text(key)
	}
	return name, annotations
}

// labels checks that labels are text, or lists of it.
func (d *documents) labels(labels mapping) {
	for key, value := range labels.entries {
		list, isList := value.([]any)
		if !isList {
			labels.text(key)
		}
		if slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok }) {
			d.problems.add(labels.at.child(key), "has to be text, or a list of texts: put them in quotes")
		}
	}
}

func (d *documents) dataSource(root mapping) dataSource {
	name, annotations := d.metadata(root)
	source := dataSource{name: name, provider: name.value}
	if given := annotations.text(ProviderAnnotation); given.value != "" {
		source.provider = given.value
	}
	spec := root.mapping("spec", "description", "type", "connectionDetails")
	spec.text("description")
	spec.text("type")
	if spec.entries["connectionDetails"] != nil {
		d.problems.warn(spec.at.child("connectionDetails").key(), "connectionDetails are not read: the connection is that of the KeptnMetricsProvider %q; keep secrets out of Git", source.provider)
	}
	return source
}

func (d *documents) sliSpec(of mapping) sliSpec {
	spec := of.mapping("spec", "description", "thresholdMetric", "ratioMetric")
	spec.text("description")
	ratio := spec.mapping("ratioMetric", "counter", "good", "bad", "total", "rawType", "raw")
	return sliSpec{
		mapping:   spec,
		threshold: d.source(spec, "thresholdMetric"),
		ratio: ratioMetric{
			mapping: ratio, counter: ratio.boolean("counter"), rawType: ratio.text("rawType"),
			good: d.source(ratio, "good"), bad: d.source(ratio, "bad"),
			total: d.source(ratio, "total"), raw: d.source(ratio, "raw"),
		},
	}
}

// source reads the metricSource of a metric.
func (d *documents) source(of mapping, name string) source {
	metric := of.mapping(name, "metricSource")
	inner := metric.mapping("metricSource", "metricSourceRef", "type", "spec")
	spec := inner.mapping("spec")
	return source{
		at: metric.at, given: metric.given, empty: metric.given && !inner.given,
		ref: inner.text("metricSourceRef"), kind: inner.text("type"), spec: spec, query: spec.text("query"),
	}
}

func (d *documents) slo(root mapping) sloDocument {
	name, _ := d.metadata(root)
	spec := root.mapping("spec", "description", "service", "indicator", "indicatorRef",
		"timeWindow", "budgetingMethod", "objectives", "alertPolicies")
	spec.text("description")
	if service := spec.text("service"); service.value == "" {
		d.problems.warn(service.at, "spec.service is required by OpenSLO: name the service that the SLO is of")
	}
	if policies := spec.list("alertPolicies"); len(policies.value) > 0 {
		d.problems.warn(policies.at.key(), "alertPolicies are not supported and ignored: alert with what watches your metrics")
	}
	s := sloDocument{
		name: name, spec: spec, indicator: d.indicator(spec), windows: spec.list("timeWindow"),
		method: spec.text("budgetingMethod"), list: spec.list("objectives"),
	}
	for i, value := range s.list.value {
		s.objective = append(s.objective, d.objective(s.list.at.item(i), value))
	}
	return s
}

// indicator reads indicator and indicatorRef.
func (d *documents) indicator(of mapping) indicatorUse {
	use := indicatorUse{ref: of.text("indicatorRef"), inlinedAt: of.at.child("indicator")}
	inline := of.mapping("indicator", "metadata", "spec")
	if use.given = inline.given; !use.given {
		return use
	}
	if inline.entries["metadata"] != nil {
		use.inline.name, _ = d.metadata(inline)
	}
	use.inline.spec = d.sliSpec(inline)
	return use
}

func (d *documents) objective(at Place, value any) objectiveText {
	m := mappingAt(&d.problems, at, value, "displayName", "op", "value", "target", "targetPercent",
		"timeSliceTarget", "timeSliceWindow", "indicator", "indicatorRef", "compositeWeight")
	m.text("displayName")
	return objectiveText{
		at: at, op: m.text("op"), value: m.number("value"),
		target: m.number("target"), targetPercent: m.number("targetPercent"),
		sliceTarget: m.number("timeSliceTarget"),
		sliceWindow: m.entries["timeSliceWindow"], sliceWindowAt: at.child("timeSliceWindow"),
		weight: m.number("compositeWeight"), indicator: d.indicator(m),
	}
}
