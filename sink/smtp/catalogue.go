package smtp

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed data/*.tsv
var dataFiles embed.FS

// CodeInfo is a reply code of the catalogue.
type CodeInfo struct {
	Code    Code
	Text    string   // without full stop; empty for 334, whose text is a challenge
	Sources []string // reference files and RFCs, the one that the text is from first; "ours" for the text of 431
	Note    string   // why that wording was chosen, where sources differ; may be empty
}

// EnhancedInfo is an enhanced status code of the catalogue, whose class is left open (RFC 3463 section 2).
type EnhancedInfo struct {
	Subject, Detail uint16
	Text            string
	Source          string // reference file or RFC
	Replies         []Code // reply codes that the IANA registry of RFC 5248 associates; nil when it gives none
	AnyReply        bool   // whether the registry says "any"
}

// defaultKey is a stage and a reply code; anyStage stands for all stages.
type defaultKey struct {
	stage Stage
	code  Code
}

const anyStage = Stage(NumStages)

type catalogueData struct {
	codes    []CodeInfo // ascending
	byCode   map[Code]*CodeInfo
	enhanced []EnhancedInfo // ascending
	texts    map[[2]uint16]string
	defaults map[defaultKey]Enhanced
	atStage  map[defaultKey]string
}

// catalogue parses the embedded tables once. They are part of the program, so that a mistake in them is a panic, which the
// tests of this package would see.
var catalogue = sync.OnceValue(func() *catalogueData {
	c, err := parseCatalogue(dataFiles)
	if err != nil {
		panic("smtp: embedded catalogue: " + err.Error())
	}
	return c
})

// Text returns the catalogue's text for a reply code; ok is false when the catalogue does not have the code.
func Text(c Code) (text string, ok bool) {
	info, ok := catalogue().byCode[c]
	if !ok {
		return "", false
	}
	return info.Text, true
}

// TextAt returns the catalogue's text for a reply code at a stage: the RFCs of extensions give some codes a meaning of their own
// there, such as 454 at auth. Everywhere else it is Text.
func TextAt(s Stage, c Code) (text string, ok bool) {
	if text, ok = catalogue().atStage[defaultKey{s, c}]; ok {
		return text, true
	}
	return Text(c)
}

// Codes returns the reply codes of the catalogue in ascending order: the 36 of the reference files and the supplement from the
// RFCs. The slice is the caller's, what its elements point to is not to be changed.
func Codes() []CodeInfo { return slices.Clone(catalogue().codes) }

// EnhancedCodes returns the enhanced status codes of the catalogue in ascending order: the 38 of the reference file and the
// supplement from the RFCs. The slice is the caller's, what its elements point to is not to be changed.
func EnhancedCodes() []EnhancedInfo { return slices.Clone(catalogue().enhanced) }

// DefaultEnhanced returns the enhanced status code that a reply with this code at this stage gets when nobody wrote one. Its
// class is the first digit of the code; a code that the catalogue has no default for gets x.0.0, "other undefined status".
// It is absent for 3xx, which RFC 2034 section 4 excludes, and at connect, helo and ehlo.
func DefaultEnhanced(s Stage, c Code) Enhanced {
	class := c.Class()
	if class != 2 && class != 4 && class != 5 || s == StageConnect || s == StagePregreet || s == StageHelo || s == StageEhlo {
		return Enhanced{}
	}
	defaults := catalogue().defaults
	if e, ok := defaults[defaultKey{s, c}]; ok {
		return e
	}
	if e, ok := defaults[defaultKey{anyStage, c}]; ok {
		return e
	}
	return Enhanced{Class: class}
}

// NewReply returns a reply for a stage. Where text is absent it is TextAt, or for codes that the catalogue does not
// have, what RFC 5321 section 4.2.1 calls replies of that first digit. Where e is absent it is DefaultEnhanced(s, c). Every
// element of text is one line. The error is that of Reply.Validate.
func NewReply(s Stage, c Code, e Enhanced, text ...string) (*Reply, error) {
	if e.IsZero() {
		e = DefaultEnhanced(s, c)
	}
	r := &Reply{Code: c, Enhanced: e, Lines: slices.Clone(text)}
	if len(text) == 0 {
		line, ok := TextAt(s, c)
		if !ok {
			line = classText(c)
		}
		r.Lines = []string{line}
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}

func classText(c Code) string {
	switch c.Class() {
	case 2:
		return "Positive completion"
	case 3:
		return "Positive intermediate"
	case 4:
		return "Transient negative completion"
	default:
		return "Permanent negative completion"
	}
}

func parseCatalogue(files embed.FS) (*catalogueData, error) {
	c := &catalogueData{
		byCode:   make(map[Code]*CodeInfo),
		texts:    make(map[[2]uint16]string),
		defaults: make(map[defaultKey]Enhanced),
		atStage:  make(map[defaultKey]string),
	}
	for _, table := range []struct {
		name    string
		columns int
		row     func(fields []string) error
	}{
		{"reply-codes.tsv", 4, c.addCode},
		{"enhanced-codes.tsv", 5, c.addEnhanced},
		{"default-enhanced.tsv", 5, c.addDefault},
		{"stage-texts.tsv", 4, c.addStageText},
	} {
		if err := readTSV(files, table.name, table.columns, table.row); err != nil {
			return nil, err
		}
	}
	for i := range c.codes {
		c.byCode[c.codes[i].Code] = &c.codes[i]
	}
	return c, nil
}

// readTSV calls row for each line of data/name that is not empty and does not start with "#".
func readTSV(files embed.FS, name string, columns int, row func(fields []string) error) error {
	content, err := files.ReadFile("data/" + name)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != columns {
			return fmt.Errorf("%s:%d: %d columns (want %d)", name, n, len(fields), columns)
		}
		if err := row(fields); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return nil
}

func (c *catalogueData) addCode(fields []string) error {
	code, err := ParseCode(fields[0])
	if err != nil {
		return err
	}
	if n := len(c.codes); n > 0 && c.codes[n-1].Code >= code {
		return fmt.Errorf("code %d is out of order", code)
	}
	c.codes = append(c.codes, CodeInfo{Code: code, Text: fields[1], Sources: strings.Split(fields[2], ", "), Note: fields[3]})
	return nil
}

func (c *catalogueData) addStageText(fields []string) error {
	stage, err := ParseStage(fields[0])
	if err != nil {
		return err
	}
	code, err := ParseCode(fields[1])
	if err != nil {
		return err
	}
	c.atStage[defaultKey{stage, code}] = fields[2]
	return nil
}

func (c *catalogueData) addEnhanced(fields []string) error {
	e, err := ParseEnhanced("2." + fields[0] + "." + fields[1])
	if err != nil {
		return err
	}
	key := [2]uint16{e.Subject, e.Detail}
	if n := len(c.enhanced); n > 0 && slices.Compare([]uint16{c.enhanced[n-1].Subject, c.enhanced[n-1].Detail}, key[:]) >= 0 {
		return fmt.Errorf("enhanced status code x.%d.%d is out of order", e.Subject, e.Detail)
	}
	info := EnhancedInfo{Subject: e.Subject, Detail: e.Detail, Text: fields[2], Source: fields[3], AnyReply: fields[4] == "any"}
	if fields[4] != "-" && !info.AnyReply {
		for word := range strings.FieldsSeq(fields[4]) {
			code, err := strconv.ParseUint(word, 10, 16)
			if err != nil {
				return err
			}
			info.Replies = append(info.Replies, Code(code))
		}
	}
	c.enhanced = append(c.enhanced, info)
	c.texts[key] = info.Text
	return nil
}

func (c *catalogueData) addDefault(fields []string) error {
	stage := anyStage
	if fields[0] != "*" {
		var err error
		if stage, err = ParseStage(fields[0]); err != nil {
			return err
		}
	}
	code, err := ParseCode(fields[1])
	if err != nil {
		return err
	}
	e, err := ParseEnhanced(fields[2])
	if err != nil {
		return err
	}
	if e.Class != code.Class() {
		return fmt.Errorf("enhanced status code %v contradicts reply code %d", e, code)
	}
	key := defaultKey{stage, code}
	if _, ok := c.defaults[key]; ok {
		return fmt.Errorf("%s %d stands twice", fields[0], code)
	}
	c.defaults[key] = e
	return nil
}
