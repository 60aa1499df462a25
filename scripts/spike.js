// Spike: a calm, then of a sudden many times the load, then a calm again. With few VUs the generator can't keep the rate in the spike, and k6
// counts what it did not start as dropped_iterations. Don't trust the percentiles of such a run: they leave out the messages that were never
// sent. With d dropped iterations beside n completed ones, every percentile above n/(n+d) is unknown: smtpbench prints it as "> max".
//
//   bin/smtpsink --listen 127.0.0.1:2525 --delay message=50ms &
//   bin/k6 run -o smtpstorm=spike.json scripts/spike.js      # dropped_iterations: some 4,000 of the spike's 5,000 messages
//   bin/smtpbench report spike.json
//   bin/k6 run --env VUS=300 scripts/spike.js                # enough clients: few are dropped, or none
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE in the calm (20), FACTOR of the spike (50), DURATION of each calm (10s),
// SPIKE duration of the spike (5s), VUS (10).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 10);
const rate = Number(__ENV.RATE || 20);
const peak = rate * Number(__ENV.FACTOR || 50);
const duration = __ENV.DURATION || '10s';

export const options = {
  scenarios: {
    spike: {
      executor: 'ramping-arrival-rate',
      startRate: rate,
      timeUnit: '1s',
      preAllocatedVUs: vus,
      maxVUs: vus,
      stages: [
        { target: rate, duration },
        { target: peak, duration: '0s' },
        { target: peak, duration: __ENV.SPIKE || '5s' },
        { target: rate, duration: '0s' },
        { target: rate, duration },
      ],
    },
  },
  thresholds: { smtp_msg_failed: ['rate<0.01'], dropped_iterations: ['count>=0'] }, // the second shows the count in the summary
};

const client = new Client({ host: __ENV.SMTP_HOST || '127.0.0.1', port: Number(__ENV.SMTP_PORT || 2525) });
const message = new Message({ from: 's@src.bench.test', to: 'n@domain1.dst.test', subject: 'Spike', text: 'A message of the spike.', size: 1024 });

export default async function () {
  const n = exec.scenario.iterationInTest;
  const result = await client.send(message, { from: `s+${n}@src.bench.test`, to: `${n}@domain${1 + (n % 5)}.dst.test` });
  check(result, { 'message accepted': (r) => r.ok });
}
