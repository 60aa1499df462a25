package xk6smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// certificate makes a certificate for mx.test and 127.0.0.1 that signed itself, with both of its PEM files.
func certificate(t testing.TB) (pair tls.Certificate, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, DNSNames: []string{"mx.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	if pair, err = tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

// encrypted is a VU beside a server that offers STARTTLS.
func encrypted(t *testing.T, prepare ...func(*fakeServer)) (*vu, *fakeServer) {
	t.Helper()
	pair, cert, key := certificate(t)
	withTLS := func(s *fakeServer) {
		s.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	server := newFakeServer(t, nil, append([]func(*fakeServer){withTLS, offering("STARTTLS")}, prepare...)...)
	return newVU(t).activate().global("PORT", server.port()).global("CERT", cert).global("KEY", key), server
}

func TestTLSModes(t *testing.T) {
	for _, test := range []struct {
		name, options, want string
		implicit            bool
	}{
		{"starttls", "tls: 'starttls', tlsOptions: {ca: CERT}", "true|tls1.3||0|", false},
		{"required", "tls: 'required', tlsOptions: {ca: CERT, serverName: 'mx.test'}", "true|tls1.3|mx.test|0|", false},
		{"implicit", "tls: 'implicit', tlsOptions: {ca: CERT, minVersion: 'tls1.3'}", "true|tls1.3||0|", true},
		{"none", "tls: 'none'", "true|||0|", false},
		{"nobody vouches for it", "tls: 'starttls'", "false|||1310|starttls", false},
		{"verification skipped", "tls: 'starttls', tlsOptions: {insecureSkipTLSVerify: true}", "true|tls1.3||0|", false},
		{"wrong name", "tls: 'implicit', tlsOptions: {ca: CERT, serverName: 'other.test'}", "false|||1311|connect", true},
		{"plaintext where TLS is due", "tls: 'implicit', tlsOptions: {ca: CERT}", "false|||1301|connect", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, _ := encrypted(t, func(s *fakeServer) { s.implicit = test.implicit })
			got := v.run(`
				const client = new Client({host: '127.0.0.1', port: PORT, timeout: '5s', ` + test.options + `});
				const r = await client.connect();
				const again = r.ok ? await client.send(new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'})) : {ok: false};
				return [r.ok && again.ok, r.tls ? r.tls.version : '', r.tls ? r.tls.serverName : '', r.errorCode, r.ok ? '' : r.phase].join('|')`)
			if got != test.want {
				t.Errorf("got %s, expected %s", got, test.want)
			}
			_, sums := v.collected()
			handshakes := slices.Contains(trends(sums), "smtp_conn_tls_handshaking")
			if handshakes != strings.Contains(test.want, "tls1.") {
				t.Errorf("trends %q", trends(sums))
			}
		})
	}
}

func TestOneTLSConnectionServesManyMessages(t *testing.T) {
	v, server := encrypted(t)
	got := v.run(`
		const client = new Client({host: '127.0.0.1', port: PORT, tls: 'required', tlsOptions: {ca: CERT}});
		const message = new Message({from: 'a@src.test', to: 'b@dst.test', text: 'x'});
		const ok = [];
		for (let i = 0; i < 3; i++) ok.push((await client.send(message)).ok);
		ok.push((await client.quit()).code);
		return ok.join()`)
	if got != "true,true,true,221" || server.accepted != 1 {
		t.Errorf("%s over %d connections: session tickets must not be taken for an unasked-for reply", got, server.accepted)
	}
}

func TestClientCertificate(t *testing.T) {
	v, _ := encrypted(t, func(s *fakeServer) { s.tls.ClientAuth = tls.RequireAnyClientCert })
	got := v.run(`
		const options = {host: '127.0.0.1', port: PORT, tls: 'required', timeout: '5s'};
		const without = await new Client({...options, tlsOptions: {ca: CERT}}).connect();
		const having = await new Client({...options, tlsOptions: {ca: CERT, cert: CERT, key: KEY}}).connect();
		return [without.ok, without.errorCode, having.ok, having.tls.version].join()`)
	if got != "false,1300,true,tls1.3" {
		t.Error(got)
	}
}

func TestSessionsAreResumed(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		v, _ := encrypted(t, func(s *fakeServer) { s.tls.MinVersion, s.tls.MaxVersion = version, version })
		got := v.run(`
			const resumed = [];
			for (const tlsOptions of [{ca: CERT}, {ca: CERT, resumption: false}, {ca: CERT, resumption: true}]) {
				const client = new Client({host: '127.0.0.1', port: PORT, tls: 'required', tlsOptions});
				for (let i = 0; i < 3; i++) {
					resumed.push((await client.connect()).tls.resumed);
					await client.quit();
				}
			}
			return resumed.join()`)
		if want := "false,true,true,false,false,false,false,true,true"; got != want {
			t.Errorf("%s: resumed %s, expected %s", tls.VersionName(version), got, want)
		}
	}
}

func TestK6sTLSOptionsHoldBelow(t *testing.T) {
	v, _ := encrypted(t)
	base := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	v.rt.VU.StateField.TLSConfig = base
	got := v.run(`
		const r = await new Client({host: '127.0.0.1', port: PORT, tls: 'required'}).connect();
		const strict = await new Client({host: '127.0.0.1', port: PORT, tls: 'required', tlsOptions: {insecureSkipTLSVerify: false}}).connect();
		return [r.ok, r.tls.version, strict.errorCode].join()`)
	if got != "true,tls1.2,1310" {
		t.Error(got)
	}
	if !base.InsecureSkipVerify || base.ServerName != "" {
		t.Error("k6's own options were changed")
	}
}

func TestAuthOption(t *testing.T) {
	server := newFakeServer(t, func(_ int, line string) string {
		if strings.HasSuffix(line, "AGJvYgB3cm9uZw==") {
			return "535 5.7.8 no"
		}
		return ""
	}, offering("AUTH PLAIN LOGIN"))
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`
		const options = {host: '127.0.0.1', port: PORT};
		const good = await new Client({...options, auth: {user: 'ann', password: 'secret'}}).connect();
		const bad = await new Client({...options, auth: {user: 'bob', password: 'wrong', mechanism: 'PLAIN'}}).connect();
		const none = await new Client({...options, auth: {user: 'ann', password: 'secret'}}).auth({user: 'bob', password: 'wrong', mechanism: 'PLAIN'});
		return [good.ok, good.code, good.phase, good.timings.auth > 0, bad.ok, bad.errorCode, bad.phase, none.ok, none.code, none.enhancedCode].join()`)
	if want := "true,235,auth,true,false,1535,auth,false,535,5.7.8"; got != want {
		t.Errorf("got %s\nexpected %s", got, want)
	}
	_, sums := v.collected()
	if sums["smtp_replies{code:235,enhanced:2.7.0,phase:auth}"] != 1 || sums["smtp_replies{code:535,enhanced:5.7.8,phase:auth}"] != 2 || sums["smtp_conn_failed"] != 1 {
		t.Errorf("counts %q", counts(sums))
	}
	if _, ok := sums["smtp_conn_auth"]; !ok {
		t.Errorf("trends %q", trends(sums))
	}
}

func TestNoMechanismFits(t *testing.T) {
	server := newFakeServer(t, nil)
	v := newVU(t).activate().global("PORT", server.port())
	got := v.run(`const r = await new Client({host: '127.0.0.1', port: PORT, auth: {user: 'a', password: 'b'}}).connect(); return [r.ok, r.errorCode, r.phase].join()`)
	if got != "false,1040,auth" {
		t.Error(got)
	}
}
