// Large attachments: few messages with megabytes each. smtp_msg_sending is how long the server takes the body, smtp_msg_waiting how long
// it then thinks. The message is built once, in the init context; a file of your own comes from open('file.pdf', 'b').
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run scripts/large-attachments.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), MEGABYTES of the attachment (5), RATE messages per second (5), DURATION (30s),
// VUS (10), CHUNKING=1 to send by BDAT.
import { check } from 'k6';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 10);

export const options = {
  scenarios: {
    large: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 5),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_msg_failed: ['rate<0.01'], smtp_msg_sending: ['p(95)<10000'] },
};

const client = new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  chunking: __ENV.CHUNKING === '1',
});
const message = new Message({
  from: 's@src.bench.test',
  to: 'n@domain1.dst.test',
  subject: 'Your file',
  html: '<p>As you wished. <img src="cid:logo"></p>',
  attachments: [
    { filename: 'file.bin', content: new Uint8Array(Number(__ENV.MEGABYTES || 5) * 1024 * 1024).buffer, contentType: 'application/octet-stream' },
  ],
  inline: [{ cid: 'logo', filename: 'logo.svg', content: '<svg xmlns="http://www.w3.org/2000/svg"/>', contentType: 'image/svg+xml' }],
});

export default async function () {
  check(await client.send(message), { 'message accepted': (r) => r.ok });
}
