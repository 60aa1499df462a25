package fault

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Mode is what the sink wants to say: a table of codes, its mode table.
type Mode uint8

// The modes.
const (
	ModeNone        Mode = iota // no mode: the plain reply of each stage
	ModeAccept                  // 250 to 253, or the stage's plain positive code where none of them fits
	ModeBounce                  // the 16 codes of refusal and deferral
	ModeOffline                 // 521
	ModeUnavailable             // 421
	ModeRandom                  // accept or bounce
)

var modeNames = [...]string{"", "accept", "bounce", "offline", "unavailable", "random"}

// String returns the mode's name; the empty string for ModeNone.
func (m Mode) String() string { return nameOf(modeNames[:], int(m)) }

// ParseMode parses a mode's name; the error names the valid ones.
func ParseMode(name string) (Mode, error) {
	return parseName[Mode]("mode", name, modeNames[:], 1)
}

//go:embed data/modes.tsv
var modeData string

var modeTables = mustModeTables(modeData)

func mustModeTables(data string) (tables [len(modeNames)][]smtp.Code) {
	for _, row := range tsvRows(data) {
		m, err := ParseMode(row[0])
		if err != nil || len(row) != 2 {
			panic(fmt.Sprintf("mode table: broken row %q", row))
		}
		tables[m] = append(tables[m], mustCode(row[1]))
	}
	return tables
}

// ModeCodes returns the mode's table as its source has it, before any filter; none for ModeRandom, which has no table of its own.
// The slice is the caller's.
func ModeCodes(m Mode) []smtp.Code {
	if int(m) >= len(modeTables) {
		return nil
	}
	return slices.Clone(modeTables[m])
}

// WeightedCode is a code with its weight among others; weights are relative to their sum.
type WeightedCode struct {
	Code   smtp.Code
	Weight float64
}

// ModeSpec asks for a mode with weights.
type ModeSpec struct {
	Mode Mode
	// Weights per code; a code that it doesn't name weighs 1. For ModeRandom they count within accept and within bounce.
	Weights map[smtp.Code]float64
	// RandomAccept is ModeRandom's probability to accept, above 0 and below 1; 0 means even odds.
	RandomAccept float64
	// Loose keeps the table whole at every stage ("strict: false"), not only at message.
	Loose bool
}

// Table returns the weighted codes that the mode draws from at a stage: its whole table at message, elsewhere what the stage
// table "rfc" allows of it. At a stage where accept keeps none of its codes it means the plain positive code, such as 220 or 354.
// The error for an empty result names mode, stage and the modes that are valid there. For ModeRandom the weights are the
// probabilities that follow from drawing accept or bounce first.
func (m ModeSpec) Table(s smtp.Stage) ([]WeightedCode, error) {
	if m.Mode == ModeNone || int(m.Mode) >= len(modeNames) {
		return nil, fmt.Errorf("no mode (valid: %s)", strings.Join(modeNames[1:], " "))
	}
	if err := m.checkWeights(s); err != nil {
		return nil, err
	}
	if m.Mode != ModeRandom {
		codes := m.codes(m.Mode, s)
		if len(codes) == 0 {
			return nil, m.emptyError(s)
		}
		return m.weighted(codes), nil
	}
	accept := m.RandomAccept
	if accept == 0 {
		accept = 0.5
	}
	if !(accept > 0 && accept < 1) {
		return nil, fmt.Errorf("invalid odds %v to accept in mode random (want above 0, below 1)", m.RandomAccept)
	}
	var table []WeightedCode
	for _, part := range [...]struct {
		mode Mode
		odds float64
	}{{ModeAccept, accept}, {ModeBounce, 1 - accept}} {
		codes := m.weighted(m.codes(part.mode, s))
		weights := make([]float64, len(codes))
		for i, c := range codes {
			weights[i] = c.Weight
		}
		probabilities, err := normalise(weights)
		if len(codes) == 0 {
			return nil, m.emptyError(s)
		}
		if err != nil {
			return nil, fmt.Errorf("mode random at stage %v, its %v half: %w", s, part.mode, err)
		}
		for i, p := range probabilities {
			table = append(table, WeightedCode{Code: codes[i].Code, Weight: p * part.odds})
		}
	}
	return table, nil
}

// codes returns what is left of a mode's table at the stage.
func (m ModeSpec) codes(mode Mode, s smtp.Stage) []smtp.Code {
	if s == smtp.StageMessage || m.Loose {
		return modeTables[mode]
	}
	var kept []smtp.Code
	for _, c := range modeTables[mode] {
		if Allowed(s, c) {
			kept = append(kept, c)
		}
	}
	if plain := PlainCode(s); mode == ModeAccept && len(kept) == 0 && plain.Positive() {
		kept = []smtp.Code{plain}
	}
	return kept
}

func (m ModeSpec) weighted(codes []smtp.Code) []WeightedCode {
	table := make([]WeightedCode, len(codes))
	for i, c := range codes {
		weight, given := m.Weights[c]
		if !given {
			weight = 1
		}
		table[i] = WeightedCode{Code: c, Weight: weight}
	}
	return table
}

// checkWeights refuses a weight that is invalid or names a code that the mode never gives at the stage.
func (m ModeSpec) checkWeights(s smtp.Stage) error {
	valid := m.codes(m.Mode, s)
	if m.Mode == ModeRandom {
		valid = slices.Concat(m.codes(ModeAccept, s), m.codes(ModeBounce, s))
	}
	for _, c := range slices.Sorted(maps.Keys(m.Weights)) {
		if err := checkWeight(m.Weights[c]); err != nil {
			return fmt.Errorf("code %d: %w", c, err)
		}
		if !slices.Contains(valid, c) {
			return fmt.Errorf("mode %v has no code %d at stage %v (valid: %s)", m.Mode, c, s, codeList(valid))
		}
	}
	return nil
}

func (m ModeSpec) emptyError(s smtp.Stage) error {
	var valid []string
	for mode := ModeAccept; mode < ModeRandom; mode++ {
		if len(m.codes(mode, s)) > 0 {
			valid = append(valid, mode.String())
		}
	}
	if len(m.codes(ModeAccept, s)) > 0 && len(m.codes(ModeBounce, s)) > 0 {
		valid = append(valid, ModeRandom.String())
	}
	return fmt.Errorf("mode %v has no code that stage %v allows (valid there: %s; strict: false keeps the whole table)",
		m.Mode, s, strings.Join(valid, " "))
}

func codeList(codes []smtp.Code) string {
	names := make([]string, len(codes))
	for i, c := range codes {
		names[i] = fmt.Sprint(uint16(c))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}
