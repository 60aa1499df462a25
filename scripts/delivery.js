// End-to-end delivery: the sink runs within k6 and is where the mail server under test delivers to; each iteration submits a message to that
// server and waits until it has arrived. smtp_delivery_duration is the whole way, retries included, and a threshold judges it. Have your
// server route dst.test to SINK_LISTEN. Without SMTP_HOST the script submits to the sink itself, which shows the least a way can take.
//
//   bin/k6 run --env SMTP_HOST=mta.example.net --env SMTP_PORT=25 --env SINK_LISTEN=0.0.0.0:2526 scripts/delivery.js
//
// Environment: SMTP_HOST, SMTP_PORT (25), SINK_LISTEN (127.0.0.1:0, any free port), DEFER the share of recipients that the sink defers at
// the first attempts (0), RATE messages per second (10), DURATION (30s), TIMEOUT of a delivery (60s), VUS (50).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';

const vus = Number(__ENV.VUS || 50);
const defer = Math.round(Number(__ENV.DEFER || 0) * 100);

export const options = {
  scenarios: {
    delivery: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 10),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_delivery_duration: ['p(95)<30000'], checks: ['rate>0.99'] },
};

const message = new Message({ from: 's@src.bench.test', to: 'n@dst.test', subject: 'End to end', text: 'On its way.' });
/** @type {Client | undefined} */
let client;

export async function setup() {
  return Sink.start(defer > 0 ? { reply: `rcpt=250:${100 - defer},451/4.3.0:${defer}` } : null, { listen: __ENV.SINK_LISTEN || '127.0.0.1:0' });
}

/** @param {import('k6/x/smtp/sink').SinkData} data */
export default async function (data) {
  client = client || new Client({ host: __ENV.SMTP_HOST || data.host, port: __ENV.SMTP_HOST ? Number(__ENV.SMTP_PORT || 25) : data.port });
  const n = exec.scenario.iterationInTest;
  const sent = await client.send(message, { from: `s+${n}@src.bench.test`, to: `${n}@dst.test` });
  if (!check(sent, { submitted: (r) => r.ok })) {
    return;
  }
  const delivery = await Sink.attach(data).waitFor(sent.token, { timeout: __ENV.TIMEOUT || '60s' });
  check(delivery, { delivered: (d) => d.ok, 'after one attempt or more': (d) => d.attempts >= 1 });
}

/** @param {import('k6/x/smtp/sink').SinkData} data */
export async function teardown(data) {
  await Sink.attach(data).stop();
}
