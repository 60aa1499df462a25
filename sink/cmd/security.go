package cmd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sasl"
)

// security is the part of the command line that is about TLS and AUTH.
type security struct {
	tls            string
	require        bool
	cert, key      string
	authority      string
	users          []string
	any            string
	acting         []string
	authRequired   bool
	authTLS        bool
	implicit, lmtp []string // names or addresses of listeners
	serve          []string // how listeners serve, by their names or addresses
}

func (s *security) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.lmtp, "lmtp", nil, "speak LMTP on this `listener`, by its name or address; repeatable")
	f.StringVar(&s.tls, "tls", "auto", "offer STARTTLS, as `always|never|auto`: auto does if a certificate is given, or the plan is about TLS")
	f.StringArrayVar(&s.implicit, "tls-implicit", nil, "TLS from the first octet on at this `listener`, by its name or address; repeatable")
	f.StringArrayVar(&s.serve, "serve", nil, "how a listener serves, by its name or address and with the keys of a plan's listeners, as `name={key: value}`, such as 'mx={max_size: 1MiB, limits: {rcptmax: 10}}'; repeatable")
	f.BoolVar(&s.require, "tls-required", false, "refuse mail until there is TLS (530)")
	f.StringVar(&s.cert, "tls-cert", "", "`file` with the certificate and its chain (PEM); without it one is made at the start")
	f.StringVar(&s.key, "tls-key", "", "`file` with the certificate's key (PEM)")
	f.StringVar(&s.authority, "tls-ca", "", "`file` to write the authority of the made certificate to (PEM), for clients to trust")
	f.StringArrayVar(&s.users, "auth-user", nil, "offer AUTH to this account, as `name:password`; repeatable")
	f.StringVar(&s.any, "auth", "", "offer AUTH to everybody with this password, as `any:password`")
	f.StringArrayVar(&s.acting, "auth-as", nil, "let an account act as another authorization identity, as `name:identity`, or as any by *; repeatable")
	f.BoolVar(&s.authRequired, "auth-required", false, "refuse mail until the client is authenticated (530)")
	f.BoolVar(&s.authTLS, "auth-tls", false, "offer AUTH only once there is TLS (538 before)")
}

// configure adds to the server's configuration. Errors name the flag.
func (s *security) configure(cfg *sink.Config) error {
	var err error
	if cfg.TLS.Offer, err = sink.ParseTLSOffer(s.tls); err != nil {
		return fmt.Errorf("--tls: %w", err)
	}
	switch {
	case s.cert != "" && s.key == "":
		return errors.New("--tls-cert: there is no --tls-key that goes with it")
	case s.key != "" && s.cert == "":
		return errors.New("--tls-key: there is no --tls-cert that goes with it")
	case s.authority != "" && s.cert != "":
		return errors.New("--tls-ca: not together with --tls-cert, whose authority the sink doesn't know")
	case s.require && cfg.TLS.Offer == sink.TLSOfferNever:
		return errors.New("--tls-required: not together with --tls never")
	case cfg.TLS.Offer == sink.TLSOfferNever && len(s.implicit) == 0 && s.cert != "":
		return errors.New("--tls-cert: not together with --tls never, unless a listener has --tls-implicit: nobody would see it")
	case cfg.TLS.Offer == sink.TLSOfferNever && len(s.implicit) == 0 && s.authority != "":
		return errors.New("--tls-ca: not together with --tls never, unless a listener has --tls-implicit: nobody could make use of it")
	case s.cert != "":
		if cfg.TLS.Certificate, err = sink.LoadCertificate(s.cert, s.key); err != nil {
			return fmt.Errorf("--tls-cert: %w", err)
		}
	}
	cfg.TLS.Require = s.require
	if cfg.Auth.Accounts, err = s.accounts(); err != nil {
		return err
	}
	if cfg.Auth.Accounts, err = s.deputies(cfg.Auth.Accounts); err != nil {
		return err
	}
	switch {
	case cfg.Auth.Accounts == nil && s.authRequired:
		return errors.New("--auth-required: there is no --auth or --auth-user that anybody could be")
	case cfg.Auth.Accounts == nil && s.authTLS:
		return errors.New("--auth-tls: there is no --auth or --auth-user that it could apply to")
	}
	cfg.Auth.Require, cfg.Auth.NeedsTLS = s.authRequired, s.authTLS
	if err := mark("--lmtp", s.lmtp, cfg.Listeners, func(l *sink.Listener) { l.LMTP = true }); err != nil {
		return err
	}
	for _, text := range s.serve {
		if err := serveAs(text, cfg.Listeners); err != nil {
			return err
		}
	}
	return mark("--tls-implicit", s.implicit, cfg.Listeners, func(l *sink.Listener) { l.ImplicitTLS = true })
}

// mark changes the listeners that a flag names.
func mark(flag string, names []string, listeners []sink.Listener, change func(*sink.Listener)) error {
	for _, name := range names {
		found := false
		var known []string
		for i := range listeners {
			l := &listeners[i]
			if name == l.Name || name == l.Address {
				change(l)
				found = true
			}
			if known = append(known, l.Name); l.Name == "" {
				known[len(known)-1] = l.Address
			}
		}
		if !found {
			return fmt.Errorf("%s: unknown listener %q (--listen has: %s)", flag, name, strings.Join(known, " "))
		}
	}
	return nil
}

// serveAs gives the listener that a --serve names what it says of it.
func serveAs(text string, listeners []sink.Listener) error {
	name, settings, ok := strings.Cut(text, "={")
	if !ok || name == "" {
		return fmt.Errorf("--serve: invalid listener %q (want name={key: value}, such as 'mx={max_size: 1MiB}')", text)
	}
	service, err := plan.ParseService([]byte("{" + settings))
	if err != nil {
		return fmt.Errorf("--serve: %s: %w", name, err)
	}
	return mark("--serve", []string{name}, listeners, func(l *sink.Listener) { l.Service = service })
}

// accounts returns nil when AUTH is not offered.
func (s *security) accounts() (sasl.Accounts, error) {
	if s.any != "" {
		password, ok := strings.CutPrefix(s.any, "any:")
		switch {
		case !ok || password == "":
			return nil, fmt.Errorf("--auth: invalid account %q (want any:password)", s.any)
		case len(s.users) > 0:
			return nil, errors.New("--auth: not together with --auth-user")
		}
		return sasl.Any{Shared: password}, nil
	}
	if len(s.users) == 0 {
		return nil, nil
	}
	users := sasl.Users{}
	for _, text := range s.users {
		name, password, ok := strings.Cut(text, ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("--auth-user: invalid account %q (want name:password)", text)
		}
		if _, twice := users[name]; twice {
			return nil, fmt.Errorf("--auth-user: two passwords for %q", name)
		}
		users[name] = password
	}
	return users, nil
}

// deputies returns the accounts with those who may act as others.
func (s *security) deputies(accounts sasl.Accounts) (sasl.Accounts, error) {
	if len(s.acting) == 0 {
		return accounts, nil
	}
	as := map[string][]string{}
	for _, text := range s.acting {
		name, identity, ok := strings.Cut(text, ":")
		if !ok || name == "" || identity == "" {
			return nil, fmt.Errorf("--auth-as: invalid %q (want name:identity, or name:*)", text)
		}
		if accounts == nil {
			return nil, errors.New("--auth-as: there is no --auth or --auth-user that anybody could be")
		}
		if _, known := accounts.Password(name); !known {
			return nil, fmt.Errorf("--auth-as: unknown account %q (want one of --auth-user)", name)
		}
		as[name] = append(as[name], identity)
	}
	return sasl.Acting{Accounts: accounts, As: as}, nil
}

// authorityFile is where what clients have to trust goes, if the user wants it.
func (s *security) authorityFile() *outfile.File {
	return &outfile.File{Path: s.authority, Kind: "a certificate", Marks: []string{"-----BEGIN CERTIFICATE-----"}}
}

// checkAuthority looks whether the authority could be written, and writes nothing: the file may be that of a sink that runs.
func (s *security) checkAuthority() error {
	if s.authority == "" {
		return nil
	}
	if err := s.authorityFile().Check(); err != nil {
		return fmt.Errorf("--tls-ca: %w", err)
	}
	return nil
}

// writeAuthority writes what clients have to trust, once the server listens.
func (s *security) writeAuthority(server *sink.Server) error {
	if s.authority == "" {
		return nil
	}
	err := s.authorityFile().Write(func(w io.Writer) error {
		_, err := w.Write(server.Authority())
		return err
	})
	if err != nil {
		return fmt.Errorf("--tls-ca: %w", err)
	}
	return nil
}
