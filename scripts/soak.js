// Soak: a moderate load for hours, to find what leaks, fills up or slows down. Phase trends are switched off, so that k6 keeps one
// duration per message instead of seven and its memory lasts; connections are renewed every 1,000 messages, as a real sender's are. Use
// -o smtpstorm=soak.json for a record whose size does not depend on the duration.
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run -o smtpstorm=soak.json scripts/soak.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE messages per second (50), DURATION (4h), VUS (20).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 20);

export const options = {
  scenarios: {
    soak: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 50),
      timeUnit: '1s',
      duration: __ENV.DURATION || '4h',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_msg_failed: ['rate<0.001'], smtp_msg_duration: ['p(99)<1000'], smtp_errors: ['count<1'] },
};

const client = new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  messagesPerConnection: 1000,
  phaseTrends: false,
});
const message = new Message({ from: 's@src.bench.test', to: 'n@domain1.dst.test', subject: 'Soak', text: 'A message of the soak.', size: 4096 });

export default async function () {
  const n = exec.scenario.iterationInTest;
  const result = await client.send(message, { from: `s+${n}@src.bench.test`, to: `${n}@domain${1 + (n % 5)}.dst.test` });
  check(result, { 'message accepted': (r) => r.ok });
}
