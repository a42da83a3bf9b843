package optional

// What tests look at.
var DefinitionOf = definitionOf

// Definition as far as it is read.
type DefinitionRead = definition

// Serves is what tests ask of it.
func (d *definition) Serves(version string) bool { return d.serves(version) }
