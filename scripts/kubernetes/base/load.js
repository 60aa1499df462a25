// The load of a TestRun. k6-operator splits it into execution segments: RATE and MESSAGES are of all runners together.
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const rate = Number(__ENV.RATE || 1000);
const duration = __ENV.DURATION || '5m';

export const options = {
  scenarios: { load: { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, preAllocatedVUs: 100, maxVUs: 1000 } },
  thresholds: { dropped_iterations: ['count<1'], smtp_messages: ['count>0'] },
};

const client = new Client({ host: __ENV.SMTP_HOST || '127.0.0.1', port: Number(__ENV.SMTP_PORT || 2525) });

export default async function () {
  const n = exec.scenario.iterationInTest; // unique among all runners
  await client.send(new Message({ from: `s${n}@src.test`, to: `r${n}@dst.test`, size: 1024 }));
}
