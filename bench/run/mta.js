// The load of a leg through a mail transfer agent: an open loop of messages that can be followed one by one. Sender and recipient
// are unique, and the sender carries the time of sending, so that the sink behind the agent knows how long delivery took.
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS);

export const options = {
  scenarios: {
    mta: {
      executor: 'ramping-arrival-rate',
      startRate: 10,
      timeUnit: '1s',
      stages: [
        { duration: '3s', target: Number(__ENV.RATE) }, // an agent starts its processes one by one
        { duration: __ENV.DURATION, target: Number(__ENV.RATE) },
      ],
      preAllocatedVUs: vus,
      maxVUs: 4 * vus,
    },
  },
};

const client = new Client({ host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT), localName: 'generator.bench.test' });

const message = new Message({
  from: 's@src.bench.test',
  to: 'r@dst.bench.test',
  subject: 'smtpstorm through an MTA',
  size: 2048,
});

export default async function () {
  const n = exec.scenario.iterationInTest;
  await client.send(message, {
    from: `s+${__ENV.RUN}-${n}-t${Date.now()}@src.bench.test`,
    to: [`r${n}@dst${n % 5}.bench.test`],
  });
}
