package conn

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
)

// channel is a TLS connection as authentication is bound to it. What it is bound by is computed when it is asked for.
type channel struct {
	conn   *tls.Conn
	config *tls.Config
}

// Binding implements session.Channel.
func (c *channel) Binding(kind string) []byte {
	state := c.conn.ConnectionState()
	switch kind {
	case "tls-exporter": // RFC 9266; of TLS 1.2 only where the handshake had an extended master secret
		data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err == nil {
			return data
		}
	case "tls-unique": // RFC 5929 section 3; TLS 1.3 has none
		return state.TLSUnique
	case "tls-server-end-point":
		return endPoint(c.config)
	}
	return nil
}

// endPoint returns the hash of the server's certificate (RFC 5929 section 4.1); nil: its signature names no hash.
func endPoint(config *tls.Config) []byte {
	if len(config.Certificates) == 0 || len(config.Certificates[0].Certificate) == 0 {
		return nil
	}
	certificate, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		return nil
	}
	hash := crypto.SHA256 // also in the place of MD5 and SHA-1
	switch certificate.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return nil
	}
	h := hash.New()
	_, _ = h.Write(certificate.Raw) // it never fails
	return h.Sum(nil)
}
