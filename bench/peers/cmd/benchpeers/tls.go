package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// secured is a workload of STARTTLS sessions, on the sink and on a plain Go TLS server with the same certificate.
func secured(name, title string, sessions int, resume bool) workload {
	return workload{name: name, title: title, unit: "sessions per CPU second",
		kinds: func(p *programs, found []kind) []kind {
			cert, key := p.certificate, p.certificateKey
			withTLS := func(q programs) func(addr string) []string {
				return func(addr string) []string {
					return q.sinkArgs(addr, "--tls", "always", "--tls-cert", cert, "--tls-key", key)
				}
			}
			kinds := pick(found, []string{nameSink, nameBefore})
			for i := range kinds {
				q := *p
				if kinds[i].name == nameBefore {
					q.sink = p.before
				}
				kinds[i].argv = withTLS(q)
			}
			return append(kinds, kind{name: nameGoTLS, share: 1, argv: func(addr string) []string { return []string{p.peer, nameGoTLS, addr, cert, key} }})
		},
		measure: func(h *harness, ctx context.Context, _ *kind, p *process) (sample, error) {
			spec := loadSpec{Addr: p.addr, Conns: 20, Messages: h.scaled(sessions), Size: kib, TLS: true, Resume: resume}
			s, res, err := h.load(ctx, p, spec)
			if err == nil && resume != (res.Resumed >= spec.Messages-spec.Conns) {
				err = fmt.Errorf("%d of %d sessions were resumed", res.Resumed, spec.Messages)
			}
			s.More = map[string]float64{"resumed": float64(res.Resumed)}
			return s, err
		}}
}

// makeCertificate writes a certificate for localhost, and its key, into dir.
func makeCertificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}
