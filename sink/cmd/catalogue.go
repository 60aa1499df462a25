package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// catalogue is what the sink can say, as JSON.
type catalogue struct {
	Codes    []codeRow     `json:"codes"`
	Enhanced []enhancedRow `json:"enhanced"`
	Stages   []stageRow    `json:"stages"`
	Modes    []modeRow     `json:"modes"`
}

type codeRow struct {
	Code    smtp.Code `json:"code"`
	Text    string    `json:"text"`
	Sources []string  `json:"sources"`
	Note    string    `json:"note,omitempty"`
}

type enhancedRow struct {
	Code string `json:"code"` // the class is left open: x.1.1
	Text string `json:"text"`
}

type stageRow struct {
	Stage  smtp.Stage  `json:"stage"`
	Plain  smtp.Code   `json:"plain"`  // what it says when nobody else decides
	Source []smtp.Code `json:"source"` // the stage table "source"
	RFC    []smtp.Code `json:"rfc"`    // the stage table "rfc", its superset
}

type modeRow struct {
	Mode  string      `json:"mode"`
	Codes []smtp.Code `json:"codes"` // empty for random, which draws accept or bounce first
}

func newCatalogue() *catalogue {
	c := &catalogue{}
	for _, i := range smtp.Codes() {
		c.Codes = append(c.Codes, codeRow{i.Code, i.Text, i.Sources, i.Note})
	}
	for _, i := range smtp.EnhancedCodes() {
		c.Enhanced = append(c.Enhanced, enhancedRow{fmt.Sprintf("x.%d.%d", i.Subject, i.Detail), i.Text})
	}
	for i := range smtp.NumStages {
		s := smtp.Stage(i)
		c.Stages = append(c.Stages, stageRow{s, fault.PlainCode(s), codesAt(s, fault.Source()), codesAt(s, fault.RFC())})
	}
	for _, m := range []fault.Mode{fault.ModeAccept, fault.ModeBounce, fault.ModeOffline, fault.ModeUnavailable, fault.ModeRandom} {
		c.Modes = append(c.Modes, modeRow{m.String(), append([]smtp.Code{}, fault.ModeCodes(m)...)})
	}
	return c
}

func codesAt(s smtp.Stage, table []fault.StageCode) []smtp.Code {
	codes := []smtp.Code{}
	for _, row := range table {
		if row.Stage == s {
			codes = append(codes, row.Code)
		}
	}
	return codes
}

func newCatalogueCommand(stdout io.Writer) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "catalogue",
		Aliases: []string{"codes"},
		Short:   "print the reply codes, enhanced status codes, stages and modes",
		Example: `  smtpsink catalogue
  smtpsink catalogue --json | jq .`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			c := newCatalogue()
			if !asJSON {
				_, err := fmt.Fprint(stdout, c.table())
				return err
			}
			text, err := json.MarshalIndent(c, "", "  ")
			if err == nil {
				_, err = fmt.Fprintf(stdout, "%s\n", text)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON, with the sources of each code")
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed"}, cli.Exit{Status: exitUsage, Meaning: "bad input"})
	return cmd
}

// table renders the catalogue for people.
func (c *catalogue) table() string {
	var codes, enhanced, stages, modes text.Table
	codes.Row("code", "text")
	for _, r := range c.Codes {
		codes.Row(r.Code, r.Text)
	}
	enhanced.Row("enhanced", "text")
	for _, r := range c.Enhanced {
		enhanced.Row(r.Code, r.Text)
	}
	stages.Row("stage", "plain", "codes that the RFCs allow (* not in the stage table \"source\")")
	for _, r := range c.Stages {
		stages.Row(r.Stage, r.Plain, codeList(r.RFC, r.Source))
	}
	modes.Row("mode", "codes")
	for _, r := range c.Modes {
		list := codeList(r.Codes, r.Codes)
		if len(r.Codes) == 0 {
			list = "accept or bounce, then one of its codes"
		}
		modes.Row(r.Mode, list)
	}
	return strings.Join([]string{codes.String(), enhanced.String(), stages.String(), modes.String()}, "\n")
}

// codeList writes codes, with a star at those that known lacks.
func codeList(codes, known []smtp.Code) string {
	in := make(map[smtp.Code]bool)
	for _, c := range known {
		in[c] = true
	}
	var out []string
	for _, c := range codes {
		text := fmt.Sprint(uint16(c))
		if !in[c] {
			text += "*"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
