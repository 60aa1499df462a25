// AUTH storm: many clients that authenticate at once, a share of them with a wrong password, as when an attacker tries a list.
// smtp_conn_auth is how long an answer takes; smtp_replies{phase:auth} tells 235 and 535 apart. Without SMTP_HOST the script runs a sink
// of its own within k6, where ann has the password secret.
//
//   bin/k6 run scripts/auth-storm.js
//
// Environment: SMTP_HOST, SMTP_PORT (25), SMTP_USER (ann), SMTP_PASSWORD (secret), MECHANISM (the best offered), WRONG the share of wrong
// passwords (0.2), RATE connections per second (20), DURATION (30s), VUS (20).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';

/** @type {any} */
const mechanism = __ENV.MECHANISM || undefined;
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
  thresholds: {
    smtp_conn_auth: ['p(95)<1000'],
    'smtp_replies{phase:auth,code:235}': ['count>0'],
    'smtp_replies{phase:auth,code:535}': ['count>=0'], // always kept: it shows the count in the summary
  },
};

export async function setup() {
  if (__ENV.SMTP_HOST) {
    return { host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT || 25), id: '', ca: '' };
  }
  return Sink.start(null, { auth: { ann: 'secret' } });
}

/** @param {{host: string, port: number, id: string, ca: string}} target */
export default async function (target) {
  const n = exec.scenario.iterationInTest;
  const wrong = Number(__ENV.WRONG || 0.2);
  const right = Math.floor((n + 1) * wrong) === Math.floor(n * wrong); // every fifth is wrong, in each run the same ones
  const client = new Client({
    host: target.host,
    port: target.port,
    auth: { user: __ENV.SMTP_USER || 'ann', password: right ? __ENV.SMTP_PASSWORD || 'secret' : 'guessed', mechanism },
  });
  const result = await client.connect();
  check(result, { 'right password accepted, wrong one refused': (r) => r.ok === right && (right || r.code === 535) });
  await client.quit();
}

/** @param {{host: string, port: number, id: string, ca: string}} target */
export async function teardown(target) {
  if (target.id) {
    await Sink.attach(target).stop();
  }
}
