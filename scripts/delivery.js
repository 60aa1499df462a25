// End-to-end delivery: each iteration submits a message to the mail server under test and waits until it has arrived at the sink, which runs
// within k6 and is where that server delivers to. smtp_delivery_duration is the whole way, the server's queue and retries included; a
// threshold judges its 95th percentile, and k6 ends with status 99 when it is crossed. Without SMTP_HOST the script submits to the sink
// itself, which shows the least that a way can take.
//
//   bin/k6 run scripts/delivery.js
//   postconf -e 'transport_maps = inline:{dst.test=smtp:[127.0.0.1]:2526}' && postfix reload     # in a Postfix for tests: dst.test goes to the sink
//   bin/k6 run --env SMTP_HOST=127.0.0.1 --env SMTP_PORT=25 --env SINK_LISTEN=127.0.0.1:2526 --env DEFER=0.3 scripts/delivery.js
//
// Environment: SMTP_HOST, SMTP_PORT (25), SINK_LISTEN (127.0.0.1:0, any free port), DEFER the share of attempts that the sink defers with
// 451 (0): your server has to try them again, so give it TIMEOUT; RATE messages per second (10), DURATION (30s), TIMEOUT of a delivery (60s),
// MAX_P95 milliseconds (30000), VUS, each of which waits for one message (RATE x 10).
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';

const rate = Number(__ENV.RATE || 10);
const vus = Number(__ENV.VUS || 10 * rate);
const defer = Math.round(Number(__ENV.DEFER || 0) * 100);

export const options = {
  scenarios: {
    delivery: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: { smtp_delivery_duration: [`p(95)<${Number(__ENV.MAX_P95 || 30000)}`], checks: ['rate>0.99'], dropped_iterations: ['count<1'] },
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
