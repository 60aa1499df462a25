package fault

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// nameOf returns names[i], or a placeholder for a value that no constant has.
func nameOf(names []string, i int) string {
	if i >= 0 && i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

// parseName returns the kind whose name is among names[first:]; the error names what is valid.
func parseName[K ~uint8](what, name string, names []string, first int) (K, error) {
	for i := first; i < len(names); i++ {
		if names[i] == name {
			return K(i), nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q (valid: %s)", what, name, strings.Join(names[first:], " "))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
