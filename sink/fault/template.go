package fault

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// QueueID returns what a message is called in replies and rows: the client's n-th connection, and the n-th MAIL on it, 0 before the first.
// It is a draw of its own, and so the same in each run with the seed.
func QueueID(seed uint64, client netip.Addr, connection, message uint64) uint64 {
	var space [64]byte
	key := appendNumber(appendConnection(space[:0], &Occurrence{Client: client, ConnN: connection}), message)
	return Draw(seed, smtp.StageMessage, PurposeID, key)
}

// words are the words of a reply as a person wrote them.
type words struct {
	code       smtp.Code
	enhanced   smtp.Enhanced // absent: the catalogue's default
	noEnhanced bool          // none at all
	text       []string      // none: the catalogue's
}

// reply makes the words a reply at a stage. The error says nothing of the place.
func (w *words) reply(s smtp.Stage) (*smtp.Reply, error) {
	if w.noEnhanced && !w.enhanced.IsZero() {
		return nil, errors.New("both an enhanced status code and none (want one of them)")
	}
	fields, err := smtp.TextFields(w.text)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if known := fieldKnown(f); known != nil && !slices.Contains(known, s) {
			return nil, fmt.Errorf("{{%v}} is not known yet at stage %v (known at: %s)", f, s, stageList(known))
		}
	}
	r, err := smtp.NewReply(s, w.code, w.enhanced, w.text...)
	if err != nil {
		return nil, err
	}
	if w.noEnhanced {
		r.Enhanced = smtp.Enhanced{}
	}
	r.Template = len(fields) > 0
	return r, nil
}

// inTransaction are the stages at which a sender is known.
var inTransaction = []smtp.Stage{
	smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageBdat, smtp.StageMessage, smtp.StageSend, smtp.StageSoml, smtp.StageSaml,
}

// fieldKnown returns the stages at which a field has a meaning; nil: all.
func fieldKnown(f smtp.Field) []smtp.Stage {
	switch f {
	case smtp.FieldSender:
		return inTransaction
	case smtp.FieldRecipient, smtp.FieldLocalPart:
		return []smtp.Stage{smtp.StageRcpt, smtp.StageData, smtp.StageBdat, smtp.StageMessage}
	case smtp.FieldHelo:
		stages := make([]smtp.Stage, 0, smtp.NumStages)
		for s := range smtp.NumStages {
			if smtp.Stage(s) != smtp.StageConnect && smtp.Stage(s) != smtp.StagePregreet {
				stages = append(stages, smtp.Stage(s))
			}
		}
		return stages
	}
	return nil
}

// namesQueueID reports whether a reply names the message by its queue id.
func namesQueueID(r *smtp.Reply) bool {
	return r != nil && r.Template && slices.ContainsFunc(r.Lines, func(line string) bool {
		return strings.Contains(line, "{{"+smtp.FieldQueueID.String()+"}}")
	})
}

// PlainSpec are the words of a plain reply of a plan's own: its code stays.
type PlainSpec struct {
	Stage      smtp.Stage
	Enhanced   smtp.Enhanced // absent: the catalogue's default
	NoEnhanced bool          // none at all
	Text       []string      // reply lines, which may name fields; needed
}

// plainWords makes the plain replies of a plan.
func (p *Plan) plainWords(specs []PlainSpec) error {
	for i := range specs {
		spec := &specs[i]
		fail := func(err error) error { return &SpecError{Path: "plain." + spec.Stage.String(), Err: err} }
		switch {
		case int(spec.Stage) >= smtp.NumStages:
			return fail(fmt.Errorf("unknown stage %v", spec.Stage))
		case spec.Stage == smtp.StageStartTLS, spec.Stage == smtp.StageAuth:
			return fail(errors.New("what it says depends on what is offered (want a rule)"))
		case len(spec.Text) == 0:
			return fail(errors.New("no text (want at least one line)"))
		}
		if p.plain == nil {
			p.plain = new([smtp.NumStages]*smtp.Reply)
		}
		w := words{code: PlainCode(spec.Stage), enhanced: spec.Enhanced, noEnhanced: spec.NoEnhanced, text: spec.Text}
		r, err := w.reply(spec.Stage)
		if err != nil {
			return fail(err)
		}
		p.plain[spec.Stage] = r
		p.needs.QueueIDs = p.needs.QueueIDs || namesQueueID(r)
	}
	return nil
}

// Plain returns the plan's own plain reply of a stage; nil: it has none, and Plain of the package is meant.
func (v *View) Plain(s smtp.Stage) *smtp.Reply {
	if v == nil || v.plan == nil || v.plan.plain == nil {
		return nil
	}
	return v.plan.plain[s]
}

// PlainReply returns the plain reply of a stage in this plan's words. A nil plan has none of its own.
func (p *Plan) PlainReply(s smtp.Stage) *smtp.Reply {
	if p == nil || p.plain == nil || p.plain[s] == nil {
		return Plain(s)
	}
	return p.plain[s]
}
