package plan

import (
	"fmt"
	"iter"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// reply is the reply of an outcome or a limit; the zero value is the plain one.
type reply struct {
	Code smtp.Code
	wording
	forward string // stands for a text
}

// wording is all of a reply but its code.
type wording struct {
	Enhanced enhanced
	Text     []string
}

// enhanced is an enhanced status code, none at all, or what the catalogue has.
type enhanced struct {
	smtp.Enhanced
	none bool
}

// enhancedForm is an enhanced status code or none.
var enhancedForm = scalar("an enhanced status code, or none", func(text string) (enhanced, error) {
	if text == "none" {
		return enhanced{none: true}, nil
	}
	e, err := smtp.ParseEnhanced(text)
	return enhanced{Enhanced: e}, err
}, func(e enhanced) string {
	if e.none {
		return "none"
	}
	return e.Enhanced.String()
}, patternSchema(`^([245]\.[0-9]{1,3}\.[0-9]{1,3}|none)$`))

// wordingKeys are the keys of a reply beside its code.
func wordingKeys[T any](of func(*T) *wording) []key[T] {
	return []key[T]{
		at("enhanced", enhancedForm, func(v *T) *enhanced { return &of(v).Enhanced }, "Default: the one that the catalogue has for code and stage."),
		at("text", textsForm, func(v *T) *[]string { return &of(v).Text }, "One line or several, in which {{client}} and other names of the documentation are filled in."),
	}
}

// replyForm is 450, 550/5.7.1, 550/none, plain, or a mapping; the schema has the lowest code, and what the words match.
func replyForm(low int, words string) form[reply] {
	codes := fmt.Sprintf(`{"type":"integer","maximum":599,"minimum":%d}`, low)
	word := scalar("a code, or a mapping with code, enhanced and text", func(text string) (reply, error) {
		o, err := fault.ParseReply(text)
		return reply{Code: o.Code, wording: wording{Enhanced: enhanced{o.Enhanced, o.NoEnhanced}}}, err
	}, func(r reply) string {
		switch {
		case r.Code == 0:
			return "plain"
		case r.Enhanced == enhanced{}:
			return fmt.Sprint(uint16(r.Code))
		}
		return fmt.Sprintf("%d/%s", uint16(r.Code), enhancedForm.write(&r.Enhanced).Value)
	}, `{"anyOf":[`+codes+`,`+patternSchema(words)+`]}`)
	keys := append([]key[reply]{needs("code", codeForm.described(codes), func(r *reply) *smtp.Code { return &r.Code }, "The reply code.")},
		wordingKeys(func(r *reply) *wording { return &r.wording })...)
	keys = append(keys, at("forward", textForm, func(r *reply) *string { return &r.forward }, "With 251 and 551, instead of text: the address that the client is told."))
	return short(word, func(r *reply) bool { return len(r.Text) == 0 }, yaml.MappingNode, mapping(keys...).checked(func(n *yaml.Node, r *reply) error {
		switch {
		case r.Code == 0:
			return within("code", errorf(n, "missing (want 200 to 599)"))
		case child(n, "forward") == nil:
			return nil
		case len(r.Text) > 0:
			return within("forward", errorf(child(n, "forward"), "beside a text (want one of them)"))
		}
		text, err := smtp.ForwardText(r.Code, r.forward)
		if err != nil {
			return within("forward", errorAt(child(n, "forward"), err))
		}
		r.Text, r.forward = []string{text}, ""
		return nil
	}))
}

// replyKey is the key of an outcome's reply, which is not written when it is plain.
func replyKey[T any](f form[reply], of func(*T) *fault.OutcomeSpec) key[T] {
	k := at("reply", as(f, func(o *fault.OutcomeSpec) reply {
		return reply{Code: o.Code, wording: wording{enhanced{o.Enhanced, o.NoEnhanced}, o.Text}}
	}, func(o *fault.OutcomeSpec, r reply) {
		o.Code, o.Enhanced, o.NoEnhanced, o.Text = r.Code, r.Enhanced.Enhanced, r.Enhanced.none, r.Text
	}), of, "What is said: a code, a code with its enhanced status code, or a mapping; default: plain.")
	write := k.write
	k.write = func(v *T) *yaml.Node {
		if of(v).Code == 0 {
			return nil
		}
		return write(v)
	}
	return k
}

// plainForm leads from stages to the words of their plain replies.
func plainForm() form[[]fault.PlainSpec] {
	word := as(textsForm, func(w *wording) []string { return w.Text }, func(w *wording, text []string) { w.Text = text })
	long := mapping(wordingKeys(func(w *wording) *wording { return w })...)
	words := short(word, func(w *wording) bool { return w.Enhanced == enhanced{} }, yaml.MappingNode, long).named("plainWords")
	return dictionary("stages to the words of their plain replies", 1, stageForm, words, func(l *[]fault.PlainSpec) iter.Seq2[smtp.Stage, wording] {
		return func(yield func(smtp.Stage, wording) bool) {
			for _, p := range *l {
				if !yield(p.Stage, wording{enhanced{p.Enhanced, p.NoEnhanced}, p.Text}) {
					return
				}
			}
		}
	}, func(l *[]fault.PlainSpec, stage smtp.Stage, w wording) {
		*l = append(*l, fault.PlainSpec{Stage: stage, Enhanced: w.Enhanced.Enhanced, NoEnhanced: w.Enhanced.none, Text: w.Text})
	})
}
