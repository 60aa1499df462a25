// Command gosmtpserver runs emersion's go-smtp with everything that it offers, for tests of clients: STARTTLS, AUTH PLAIN and LOGIN, DSN,
// SMTPUTF8, CHUNKING, BINARYMIME, LMTP. It refuses recipients whose address begins with "refused", and its reply to a message holds the
// message's SHA-256, so that a client's test sees whether it arrived as it was. It says its address on standard output and serves
// until it is told to end by SIGTERM or SIGINT, or its standard input ends.
//
// It keeps nothing, and is for loopback only.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "gosmtpserver: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	cert := flag.String("cert", "", "certificate in PEM for STARTTLS; none: no TLS")
	key := flag.String("key", "", "its key in PEM")
	implicit := flag.Bool("implicit", false, "TLS from the first octet on")
	lmtp := flag.Bool("lmtp", false, "speak LMTP")
	limit := flag.Int64("max-bytes", 0, "the largest message; 0: no limit")
	accounts := accounts{}
	flag.StringVar(&accounts.user, "user", "", "the user that AUTH knows; none: no AUTH")
	flag.StringVar(&accounts.password, "password", "", "the user's password")
	flag.Parse()

	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		if accounts.user == "" {
			return session{}, nil
		}
		return authSession{accounts: accounts}, nil
	}))
	server.Domain, server.LMTP, server.MaxMessageBytes = "gosmtp.test", *lmtp, *limit
	server.AllowInsecureAuth, server.EnableSMTPUTF8, server.EnableDSN, server.EnableBINARYMIME = true, true, true, true
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if *implicit {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() { // the parent is gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// session takes every message and keeps none.
type session struct{}

// Mail implements smtp.Session.
func (session) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "refused") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	return nil
}

// Data implements smtp.Session. go-smtp hands messages over without doubled dots.
func (session) Data(r io.Reader) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: fmt.Sprintf("sha256 %x", sum.Sum(nil))}
}

// Reset implements smtp.Session.
func (session) Reset() {}

// Logout implements smtp.Session.
func (session) Logout() error { return nil }

// accounts is the one account that there is.
type accounts struct{ user, password string }

func (a accounts) check(user, password string) error {
	if user != a.user || password != a.password {
		return smtp.ErrAuthFailed
	}
	return nil
}

// authSession is a session that offers AUTH.
type authSession struct {
	session
	accounts accounts
}

// AuthMechanisms implements smtp.AuthSession.
func (authSession) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

// Auth implements smtp.AuthSession.
func (s authSession) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return s.accounts.check(user, password) }), nil
	case sasl.Login:
		return &login{accounts: s.accounts}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// login is the server's side of LOGIN, which go-sasl lacks.
type login struct {
	accounts accounts
	asked    int
	user     string
}

// Next implements sasl.Server.
func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return []byte("Username:"), false, nil
	}
	l.asked++
	if l.asked == 1 {
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.accounts.check(l.user, string(response))
}
