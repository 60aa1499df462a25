package smtp

import (
	"strings"
	"unicode/utf8"
)

// octetClass is where an octet may stand.
type octetClass uint8

const (
	inAtom      octetClass = 1 << iota // atext (RFC 5322 section 3.2.3)
	inLocalPart                        // a local part that is no quoted string: see validMailbox
	inLabel                            // a label of a domain but for "-": see validDomain
	inKeyword                          // the keyword of a parameter (RFC 5321 section 4.1.2)
	inValue                            // the value of a parameter (RFC 5321 section 4.1.2, RFC 6531 section 3.3)
)

// octets tells the classes of each octet. It is never changed.
var octets = func() (classes [256]octetClass) {
	for i := range classes {
		c := byte(i)
		letDig := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		atext := letDig || c < utf8.RuneSelf && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
		set := func(class octetClass, member bool) {
			if member {
				classes[i] |= class
			}
		}
		set(inAtom, atext)
		set(inLocalPart, atext || c == '.' || c >= utf8.RuneSelf)
		set(inLabel, letDig || c == '_' || c >= utf8.RuneSelf)
		set(inKeyword, letDig || c == '-')
		set(inValue, c > ' ' && c != '=' && c != 0x7f)
	}
	return classes
}()
