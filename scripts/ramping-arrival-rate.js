// Ramping arrival rate: messages come faster and faster up to RATE per second, stay there, and come to an end. Look where
// smtp_msg_waiting begins to rise and where dropped_iterations begin: the rate before is what the server can take. A dropped iteration
// is a message for which no VU was free, so that the generator, not the server, set the pace; give it more VUS then.
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run scripts/ramping-arrival-rate.js
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE at the top (500), DURATION of each of the three stages (20s), VUS (100).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 100);
const rate = Number(__ENV.RATE || 500);
const duration = __ENV.DURATION || '20s';

export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-arrival-rate',
      startRate: 1,
      timeUnit: '1s',
      preAllocatedVUs: vus,
      maxVUs: vus,
      stages: [
        { target: rate, duration },
        { target: rate, duration },
        { target: 0, duration },
      ],
    },
  },
  thresholds: { smtp_msg_failed: ['rate<0.01'], dropped_iterations: ['count>=0'] }, // the second shows the count in the summary
};

const client = new Client({ host: __ENV.SMTP_HOST || '127.0.0.1', port: Number(__ENV.SMTP_PORT || 2525) });
const message = new Message({ from: 's@src.bench.test', to: 'n@domain1.dst.test', subject: 'Ramp', text: 'A message of the ramp.', size: 1024 });

export default async function () {
  const n = exec.scenario.iterationInTest;
  const result = await client.send(message, { from: `s+${n}@src.bench.test`, to: `${n}@domain${1 + (n % 5)}.dst.test` });
  check(result, { 'message accepted': (r) => r.ok });
}
