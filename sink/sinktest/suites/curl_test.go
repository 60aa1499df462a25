package suites

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// curlServer says what curl's test server for SMTP says, by the customization of a test.
type curlServer struct {
	capabilities, mechanisms []string
	replies                  map[string]string // by the whole line, or by the command
	client                   string
}

var (
	curlReplyLine = regexp.MustCompile(`^REPLY "([A-Z]+ [A-Za-z0-9+\-/=*. ]+)" (.*)`)
	curlReply     = regexp.MustCompile(`^REPLY(LF|) ([A-Za-z0-9+/=*]*) (.*)`)
	curlAddress   = regexp.MustCompile(`^<[a-zA-Z0-9._%+-]+@(([a-zA-Z0-9-]+)\.)+[a-zA-Z]{2,4}>$`)
	curlAddress8  = regexp.MustCompile(`^<[a-zA-Z0-9\x80-\xff._%+-]+@(([a-zA-Z0-9\x80-\xff-]+)\.)+[a-zA-Z]{2,4}>$`)
	curlUser      = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+(@(([a-zA-Z0-9-]+)\.)+[a-zA-Z]{2,4})?$`)
	curlBase64    = regexp.MustCompile(`%b64\[(.*?)\]b64%`)
	curlSize      = regexp.MustCompile(`^SIZE (\d+)$`)
)

// parseCurl makes a dialogue of a test of curl's: what its protocol section says that the client sends, with what its server answers. ok is
// false when it is about something else than SMTP, or the client never connects.
func parseCurl(number, text string) (d dialogue, ok bool) {
	servers := section(text, "server")
	if !regexp.MustCompile(`(?m)^smtps?$`).MatchString(servers) {
		return d, false
	}
	expand := func(s string) string {
		s = strings.NewReplacer("%TESTNUMBER", number, "%SMTPPORT", "2525", "%HOSTIP", "127.0.0.1").Replace(s)
		return curlBase64.ReplaceAllStringFunc(s, func(m string) string {
			plain := strings.ReplaceAll(curlBase64.FindStringSubmatch(m)[1], "%01", "\x01")
			return base64.StdEncoding.EncodeToString([]byte(plain))
		})
	}
	server := curlServer{replies: map[string]string{}}
	for _, line := range strings.Split(expand(section(text, "servercmd")), "\n") {
		server.customize(line)
	}
	d = dialogue{name: number}
	for _, line := range strings.Split(expand(strings.TrimRight(section(text, "protocol"), "\n")), "\n") {
		line = strings.TrimSuffix(line, "\r")
		upper := strings.ToUpper(line)
		if strings.HasPrefix(upper, "EHLO") || len(d.conns) == 0 && line != "" {
			d.conns = append(d.conns, []step{{kind: say, octets: []byte(server.greeting())}})
		}
		if len(d.conns) == 0 {
			continue
		}
		steps := &d.conns[len(d.conns)-1]
		answer := server.answer(line)
		*steps = append(*steps, step{kind: hear, line: line}, step{kind: say, octets: []byte(answer)})
		if upper == "DATA" && strings.HasPrefix(answer, "354") {
			*steps = append(*steps, step{kind: body}, step{kind: say, octets: []byte("250 OK, data received!\r\n")})
		}
	}
	for i := range d.conns {
		steps := &d.conns[i]
		if last := (*steps)[len(*steps)-1]; last.kind == say && !strings.HasPrefix(string(last.octets), "221") {
			*steps = append(*steps, step{kind: leave})
		}
	}
	return d, len(d.conns) > 0
}

func section(text, name string) string {
	_, text, ok := strings.Cut(text, "<"+name)
	if !ok {
		return ""
	}
	_, text, _ = strings.Cut(text, ">\n")
	text, _, _ = strings.Cut(text, "</"+name+">")
	return text
}

func (c *curlServer) customize(line string) {
	unescape := strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace
	if m := curlReplyLine.FindStringSubmatch(line); m != nil {
		c.replies[m[1]] = unescape(m[2]) + "\r\n"
	} else if m := curlReply.FindStringSubmatch(line); m != nil {
		end := "\r\n"
		if m[1] == "LF" {
			end = "\n"
		}
		c.replies[m[2]] = unescape(m[3]) + end
	} else if list, found := strings.CutPrefix(line, "CAPA "); found {
		for _, m := range regexp.MustCompile(`"[^"]*"|[^ ]+`).FindAllString(list, -1) {
			c.capabilities = append(c.capabilities, strings.Trim(m, `"`))
		}
	} else if list, found := strings.CutPrefix(line, "AUTH "); found {
		c.mechanisms = strings.Fields(list)
	}
}

func (c *curlServer) greeting() string {
	return "220-        _   _ ____  _     \r\n220-    ___| | | |  _ \\| |    \r\n220-   / __| | | | |_) | |    \r\n220-  | (__| |_| |  _ {| |___ \r\n220    \\___|\\___/|_| \\_\\_____|\r\n"
}

func (c *curlServer) has(capability string) bool {
	for _, name := range c.capabilities {
		if name == capability {
			return true
		}
	}
	return false
}

// answer says what is said to a line.
func (c *curlServer) answer(line string) string {
	verb, args, _ := strings.Cut(line, " ")
	if reply, ok := c.replies[line]; ok && args != "" {
		return reply
	}
	if reply, ok := c.replies[verb]; ok {
		return reply
	}
	utf8 := c.has("SMTPUTF8")
	switch strings.ToUpper(verb) {
	case "EHLO":
		c.client = args
		lines := append([]string{"ESMTP pingpong test server Hello " + args}, c.capabilities...)
		if len(c.mechanisms) > 0 {
			lines = append(lines, "AUTH "+strings.Join(c.mechanisms, " "))
		}
		var out strings.Builder
		for i, text := range lines {
			mark := "-"
			if i == len(lines)-1 {
				mark = " "
			}
			out.WriteString("250" + mark + text + "\r\n")
		}
		return out.String()
	case "HELO":
		c.client = args
		return "250 SMTP pingpong test server Hello " + args + "\r\n"
	case "MAIL":
		from, size := "", 0
		for _, word := range strings.Fields(args) {
			if rest, ok := strings.CutPrefix(word, "FROM:"); ok {
				from = rest
			}
			_, _ = fmt.Sscanf(word, "SIZE=%d", &size)
		}
		for _, name := range c.capabilities {
			var most int
			if curlSize.MatchString(name) {
				if _, err := fmt.Sscanf(name, "SIZE %d", &most); err == nil && size > most {
					return "552 Message size too large\r\n"
				}
			}
		}
		if from == "" {
			return "501 Invalid address\r\n"
		}
		return "250 Sender OK\r\n"
	case "RCPT":
		to, ok := strings.CutPrefix(args, "TO:")
		switch {
		case !ok:
			return "501 Unrecognized parameter\r\n"
		case !utf8 && curlAddress.MatchString(to), utf8 && curlAddress8.MatchString(latin1(to)):
			return "250 Recipient OK\r\n"
		}
		return "501 Invalid address\r\n"
	case "DATA":
		if args != "" {
			return "501 Unrecognized parameter\r\n"
		}
		return "354 Show me the mail\r\n"
	case "NOOP":
		return "250 OK\r\n"
	case "RSET":
		return "250 Resetting\r\n"
	case "HELP":
		more := ""
		if len(c.mechanisms) > 0 {
			more = " AUTH"
		}
		return "214-This server supports the following commands:\r\n214 HELO EHLO RCPT DATA RSET MAIL VRFY EXPN QUIT HELP" + more + "\r\n"
	case "VRFY":
		user, _, _ := strings.Cut(args, " ")
		if !curlUser.MatchString(user) && !(utf8 && user != "") {
			return "501 Invalid address\r\n"
		}
		if !strings.Contains(user, "@") {
			user += "@example.com"
		}
		return "250 <" + user + ">\r\n"
	case "EXPN":
		return "250-User Smith <smith@example.com>\r\n250 Another <another@example.com>\r\n"
	case "QUIT":
		return "221 curl SMTP server signing off\r\n"
	}
	return "500 " + verb + " is not dealt with!\r\n"
}

// latin1 has a rune for each octet.
func latin1(s string) string {
	runes := make([]rune, 0, len(s))
	for _, c := range []byte(s) {
		runes = append(runes, rune(c))
	}
	return string(runes)
}
