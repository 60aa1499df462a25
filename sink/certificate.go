package sink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// certificates are what the sink shows in handshakes: one that is in order, and those of TLS faults, which are made when they are
// first needed. It is safe for concurrent use.
type certificates struct {
	hostname string
	now      func() time.Time
	ca       authority
	proper   tls.Certificate

	mu     sync.Mutex
	made   map[profile]*tls.Config
	config *tls.Config // of the proper one by all versions; shared, so that sessions can be resumed
}

// profile is what handshakes are done with. Each that is asked for is made once, so that sessions can be resumed.
type profile struct {
	fault    fault.TLSFault // that the certificate has; none for other faults
	versions fault.TLSVersions
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Validity of certificates that are made at start.
const (
	validBefore = time.Hour           // for clients whose clock is slow
	validAfter  = 30 * 24 * time.Hour //
)

// newCertificates makes an authority and, unless own is given, a certificate for hostname and for this machine's loopback names.
func newCertificates(hostname string, own *tls.Certificate, now func() time.Time) (*certificates, error) {
	c := &certificates{hostname: hostname, now: now, made: map[profile]*tls.Config{}}
	if hostname == "" {
		c.hostname = "localhost"
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := c.template("smtpstorm test authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.DNSNames, template.IPAddresses, template.ExtKeyUsage = nil, nil, nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c.ca = authority{parsed, key}
	if own != nil {
		c.proper = *own
	} else if c.proper, err = c.issue(c.template(c.hostname), &c.ca); err != nil {
		return nil, err
	}
	c.config = serverConfig(c.proper)
	return c, nil
}

// authorityPEM returns the certificate that a client has to trust.
func (c *certificates) authorityPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.certificate.Raw})
}

// serverConfig returns the configuration for one certificate. Old protocol versions stay allowed: it is the client that is tested.
//
// #nosec G402 -- whether a client still speaks TLS 1.0 is for the test to find out, and the mail is not real
func serverConfig(certificate tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10}
}

// template returns a certificate that is in order.
func (c *certificates) template(name string) *x509.Certificate {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	now := c.now()
	names := []string{c.hostname, "localhost"}
	t := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-validBefore), NotAfter: now.Add(validAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(c.hostname); ip != nil {
		t.IPAddresses, names = append(t.IPAddresses, ip), names[1:]
	}
	slices.Sort(names)
	t.DNSNames = slices.Compact(names)
	return t
}

// issue makes a certificate, signed by the authority, or by itself when that is nil.
func (c *certificates) issue(template *x509.Certificate, by *authority) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	if by == nil {
		by = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, &key.PublicKey, by.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if by.certificate != template {
		certificate.Certificate = append(certificate.Certificate, by.certificate.Raw)
	}
	return certificate, nil
}

// profileOf returns the configuration of a handshake with this fault, by these versions. Faulty certificates come from the sink's own
// authority, so that a client that trusts it finds nothing else wrong.
func (c *certificates) profileOf(f fault.TLSFault, v fault.TLSVersions) (*tls.Config, error) {
	switch f {
	case fault.TLSExpired, fault.TLSSelfSigned, fault.TLSWrongName:
	default:
		if f = fault.TLSNone; v == (fault.TLSVersions{}) {
			return c.config, nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := profile{f, v}
	if made, ok := c.made[key]; ok {
		return made, nil
	}
	certificate, err := c.certificateWith(f)
	if err != nil {
		return nil, err
	}
	config := serverConfig(certificate)
	config.SessionTicketsDisabled = f != fault.TLSNone // a resumed session would show no certificate
	if v != (fault.TLSVersions{}) {
		config.MinVersion, config.MaxVersion = uint16(v.Min), uint16(v.Max)
	}
	c.made[key] = config
	return config, nil
}

// certificateWith returns the proper certificate, or one with this fault.
func (c *certificates) certificateWith(f fault.TLSFault) (tls.Certificate, error) {
	if f == fault.TLSNone {
		return c.proper, nil
	}
	template, by := c.template(c.hostname), &c.ca
	switch f {
	case fault.TLSExpired:
		now := c.now()
		template.NotBefore, template.NotAfter = now.Add(-2*validAfter), now.Add(-validBefore)
	case fault.TLSSelfSigned:
		by = nil
	case fault.TLSWrongName:
		template.Subject.CommonName = "wrong.name.invalid"
		template.DNSNames, template.IPAddresses = []string{"wrong.name.invalid"}, nil
	}
	return c.issue(template, by)
}

// LoadCertificate reads a certificate chain and its key from PEM files. The error names the file that is wrong, and says so when
// both are in order but don't belong together.
//
// #nosec G304 -- the files are those that the user names on the command line or in a script's own call
func LoadCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(chain, key)
	if err == nil {
		return &certificate, nil
	}
	block, rest := pem.Decode(chain)
	for block != nil && block.Type != "CERTIFICATE" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, fmt.Errorf("%s: no certificate in PEM", certFile)
	}
	if _, parseError := x509.ParseCertificate(block.Bytes); parseError != nil {
		return nil, fmt.Errorf("%s: %w", certFile, parseError)
	}
	if privateKey(key) {
		return nil, fmt.Errorf("the certificate in %s does not match the key in %s", certFile, keyFile)
	}
	return nil, fmt.Errorf("%s: %w", keyFile, err)
}

// privateKey reports whether PEM holds a private key that can be parsed.
func privateKey(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return true
		}
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return true
		}
		if _, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return true
		}
	}
	return false
}
