package fault

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// StageCode is one row of a stage table.
type StageCode struct {
	Stage  smtp.Stage
	Code   smtp.Code
	Source string // rfc table: where the RFCs allow it; source table: the reference's text, verbatim
}

//go:embed data/source.tsv
var sourceData string

//go:embed data/rfc.tsv
var rfcData string

var (
	sourceTable = mustStageTable(sourceData)
	rfcTable    = mustStageTable(rfcData)
	rfcAllowed  = allowedCodes(rfcTable)
)

// Source returns the stage table "source": the 17 stages and 111 (stage, code) pairs of the reference, in its order. The slice
// is the caller's.
func Source() []StageCode { return slices.Clone(sourceTable) }

// RFC returns the stage table "rfc": for each of the 23 stages the codes that the RFCs allow there, a superset of Source. The
// slice is the caller's.
func RFC() []StageCode { return slices.Clone(rfcTable) }

// Allowed reports whether the stage table "rfc" has the code at the stage.
func Allowed(s smtp.Stage, c smtp.Code) bool {
	return int(s) < len(rfcAllowed) && slices.Contains(rfcAllowed[s], c)
}

func allowedCodes(table []StageCode) (allowed [smtp.NumStages][]smtp.Code) {
	for _, row := range table {
		allowed[row.Stage] = append(allowed[row.Stage], row.Code)
	}
	return allowed
}

// mustStageTable parses an embedded table; a broken one is a build that no test has seen, and panics.
func mustStageTable(data string) []StageCode {
	var table []StageCode
	for _, row := range tsvRows(data) {
		if len(row) != 3 {
			panic(fmt.Sprintf("stage table: row %q has %d fields, want 3", row, len(row)))
		}
		s, err := smtp.ParseStage(row[0])
		if err != nil {
			panic("stage table: " + err.Error())
		}
		table = append(table, StageCode{Stage: s, Code: mustCode(row[1]), Source: row[2]})
	}
	return table
}

func mustCode(text string) smtp.Code {
	c, err := smtp.ParseCode(text)
	if err != nil {
		panic("embedded table: " + err.Error())
	}
	return c
}

// tsvRows splits tab-separated values into rows of fields, without comments and empty lines.
func tsvRows(data string) [][]string {
	var rows [][]string
	for line := range strings.Lines(data) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	return rows
}
