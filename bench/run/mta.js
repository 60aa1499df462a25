// The load of a leg through a mail transfer agent: an open loop of messages that can be followed one by one. Sender, recipient and body
// are unique: only so it shows when the agent delivers the body of one message in the envelope of another.
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';

const vus = Number(__ENV.VUS);
const rate = Number(__ENV.RATE);
const steady = { duration: __ENV.STEADY, target: rate };
const rise = { duration: __ENV.RAMP, target: rate }; // an agent starts its processes one by one

export const options = {
  scenarios: {
    mta: {
      executor: 'ramping-arrival-rate',
      startRate: __ENV.RAMP === '0s' ? rate : Number(__ENV.START),
      timeUnit: '1s',
      stages: __ENV.RAMP === '0s' ? [steady] : [rise, steady],
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
};

const client = new Client({ host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT), localName: 'generator.bench.test' });

const message = new Message({
  from: 's@src.bench.test',
  to: 'r@dst.bench.test',
  subject: 'smtpstorm through an MTA',
  text: 'Message {{id}}\r\n' + ('x'.repeat(70) + '\r\n').repeat(22), // about 2 KiB with its header
  fields: { id: '' },
});

export default async function () {
  const n = exec.scenario.iterationInTest;
  if (n >= Number(__ENV.MESSAGES)) {
    return;
  }
  await client.send(message, {
    from: `s+${__ENV.RUN}-${n}@src.bench.test`,
    to: [`r${n}@dst${n % 5}.bench.test`],
    fields: { id: `${__ENV.RUN}-${n}` },
  });
}
