// Calm: messages at a constant rate to a server that is expected to take every one of them.
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run scripts/calm.js
//   bin/k6 run --env SMTP_HOST=mx.example.net --env SMTP_PORT=25 --env RATE=50 --env DURATION=2m scripts/calm.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE messages per second (200), DURATION (30s), VUS that may be busy at
// once (50), MESSAGES after which no more are sent (no limit), SIZE of a message in octets (1024), RUN a word that keeps the addresses of two
// runs apart (1).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 50);
const run = __ENV.RUN || '1';
const messages = Number(__ENV.MESSAGES || Infinity);

export const options = {
  scenarios: {
    calm: {
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
    smtp_msg_failed: ['rate<0.001'],
    smtp_msg_waiting: ['p(95)<500'],
    dropped_iterations: ['count<1'],
  },
  summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max', 'count'],
};

// One client per VU: it connects with its first message, and keeps the connection from one iteration to the next.
const client = new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  localName: 'client.bench.test',
});

// Built once and reused: only the token, Message-ID and Date differ from one sending to the next.
const message = new Message({
  from: 'Calm <s@src.bench.test>',
  to: 'n@domain1.dst.test',
  subject: 'Calm',
  text: 'A message of the calm run.',
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
  check(result, { 'message accepted': (r) => r.ok });
}
