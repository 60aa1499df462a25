// TLS handshakes: a new connection with STARTTLS for every message, each with a full handshake. smtp_conn_tls_handshaking is its cost, and
// the processor of both sides is what it uses up. Without SMTP_HOST the script runs a sink of its own within k6, and trusts the
// certificate which that has made.
//
//   bin/k6 run scripts/tls-handshakes.js
//
// Environment: SMTP_HOST, SMTP_PORT (25), TLS the mode (required), RATE connections per second (20), DURATION (30s), VUS (20).
import { check } from 'k6';
import { Client } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';

/** @type {any} */
const tls = __ENV.TLS || 'required';
const vus = Number(__ENV.VUS || 20);

export const options = {
  scenarios: {
    storm: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 20),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_conn_failed: ['rate<0.01'], smtp_conn_tls_handshaking: ['p(95)<1000'] },
};

export async function setup() {
  if (__ENV.SMTP_HOST) {
    return { host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT || 25), id: '', ca: '' };
  }
  return Sink.start(null, { tls: 'always' });
}

/** @param {{host: string, port: number, id: string, ca: string}} target */
export default async function (target) {
  const client = new Client({
    host: target.host,
    port: target.port,
    tls,
    tlsOptions: __ENV.SMTP_HOST ? { insecureSkipTLSVerify: true } : { ca: target.ca },
  });
  const result = await client.connect();
  check(result, { 'encrypted': (r) => r.tls !== null });
  await client.quit();
}

/** @param {{host: string, port: number, id: string, ca: string}} target */
export async function teardown(target) {
  if (target.id) {
    await Sink.attach(target).stop();
  }
}
