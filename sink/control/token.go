package control

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Role is what a token has the right to.
type Role uint8

// The roles. Each has the right to all that those before it have.
const (
	RoleNone  Role = iota
	RoleRead       // to look at everything, mail included
	RoleWrite      // to change the sink
)

// String returns the role as files of tokens write it.
func (r Role) String() string {
	switch r {
	case RoleRead:
		return "read"
	case RoleWrite:
		return "write"
	}
	return "none"
}

// Token lets whoever knows it do what its role says. Only a hash of it is kept.
type Token struct {
	role Role
	sum  [sha256.Size]byte
}

// Bounds of tokens. A token of 22 characters of base64 has 132 bits, one of 32 hexadecimal digits 128.
const (
	minToken    = 22
	minHex      = 32
	minDistinct = 8 // different characters
	maxToken    = 512
	maxTokens   = 64
)

// ParseTokens reads tokens, one a line: read or write, a blank, and the token. Empty lines and lines that begin with # are left out. The
// error names file and line, and never a token.
func ParseTokens(r io.Reader, name string) ([]Token, error) {
	var tokens []Token
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		token, err := parseToken(line)
		switch {
		case err == nil && len(tokens) == maxTokens:
			err = fmt.Errorf("more than %d tokens", maxTokens)
		case err == nil && holds(tokens, token.sum):
			err = errors.New("the token is there already")
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		tokens = append(tokens, token)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("%s: there is no token in it (want lines such as 'write TOKEN'; smtpsink ctl token makes one)", name)
	}
	return tokens, nil
}

func holds(tokens []Token, sum [sha256.Size]byte) bool {
	for i := range tokens {
		if tokens[i].sum == sum {
			return true
		}
	}
	return false
}

func parseToken(line string) (Token, error) {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return Token{}, errors.New("want two words: read or write, and the token")
	}
	t := Token{sum: sha256.Sum256([]byte(fields[1]))}
	switch fields[0] {
	case "read":
		t.role = RoleRead
	case "write":
		t.role = RoleWrite
	default:
		return Token{}, errors.New("unknown role (valid: read write)")
	}
	return t, checkToken(fields[1])
}

// checkToken refuses what can't have 128 bits, and what no header could hold (RFC 6750 section 2.1).
func checkToken(token string) error {
	distinct, hex := map[rune]bool{}, true
	for _, c := range token {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		case 'g' <= c && c <= 'z', 'G' <= c && c <= 'Z', strings.ContainsRune("-._~+/=", c):
			hex = false
		default:
			return errors.New("a token has letters, digits and -._~+/= only")
		}
		distinct[c] = true
	}
	if len(token) < minToken || hex && len(token) < minHex || len(distinct) < minDistinct {
		return fmt.Errorf("the token is too easy to guess (want at least 128 bits: %d random characters, or %d hexadecimal digits; smtpsink ctl token makes one)", minToken, minHex)
	}
	if len(token) > maxToken {
		return fmt.Errorf("the token is longer than %d characters", maxToken)
	}
	return nil
}

// NewToken returns a token that nobody has guessed, of 130 bits.
func NewToken() string { return rand.Text() }

// roleOf returns what a request has the right to. given says that it has brought something to that end.
func (s *Server) roleOf(r *http.Request) (role Role, given bool) {
	if len(s.cfg.Tokens) == 0 {
		return RoleWrite, false
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return RoleWrite, false // the file's permissions have said who may
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return RoleNone, true
		}
		return s.roleOfToken(strings.TrimSpace(token)), true
	}
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		return s.sessions.role(cookie.Value, s.cfg.Now()), true
	}
	return RoleNone, false
}

// roleOfToken compares with all tokens, in the same time whatever the result.
func (s *Server) roleOfToken(token string) Role {
	sum, role := sha256.Sum256([]byte(token)), RoleNone
	for i := range s.cfg.Tokens {
		t := &s.cfg.Tokens[i]
		if subtle.ConstantTimeCompare(t.sum[:], sum[:]) == 1 {
			role = t.role
		}
	}
	return role
}
