package cmd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control"
	"github.com/smtpstorm/xk6-smtp/sink/control/page"
	"github.com/smtpstorm/xk6-smtp/sink/prometheus"
)

// tokensVariable is the environment's name for what --control-token-file has.
const tokensVariable = "SMTPSINK_CONTROL_TOKENS" // #nosec G101 -- the name of a variable

// controls is the part of the command line that is about the control API.
type controls struct {
	addresses []string
	tokens    string
	hosts     []string
	cert, key string
	listeners bool
	scraped   []string
	bounds    controlBounds

	cfg     control.Config
	api     *control.Server // nil: there is none
	sockets []*controlSocket
	tail    *sink.Tail // nil: nobody looks at rows
}

// controlSocket is where the API listens.
type controlSocket struct {
	net.Listener
	shown   string // how to call it
	scraped bool   // for monitoring alone
	path    string // of a unix socket, else empty
}

func (c *controls) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&c.addresses, "control", nil, "serve the control API, which smtpsink ctl speaks, on `host:port` or unix:/path; repeatable; off by default. Beyond loopback it needs a token file and TLS")
	f.StringVar(&c.tokens, "control-token-file", "", "`file` of tokens for the control API, one a line: 'read TOKEN' or 'write TOKEN' (smtpsink ctl token makes one); also $"+tokensVariable+". Without one everybody on this machine may do everything")
	f.StringArrayVar(&c.hosts, "control-host", nil, "`name` by which clients call the control API beside its address and localhost; repeatable")
	f.StringVar(&c.cert, "control-cert", "", "`file` with the control API's certificate and its chain (PEM)")
	f.StringVar(&c.key, "control-key", "", "`file` with that certificate's key (PEM)")
	f.BoolVar(&c.listeners, "control-listeners", false, "let plans that come by the control API open and close listeners")
	c.bounds.addFlags(f)
	f.StringArrayVar(&c.scraped, "metrics-listen", nil, "serve /healthz, /readyz and what monitoring scrapes alone, without token and TLS, on `host:port`; repeatable")
}

// configure reads what the flags name, and has the server observed. Errors name the flag.
func (c *controls) configure(cfg *sink.Config) error {
	if len(c.addresses) == 0 {
		idle := c.bounds.idle(len(c.scraped) > 0)
		for _, flag := range []struct {
			name  string
			given bool
		}{
			{"--control-token-file", c.tokens != ""}, {"--control-host", len(c.hosts) > 0}, {"--control-cert", c.cert != ""},
			{"--control-key", c.key != ""}, {"--control-listeners", c.listeners}, {idle, idle != ""},
		} {
			if flag.given {
				return fmt.Errorf("%s: there is no --control that it could apply to", flag.name)
			}
		}
		if len(c.scraped) == 0 {
			return nil
		}
	}
	if err := c.readTokens(); err != nil {
		return err
	}
	if err := c.bounds.read(); err != nil {
		return err
	}
	switch {
	case c.cert != "" && c.key == "":
		return errors.New("--control-cert: there is no --control-key that goes with it")
	case c.key != "" && c.cert == "":
		return errors.New("--control-key: there is no --control-cert that goes with it")
	}
	for _, name := range c.hosts {
		if strings.ContainsAny(name, ":/ *") {
			return fmt.Errorf("--control-host: invalid name %q (want a host name without port and scheme)", name)
		}
	}
	c.tail = sink.NewTail(c.bounds.events)
	if cfg.Observer == nil {
		cfg.Observer = c.tail
	} else {
		cfg.Observer = sink.Observers{cfg.Observer, c.tail}
	}
	c.cfg.Bounds = c.bounds.values
	c.cfg.Tail, c.cfg.Hosts, c.cfg.Ledger, c.cfg.KeepPorts = c.tail, c.hosts, cfg.Ledger.Path, !c.listeners
	return nil
}

func (c *controls) readTokens() (err error) {
	if text := os.Getenv(tokensVariable); text != "" && len(c.addresses) > 0 {
		if c.tokens != "" {
			return fmt.Errorf("--control-token-file: not together with $%s", tokensVariable)
		}
		if c.cfg.Tokens, err = control.ParseTokens(strings.NewReader(text), "$"+tokensVariable); err != nil {
			return err
		}
		return nil
	}
	if c.tokens == "" {
		return nil
	}
	file, err := open(c.tokens)
	if err == nil {
		defer file.Close()
		c.cfg.Tokens, err = control.ParseTokens(file, c.tokens)
	}
	if err != nil {
		return fmt.Errorf("--control-token-file: %w", err)
	}
	return nil
}

// listen opens the addresses: before the sink serves anybody, since one that can't be had is bad input.
func (c *controls) listen() (err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	var certificate *tls.Certificate
	if c.cert != "" {
		if certificate, err = sink.LoadCertificate(c.cert, c.key); err != nil {
			return fmt.Errorf("--control-cert: %w", err)
		}
	}
	for _, address := range c.addresses {
		l, err := controlAddress(address)
		switch {
		case err != nil:
		case !l.Local() && len(c.cfg.Tokens) == 0:
			err = errors.New("other machines can reach it, so it needs tokens (--control-token-file)")
		case !l.Local() && certificate == nil:
			err = errors.New("other machines can reach it, so it needs TLS (--control-cert, --control-key)")
		}
		if err == nil {
			err = c.open(&l, certificate)
		}
		if err != nil {
			return fmt.Errorf("--control %s: %w", address, err)
		}
	}
	for _, address := range c.scraped {
		l, err := controlAddress(address)
		if err != nil || l.Network == "unix" {
			err = fmt.Errorf("invalid address %q (want host:port, such as 127.0.0.1:9090)", address)
		}
		if err == nil {
			err = c.open(&l, nil)
		}
		if err != nil {
			return fmt.Errorf("--metrics-listen %s: %w", address, err)
		}
		c.sockets[len(c.sockets)-1].scraped = true
	}
	return nil
}

func controlAddress(address string) (sink.Listener, error) {
	l, err := sink.ParseListener(address)
	switch {
	case err != nil:
		return l, errors.New(strings.NewReplacer("[name=]", "", "invalid listener ", "invalid address ", "such as 127.0.0.1:2525", "such as "+defaultControl).Replace(err.Error()))
	case l.Name != "":
		return l, errors.New("it has no name (want host:port or unix:/path)")
	}
	return l, nil
}

func (c *controls) open(l *sink.Listener, certificate *tls.Certificate) error {
	if l.Network == "unix" {
		socket, err := listenPrivately(l.Address)
		if err != nil {
			return err
		}
		c.sockets = append(c.sockets, &controlSocket{Listener: socket, shown: "unix:" + l.Address, path: l.Address})
		return nil
	}
	socket, err := net.Listen("tcp", l.Address)
	if err != nil {
		return rootCause(err)
	}
	shown := "http://" + socket.Addr().String()
	if certificate != nil {
		socket = tls.NewListener(socket, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12})
		shown = "https://" + socket.Addr().String()
	}
	c.sockets = append(c.sockets, &controlSocket{Listener: socket, shown: shown})
	return nil
}

// rootCause returns the innermost error: what is around it the caller says.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// serve has the API served, and says where.
func (c *controls) serve(o *options, server *sink.Server) error {
	if c.tail == nil {
		return nil
	}
	c.cfg.Sink = server
	c.cfg.Say = func(line string) { o.say("%s", line) }
	c.cfg.Warn = func(line string) { o.complain("%s", line) }
	var err error
	if c.api, err = control.New(c.cfg); err != nil {
		return err
	}
	c.api.Handle("GET /metrics", prometheus.Handler(server, sink.ThisBuild().Release), control.Scraped)
	for _, path := range page.Paths() {
		c.api.Handle("GET "+path, page.Handler(), control.Public)
	}
	for _, l := range c.sockets {
		serve, what := c.api.Serve, "the control API"
		if l.scraped {
			serve, what = c.api.ServeScraped, "monitoring"
		}
		o.say("%s is at %s", what, l.shown)
		at := sink.Listener{Address: l.Addr().String()}
		if !l.scraped && l.path == "" && !at.Local() {
			o.complain("other machines can reach the control API (%s): whoever has a token for writing steers this sink", l.shown)
		}
		go func() {
			if err := serve(l.Listener); err != nil {
				o.complain("%s has ended: %v", l.shown, err)
			}
		}()
	}
	return nil
}

// stop says that the sink is about to end.
func (c *controls) stop() {
	if c.api != nil {
		c.api.Stop()
	}
}

// close ends what is there.
func (c *controls) close() {
	if c.api != nil {
		_ = c.api.Close() // whom it cut off was too slow
	}
	for _, l := range c.sockets {
		_ = l.Close() // it is closed already where it was served
		if l.path != "" {
			_ = os.Remove(l.path)
		}
	}
}
