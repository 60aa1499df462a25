// Connection churn: a new connection for every message, closed by QUIT, as many small senders behave. What counts is what a connection
// costs: smtp_conn_connecting, smtp_conn_banner and smtp_conn_ehlo. Since every connection quits within its iteration, data_sent and
// data_received are exact to the byte.
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run scripts/connection-churn.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE connections per second (100), DURATION (30s), VUS (50).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 50);

export const options = {
  scenarios: {
    churn: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 100),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_conn_failed: ['rate<0.001'], smtp_conn_banner: ['p(95)<500'] },
};

const client = new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  messagesPerConnection: 1,
});
const message = new Message({ from: 's@src.bench.test', to: 'n@domain1.dst.test', subject: 'Churn', text: 'One message, one connection.' });

export default async function () {
  const n = exec.scenario.iterationInTest;
  const result = await client.send(message, { from: `s+${n}@src.bench.test`, to: `${n}@domain${1 + (n % 5)}.dst.test` });
  check(result, { 'message accepted': (r) => r.ok });
}
