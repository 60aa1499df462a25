package event

import (
	"fmt"
	"strings"
)

// Durability says what a crash may cost.
type Durability uint8

// The durabilities.
const (
	// None buffers rows: a crash of the process may lose what was not written yet.
	None Durability = iota
	// Batch survives the death of the process: a Flush puts the rows into the page cache before the replies go out. A crash of the
	// machine may lose what was not yet synced.
	Batch
	// Ack survives a crash of the machine: no positive final reply goes out before its row is on disk.
	Ack

	// NumDurabilities is how many durabilities there are.
	NumDurabilities = int(Ack) + 1
)

var durabilityNames = [NumDurabilities]string{"none", "batch", "ack"}

// String returns "none", "batch" or "ack".
func (d Durability) String() string {
	if int(d) < NumDurabilities {
		return durabilityNames[d]
	}
	return fmt.Sprintf("durability(%d)", uint8(d))
}

// ParseDurability returns the durability of that name. The error names the valid ones.
func ParseDurability(name string) (Durability, error) {
	for i, n := range durabilityNames {
		if n == name {
			return Durability(i), nil
		}
	}
	return 0, fmt.Errorf("unknown durability %q (valid: %s)", name, strings.Join(durabilityNames[:], " "))
}
