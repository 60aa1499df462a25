package smtp_test

import (
	"bytes"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// sameAddresses are addresses by their canonical form: those of one row are the same, those of different rows differ.
var sameAddresses = []struct {
	form  string
	spelt []string
}{
	{"user@dst.test", []string{"user@DST.test", "user@dst.test.", `"user"@dst.test`, `"us\er"@Dst.Test`, `"u\s\e\r"@dst.test.`}},
	{"User@dst.test", []string{`"User"@dst.test`}},
	{"b@s.example", []string{"b@S.example"}},
	{"user..name@x", []string{`"user..name"@x`}},
	{".user.@x", []string{`".user."@x`}},
	{"s+8@x", []string{`"s+8"@x`}},
	{`"a b"@x`, []string{`"a\ b"@x`, `"\a b"@X`}},
	{`"a  b"@x`, nil},
	{`"a@b"@x`, []string{`"a\@b"@x`}},
	{`"a\"b"@x`, nil},
	{`"a\\b"@x`, nil},
	{`"a,b"@x`, nil},
	{`""@x`, nil},
	{`"a"b@x`, []string{`"a"b@X`}},
	{"u@xn--bcher-kva.example", []string{"u@bücher.example", "u@BÜCHER.example", "u@XN--bcher-kva.Example."}},
	{"ü@xn--bcher-kva.example", []string{"ü@bücher.example", `"ü"@bücher.example`}},
	{"u@[192.0.2.1]", nil},
	{"u@[2001:db8::1]", []string{"u@[IPv6:2001:db8::1]", "u@[ipv6:2001:DB8:0::0:1]"}},
	{"u@[x-y:z]", []string{"u@[X-Y:Z]"}},
	{"postmaster", []string{"Postmaster", `"PostMaster"`}},
	{"postmaster@x", []string{"Postmaster@x", "POSTMASTER@X.", `"Postmaster"@x`}},
	{"postmasters@x", nil},
	{"Postmasters@x", nil},
	{"root", []string{"Root"}},
	{"first.last.", nil},
	{`"a@b"`, []string{`"A@b"`}},
	{"", nil},
	{"@x@y", []string{"@x@Y"}},
	{"a@", nil},
	{"a@.", nil},
}

func TestAppendAddress(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range sameAddresses {
		if seen[tt.form] {
			t.Errorf("%s is in two rows", tt.form)
		}
		seen[tt.form] = true
		for _, address := range append(tt.spelt, tt.form) {
			if got := smtp.AppendAddress([]byte("<"), []byte(address)); string(got) != "<"+tt.form {
				t.Errorf("%s becomes %q, want %q", address, got[1:], tt.form)
			}
			if !smtp.SameAddress([]byte(address), []byte(tt.form)) {
				t.Errorf("%s and %s are not the same", address, tt.form)
			}
		}
	}
}

// What is common costs no memory.
func TestAppendAddressDoesNotAllocate(t *testing.T) {
	var space [320]byte
	for _, address := range []string{"user@dst.test", "User.Name+tag@DST.test.", `"us\er"@dst.test`, "postmaster", "u@xn--bcher-kva.example"} {
		b := []byte(address)
		if n := testing.AllocsPerRun(100, func() { smtp.AppendAddress(space[:0], b) }); n != 0 {
			t.Errorf("%s: %v allocations", address, n)
		}
	}
}

// A canonical form is its own canonical form, and whatever is an address stays one.
func FuzzAppendAddress(f *testing.F) {
	for _, tt := range sameAddresses {
		for _, address := range append(tt.spelt, tt.form) {
			f.Add([]byte(address))
		}
	}
	f.Fuzz(func(t *testing.T, address []byte) {
		form := smtp.AppendAddress(nil, address)
		if again := smtp.AppendAddress(nil, form); !bytes.Equal(again, form) {
			t.Errorf("%q becomes %q, and that %q", address, form, again)
		}
		var m, n smtp.RcptArgs
		if smtp.ParseRcpt([]byte("TO:<"+string(address)+">"), &m) != nil || len(m.Path) != len(address) {
			return
		}
		if err := smtp.ParseRcpt([]byte("TO:<"+string(form)+">"), &n); err != nil {
			t.Errorf("%q becomes %q: %v", address, form, err)
		}
	})
}

func BenchmarkAppendAddress(b *testing.B) {
	var space [320]byte
	for _, address := range []string{"user123@dst.example", `"us\er"@DST.example`} {
		b.Run(address, func(b *testing.B) {
			in := []byte(address)
			b.ReportAllocs()
			for b.Loop() {
				smtp.AppendAddress(space[:0], in)
			}
		})
	}
}
