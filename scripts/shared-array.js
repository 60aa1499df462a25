// Recipients from a SharedArray: one copy of a long list for all VUs, and each message with the name and the order of its recipient filled
// into a message that was built once. A list of your own comes from JSON.parse(open('recipients.json')) within the SharedArray's function.
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run scripts/shared-array.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE messages per second (100), DURATION (30s), VUS (20).
import { check } from 'k6';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 20);

export const options = {
  scenarios: {
    list: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 100),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_msg_failed: ['rate<0.001'] },
};

const recipients = new SharedArray('recipients', () =>
  Array.from({ length: 10000 }, (_, i) => ({ address: `user${i}@domain${1 + (i % 5)}.dst.test`, name: `User ${i}`, order: i })),
);
const client = new Client({ host: __ENV.SMTP_HOST || '127.0.0.1', port: Number(__ENV.SMTP_PORT || 2525) });
const message = new Message({
  from: 'Shop <s@src.bench.test>',
  subject: 'Your order {{order}}',
  text: 'Dear {{name}},\nyour order {{order}} is on its way.\n',
  fields: { name: 'customer', order: 0 },
});

export default async function () {
  const recipient = recipients[exec.scenario.iterationInTest % recipients.length];
  const result = await client.send(message, { to: recipient.address, fields: { name: recipient.name, order: recipient.order } });
  check(result, { 'message accepted': (r) => r.ok });
}
