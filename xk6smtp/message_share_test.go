package xk6smtp

import (
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

func TestMessagesAreSharedByContent(t *testing.T) {
	root := New()
	options := func() *messageOptions {
		return &messageOptions{from: "a@src.test", to: []string{"b@dst.test"}, text: strings.Repeat("x", 1<<20), given: map[string]bool{"from": true, "to": true, "text": true}}
	}
	var all sync.WaitGroup
	got := make([]*message, 30)
	for i := range got {
		all.Go(func() {
			m, err := root.messages.get(options())
			if err != nil {
				t.Error(err)
			}
			got[i] = m
		})
	}
	all.Wait()
	for _, m := range got {
		if m != got[0] {
			t.Fatal("two messages of one content")
		}
	}
	other := options()
	other.subject, other.given["subject"] = "y", true
	if m, err := root.messages.get(other); err != nil || m == got[0] {
		t.Errorf("another message is the same one, or %v", err)
	}
	if _, err := root.messages.get(&messageOptions{}); err == nil {
		t.Error("a message without from")
	}
	runtime.KeepAlive(got)
	got = nil
	testkit.Await(t, "the end of messages that nobody has", func() bool {
		runtime.GC()
		return root.messages.count() == 0
	})
}

// TestEveryOptionOfAMessageTellsItApart changes one field after the other: a new one must be digested, too.
func TestEveryOptionOfAMessageTellsItApart(t *testing.T) {
	seen := map[messageKey]string{(&messageOptions{}).key(): "nothing"}
	note := func(name string, o *messageOptions) {
		key := o.key()
		if before, ok := seen[key]; ok {
			t.Errorf("%s is like %s", name, before)
		}
		seen[key] = name
	}
	samples := map[string]*messageOptions{
		"from": {from: "x"}, "to": {to: []string{"x"}}, "cc": {cc: []string{"x"}}, "bcc": {bcc: []string{"x"}}, "replyTo": {replyTo: []string{"x"}}, "subject": {subject: "x"}, "text": {text: "x"}, "html": {html: "x"},
		"headers": {headers: []pair{{"x", ""}}}, "size": {size: 1}, "raw": {raw: []byte("x")}, "attachments": {attachments: []attachment{{name: "x"}}},
		"inline": {inline: []attachment{{name: "x"}}}, "fields": {fields: []pair{{"x", ""}}}, "given": {given: map[string]bool{"x": true}},
	}
	for name, o := range samples {
		note(name, o)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[messageOptions]()) {
		if samples[f.Name] == nil {
			t.Errorf("the field %s has no sample here: is it digested?", f.Name)
		}
	}
	note("two of to", &messageOptions{to: []string{"x", ""}})
	note("another header", &messageOptions{headers: []pair{{"", "x"}}})
	note("a type", &messageOptions{attachments: []attachment{{contentType: "x"}}})
	note("a cid", &messageOptions{attachments: []attachment{{cid: "x"}}})
	note("content", &messageOptions{attachments: []attachment{{content: []byte("x")}}})
}

func (s *messages) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.made)
}
