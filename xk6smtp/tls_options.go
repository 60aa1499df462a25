package xk6smtp

import (
	"crypto/tls"
	"crypto/x509"
	"slices"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// tlsOptions is what a client's tlsOptions change in k6's own TLS options.
type tlsOptions struct {
	roots       *x509.CertPool   // nil: k6's, which are the system's
	certificate *tls.Certificate // nil: k6's tlsAuth
	serverName  string
	minVersion  uint16
	skipVerify  *bool
	fullOnly    bool // no session is resumed
}

// sessionsKept is how many of a server's tickets a client keeps: it has one connection at a time.
const sessionsKept = 4

// over returns k6's options with these laid over them.
func (o *tlsOptions) over(base *tls.Config) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		config = base.Clone()
	}
	config.NextProtos = nil // SMTP has no ALPN protocol
	if config.ClientSessionCache = nil; !o.fullOnly {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	}
	if o.roots != nil {
		config.RootCAs = o.roots
	}
	if o.certificate != nil {
		config.Certificates = []tls.Certificate{*o.certificate}
	}
	if o.serverName != "" {
		config.ServerName = o.serverName
	}
	if o.minVersion != 0 {
		config.MinVersion = o.minVersion
		if config.MaxVersion != 0 {
			config.MaxVersion = max(config.MaxVersion, o.minVersion)
		}
	}
	if o.skipVerify != nil {
		config.InsecureSkipVerify = *o.skipVerify
	}
	return config
}

// tlsVersions are the names that k6's own option tlsVersion has.
var tlsVersions = map[string]uint16{
	"tls1.0": tls.VersionTLS10, "tls1.1": tls.VersionTLS11, "tls1.2": tls.VersionTLS12, "tls1.3": tls.VersionTLS13,
}

// parseTLSMode reads the option tls.
func parseTLSMode(v option) (client.TLSMode, error) {
	const want = `"none", "starttls", "required" or "implicit"`
	name, err := v.string()
	if err != nil {
		return 0, v.fail(want)
	}
	mode, err := client.ParseTLSMode(name)
	if err != nil {
		return 0, v.fail(want)
	}
	return mode, nil
}

// parseTLSOptions reads the option tlsOptions.
func parseTLSOptions(v option) (*tlsOptions, error) {
	o := &tlsOptions{}
	owner := v.owner + ": " + v.key
	var cert, key []byte
	err := parseOptions(v.rt, owner, v.value, map[string]parser{
		"ca": func(v option) error {
			pem, err := v.bytes()
			if err != nil {
				return err
			}
			o.roots = x509.NewCertPool()
			if !o.roots.AppendCertsFromPEM(pem) {
				return &optionError{v.owner, v.key, "holds no certificate in PEM"}
			}
			return nil
		},
		"cert": func(v option) (err error) {
			cert, err = v.bytes()
			return err
		},
		"key": func(v option) (err error) {
			key, err = v.bytes()
			return err
		},
		"serverName": func(v option) (err error) {
			o.serverName, err = v.string()
			return err
		},
		"minVersion": func(v option) error {
			name, err := v.string()
			version, ok := tlsVersions[name]
			if err != nil || !ok {
				return v.fail(`"tls1.0", "tls1.1", "tls1.2" or "tls1.3"`)
			}
			o.minVersion = version
			return nil
		},
		"resumption": func(v option) error {
			wanted, err := v.bool()
			o.fullOnly = !wanted
			return err
		},
		"insecureSkipTLSVerify": func(v option) error {
			skip, err := v.bool()
			o.skipVerify = &skip
			return err
		},
	})
	switch {
	case err != nil:
		return nil, err
	case (cert == nil) != (key == nil):
		return nil, &optionError{owner, "cert", "and key are wanted together"}
	case cert != nil:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, &optionError{owner, "cert", "and key don't fit: " + err.Error()}
		}
		o.certificate = &pair
	}
	return o, nil
}

// tlsInfo is the encryption of a connection as scripts see it.
type tlsInfo struct {
	Version     string `js:"version"`
	CipherSuite string `js:"cipherSuite"`
	ServerName  string `js:"serverName"`
	Resumed     bool   `js:"resumed"`
}

// newTLSInfo returns nil for a connection in plaintext, and for none.
func newTLSInfo(conn *client.Conn) *tlsInfo {
	if conn == nil {
		return nil
	}
	state, ok := conn.TLS()
	if !ok {
		return nil
	}
	info := &tlsInfo{CipherSuite: tls.CipherSuiteName(state.CipherSuite), ServerName: state.ServerName, Resumed: state.DidResume}
	for name, version := range tlsVersions {
		if version == state.Version {
			info.Version = name
		}
	}
	return info
}

// parseAuth reads a user, a password and a mechanism.
func parseAuth(v option) (*client.Credentials, error) {
	owner := v.owner
	if v.key != "" {
		owner += ": " + v.key
	}
	var user, password, mechanism string
	given := map[string]bool{}
	text := func(into *string) parser {
		return func(v option) (err error) {
			given[v.key] = true
			*into, err = v.string()
			return err
		}
	}
	err := parseOptions(v.rt, owner, v.value, map[string]parser{"user": text(&user), "password": text(&password), "mechanism": func(v option) error {
		name, err := v.string()
		if err != nil {
			return err
		}
		if !slices.Contains(client.Mechanisms(), name) {
			return v.fail("one of PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2")
		}
		mechanism = name
		return nil
	}})
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"user", "password"} {
		if !given[key] {
			return nil, &optionError{owner, key, "is required"}
		}
	}
	credentials, err := client.NewCredentials(mechanism, user, password)
	if err != nil {
		return nil, &optionError{owner: owner, problem: err.Error()}
	}
	return credentials, nil
}
