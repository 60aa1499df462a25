package xk6smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"

	"go.k6.io/k6/v2/lib/netext"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// errorCode numbers what can go wrong in k6/http's ranges (https://grafana.com/docs/k6/latest/javascript-api/error-codes/), so
// that one dashboard serves both: 10xx general, 11xx names, 12xx TCP, and 1000 plus the reply code for negative replies.
type errorCode int

const (
	codeGeneric         errorCode = 1000
	codeInvalidAddress  errorCode = 1020
	codeMissing         errorCode = 1021 // a message that the server has no extension for
	codeUnexpectedReply errorCode = 1030 // a positive reply where another one was due, such as 250 to DATA
	codeTimeout         errorCode = 1050 // a reply did not come in time
	codeAborted         errorCode = 1060 // the iteration ended, or the client was closed
	codeMalformedReply  errorCode = 1070 // or one that no command had asked for
	codeNoMechanism     errorCode = 1040 // the server offers no mechanism of AUTH that fits
	codeAuth            errorCode = 1041 // the client ended the exchange of AUTH
	codeDNS             errorCode = 1100
	codeNoSuchHost      errorCode = 1101
	codeBlockedIP       errorCode = 1110
	codeBlockedHost     errorCode = 1111
	codeTCP             errorCode = 1200
	codeBrokenPipe      errorCode = 1201
	codeDial            errorCode = 1210
	codeDialTimeout     errorCode = 1211
	codeDialRefused     errorCode = 1212
	codeReset           errorCode = 1220
	codeClosed          errorCode = 1230 // the server ended the connection where a reply was due
	codeTLS             errorCode = 1300
	codeTLSRecord       errorCode = 1301 // what the server said is no TLS
	codeX509Authority   errorCode = 1310
	codeX509Hostname    errorCode = 1311
	codeNoStartTLS      errorCode = 1320 // STARTTLS is required and not offered
	codeReply           errorCode = 1000 // to which the code of a negative reply is added: 1400 to 1599
)

// replyErrorCode is the number for a reply that was not expected.
func replyErrorCode(code smtp.Code) errorCode {
	if code >= 400 {
		return codeReply + errorCode(code)
	}
	return codeUnexpectedReply
}

// errorCodeOf numbers an error of package client.
func errorCodeOf(err error) errorCode {
	var (
		broken      *client.Error
		envelope    *client.EnvelopeError
		dialTimeout *client.DialTimeoutError
		malformed   *smtp.ReplySyntaxError
		blockedIP   netext.BlackListedIPError
		blockedHost netext.BlockedHostError
		dns         *net.DNSError
		op          *net.OpError
		handshake   *client.HandshakeError
		missing     *client.MissingExtensionError
	)
	if errors.As(err, &broken) && broken.Code != 0 {
		return replyErrorCode(broken.Code)
	}
	switch {
	case errors.As(err, &envelope):
		return codeInvalidAddress
	case errors.As(err, &missing):
		return codeMissing
	case errors.Is(err, client.ErrAborted):
		return codeAborted
	case errors.As(err, &dialTimeout):
		return codeDialTimeout
	case errors.Is(err, client.ErrTimeout):
		return codeTimeout
	case errors.Is(err, client.ErrConnectionClosed):
		return codeClosed
	case errors.As(err, &malformed), errors.Is(err, client.ErrUnexpectedData):
		return codeMalformedReply
	case errors.Is(err, client.ErrNoStartTLS):
		return codeNoStartTLS
	case errors.Is(err, client.ErrNoMechanism):
		return codeNoMechanism
	case errors.Is(err, client.ErrChallenge), errors.Is(err, client.ErrServerUnproven):
		return codeAuth
	case errors.As(err, &handshake):
		return handshakeErrorCode(handshake)
	case errors.As(err, &blockedIP):
		return codeBlockedIP
	case errors.As(err, &blockedHost):
		return codeBlockedHost
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return codeNoSuchHost
		}
		return codeDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return codeDialRefused
	case errors.Is(err, syscall.ECONNRESET):
		return codeReset
	case errors.Is(err, syscall.EPIPE):
		return codeBrokenPipe
	case errors.As(err, &op):
		switch {
		case op.Op == "remote error", op.Op == "local error": // crypto/tls: an alert after the handshake, as TLS 1.3 demands certificates
			return codeTLS
		case op.Op != "dial":
			return codeTCP
		case op.Timeout():
			return codeDialTimeout
		}
		return codeDial
	case isNoSuchHost(err):
		return codeNoSuchHost
	}
	return codeGeneric
}

// handshakeErrorCode tells a handshake's failures apart as k6/http does.
func handshakeErrorCode(err *client.HandshakeError) errorCode {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return codeX509Authority
	case errors.As(err, &hostname):
		return codeX509Hostname
	case errors.As(err, &record):
		return codeTLSRecord
	}
	return codeTLS
}

// isNoSuchHost recognises the one error of k6's dialer that is neither a type nor a value.
func isNoSuchHost(err error) bool {
	return strings.HasPrefix(err.Error(), "connect: lookup ") && strings.HasSuffix(err.Error(), ": no such host")
}
