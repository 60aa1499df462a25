// Bounce storm: the same load against a server that bounces, defers and hangs up. What counts is that every command is answered,
// how long the answers take, and that failures stay within what the storm's plan says.
//
//   bin/smtpsink --listen 127.0.0.1:2525 --plan scripts/plans/bounce-storm.yaml &
//   bin/k6 run scripts/bounce-storm.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE messages per second (200), DURATION (30s), VUS that may be busy at
// once (50), MESSAGES after which no more are sent (no limit), SIZE of a message in octets (1024), RUN a word that keeps the addresses of two
// runs apart (1), MAX_FAILED the share of messages that may fail (0.35).
import { check } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 50);
const run = __ENV.RUN || '1';
const messages = Number(__ENV.MESSAGES || Infinity);

export const options = {
  scenarios: {
    storm: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 200),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
      gracefulStop: '30s',
    },
  },
  thresholds: {
    smtp_msg_failed: [`rate<${Number(__ENV.MAX_FAILED || 0.35)}`],
    smtp_msg_duration: ['p(95)<5000'],
    smtp_errors: ['count<1'], // a reply that never came: a bounce is an answer, silence is none
  },
  summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
};

// What a sender has to do with a message that was not accepted: give up, or try again later.
const bounced = new Counter('mail_bounced');
const deferred = new Counter('mail_deferred');

// After a 421 the client closes the connection, and opens another one for the next message.
const client = new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  localName: 'client.bench.test',
});

const message = new Message({
  from: 'Storm <s@src.bench.test>',
  to: 'n@domain1.dst.test',
  subject: 'Bounce storm',
  text: 'A message of the bounce storm.',
  size: Number(__ENV.SIZE || 1024),
});

export default async function () {
  // Sender (VERP) and recipient are unique to each message, so that a server's random draws are all different ones.
  const n = exec.scenario.iterationInTest;
  if (n >= messages) {
    return;
  }
  const result = await client.send(message, {
    from: `s+${run}-${n}@src.bench.test`,
    to: `${n}@domain${1 + (n % 5)}.dst.test`,
  });
  check(result, {
    'message was answered': (r) => r.code > 0,
    'a failure names its phase and code': (r) => r.ok || (r.phase.length > 0 && r.errorCode >= 1000),
  });
  if (result.code >= 500) {
    bounced.add(1);
  } else if (result.code >= 400) {
    deferred.add(1);
  }
}
