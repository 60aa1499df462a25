// Thresholds for CI: a run of seconds that needs nothing but this file. A sink within k6 defers a few messages; the thresholds say
// what is still good, per reply code and per phase, and k6 ends with status 99 when one is crossed, which fails the job. Put your own
// server's address into SMTP_HOST to judge that instead.
//
// The load is a number of messages and not a rate: on a busy CI machine a run takes longer and means the same, where a rate would drop
// iterations, and fail a job for the machine's sake.
//
//   bin/k6 run scripts/ci-thresholds.js
//
// Environment: SMTP_HOST, SMTP_PORT (25), MESSAGES (500), VUS that send them (20), MAX_DURATION of the run (2m), MAX_P95 of the wait for the
// reply to a message in milliseconds (2000).
import exec from 'k6/execution';
import { Client, Message, expectedReplies } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';

export const options = {
  scenarios: {
    ci: {
      executor: 'shared-iterations',
      vus: Number(__ENV.VUS || 20),
      iterations: Number(__ENV.MESSAGES || 500),
      maxDuration: __ENV.MAX_DURATION || '2m',
    },
  },
  thresholds: {
    smtp_errors: ['count<1'], // a reply that never came
    smtp_conn_failed: ['rate<0.01'],
    smtp_msg_failed: ['rate<0.01'], // 2xx and 4xx are expected, 5xx is not
    'smtp_msg_waiting{expected_response:true}': [`p(95)<${Number(__ENV.MAX_P95 || 2000)}`],
    'smtp_replies{phase:message,code:250}': ['count>0'],
    dropped_iterations: ['count<1'], // those that MAX_DURATION left undone
  },
};

const message = new Message({ from: 's@src.bench.test', to: 'n@dst.test', subject: 'CI', text: 'Is the pipeline in order?' });
/** @type {Client | undefined} */
let client;

export async function setup() {
  if (__ENV.SMTP_HOST) {
    return { host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT || 25), id: '' };
  }
  return Sink.start({ seed: 7, reply: 'message=250:95,451/4.3.0:5' });
}

/** @param {{host: string, port: number, id: string}} target */
export default async function (target) {
  client = client || new Client({ host: target.host, port: target.port, expectedReplies: expectedReplies({ min: 200, max: 299 }, { min: 400, max: 499 }) });
  const n = exec.scenario.iterationInTest;
  await client.send(message, { from: `s+${n}@src.bench.test`, to: `${n}@dst.test` });
}

/** @param {{host: string, port: number, id: string}} target */
export async function teardown(target) {
  if (target.id) {
    await Sink.attach(target).stop();
  }
}
