package decode

// Does is what Solopod does with a field that Kubernetes knows.
type Does string

// What it may do.
const (
	Implemented   Does = "implemented"
	WithoutEffect Does = "without effect"
	Refused       Does = "refused"
)

// DoesWith says what is done with a field by the name of the type of the Kubernetes API that declares it, as PodSpec and volumes. reason
// says why it is refused or without effect; it is empty where it is not worth a word.
func DoesWith(owner, field string) (does Does, reason string) {
	s := supportOf(owner, field)
	switch s.kind {
	case implemented:
		if insideIgnored(owner) {
			return WithoutEffect, "it belongs to what has no effect"
		}
		return Implemented, ""
	case withoutEffect:
		return WithoutEffect, s.reason
	}
	return Refused, s.reason
}
