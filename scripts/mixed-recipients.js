// Mixed recipients: messages to several recipients of which some are refused, as with mailing lists. A message fails when any recipient
// has no expected final reply; smtp_recipients{expected_response} counts each of them. Here replies of 550 to RCPT are expected, since the
// list is known to hold old addresses.
//
//   bin/smtpsink --listen 127.0.0.1:2525 --reply rcpt=250:90,550/5.1.1:10 &
//   bin/k6 run scripts/mixed-recipients.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RECIPIENTS of a message (10), RATE messages per second (50), DURATION (30s),
// VUS (50).
import { check } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { Client, Message, expectedReplies } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 50);

export const options = {
  scenarios: {
    mixed: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 50),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_msg_failed: ['rate<0.01'] },
};

const refused = new Counter('recipients_refused');
const client = new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  expectedReplies: expectedReplies({ min: 200, max: 299 }, 550),
});
const message = new Message({ from: 's@src.bench.test', subject: 'To all', text: 'A message to several recipients.' });

export default async function () {
  const n = exec.scenario.iterationInTest;
  const to = Array.from({ length: Number(__ENV.RECIPIENTS || 10) }, (_, i) => `${n}-${i}@domain${1 + (i % 5)}.dst.test`);
  const result = await client.send(message, { from: `s+${n}@src.bench.test`, to });
  check(result, { 'every recipient has an answer': (r) => r.recipients.every((one) => one.code > 0) });
  refused.add(result.recipients.filter((one) => one.code === 550).length);
}
