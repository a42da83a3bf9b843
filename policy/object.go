package policy

import (
	"fmt"
	"math"
	"reflect"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// An objectType is a CEL type with fields. All of them work alike: what differs
// is the table of fields.
type objectType struct {
	celType *types.Type
	fields  []objectField
	show    func(of any) string // one object in one line
}

// An objectField is a field of an object. get is the value of the field of the Go
// value behind the object, or an undecidedError that says why it has none.
type objectField struct {
	name    string
	celType *cel.Type
	get     func(of any) (any, error)
}

// field is an objectField of objects that are a *T.
func field[T any](name string, t *cel.Type, get func(*T) (any, error)) objectField {
	return objectField{name, t, func(of any) (any, error) { return get(of.(*T)) }}
}

// known is a field that always has a value.
func known[T, V any](name string, t *cel.Type, get func(*T) V) objectField {
	return field(name, t, func(of *T) (any, error) { return get(of), nil })
}

// finite is a field that is a number. NaN and infinities are none.
func finite[T any](name, what string, get func(*T) float64) objectField {
	return field(name, cel.DoubleType, func(of *T) (any, error) {
		v := get(of)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &undecidedError{what: what + " is " + formatNumber(v)}
		}
		return types.Double(v), nil
	})
}

// objectTypes are all object types by the name of the CEL type.
func objectTypes() map[string]*objectType {
	all := map[string]*objectType{}
	for _, t := range []*objectType{seriesObjects, sloObjects, commitObjects, rolloutObjects} {
		all[t.celType.TypeName()] = t
	}
	return all
}

// names are the names of the fields.
func (t *objectType) names() []string {
	names := make([]string, len(t.fields))
	for i, f := range t.fields {
		names[i] = f.name
	}
	return names
}

// field is the field of that name, or nil.
func (t *objectType) field(name string) *objectField {
	for i := range t.fields {
		if t.fields[i].name == name {
			return &t.fields[i]
		}
	}
	return nil
}

// An object is a Go value as a CEL value.
type object struct {
	kind *objectType
	of   any
}

var _ ref.Val = (*object)(nil)

// objects is a CEL list of the Go values, which it shares.
func objects[T any](adapter types.Adapter, kind *objectType, values []T) ref.Val {
	all := make([]object, len(values))
	elements := make([]ref.Val, len(values))
	for i := range values {
		all[i] = object{kind, &values[i]}
		elements[i] = &all[i]
	}
	return types.NewRefValList(adapter, elements)
}

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s cannot be converted to %s", o.kind.celType, t)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.kind.celType
	}
	return types.NewErr("a %s cannot be converted to %s", o.kind.celType, t.TypeName())
}

// Equal implements ref.Val: two objects are equal when they are the same one.
func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	return types.Bool(ok && p.of == o.of)
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return o.kind.celType }

// Value implements ref.Val.
func (o *object) Value() any { return o }

// String is the object in one line.
func (o *object) String() string { return o.kind.show(o.of) }

// typeProvider adds the object types to those of CEL.
type typeProvider struct {
	types.Provider
	objects map[string]*objectType
}

// FindStructType implements types.Provider.
func (p typeProvider) FindStructType(name string) (*types.Type, bool) {
	if t, ok := p.objects[name]; ok {
		return types.NewTypeTypeWithParam(t.celType), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p typeProvider) FindStructFieldNames(name string) ([]string, bool) {
	if t, ok := p.objects[name]; ok {
		return t.names(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p typeProvider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	t, ok := p.objects[name]
	if !ok {
		return p.Provider.FindStructFieldType(name, fieldName)
	}
	f := t.field(fieldName)
	if f == nil {
		return nil, false
	}
	return &types.FieldType{
		Type: f.celType,
		IsSet: func(target any) bool {
			_, err := f.get(target.(*object).of)
			return err == nil
		},
		GetFrom: func(target any) (any, error) { return f.get(target.(*object).of) },
	}, true
}
