// Workload: mail as it comes. Arrivals are a Poisson process, sizes and recipients are those of the SPECmail2001 profile (no SPEC result comes of it),
// and each message has a connection of its own. step_in_time says which share of the steps took at most 5 s, and of the bodies 5 s and a second for each
// 3,000 octets: the quality that smtpbench capacity asks for. All of it follows from SEED.
//
//   bin/smtpsink --listen 127.0.0.1:2525 &
//   bin/k6 run scripts/workload.js
//   bin/k6 run --env PER_DAY=1000000 scripts/workload.js     # the peak hour of a million messages a day
//
// Environment: SMTP_HOST (127.0.0.1), SMTP_PORT (2525), RATE messages per second on the average (20), PER_DAY messages instead, DURATION
// (30s), VUS (200), SEED (0), SIZE in octets of every message (the profile's), RUN a word that keeps the addresses of two runs apart (1).
import exec from 'k6/execution';
import { Rate } from 'k6/metrics';
import { setTimeout } from 'k6/timers';
import { Client, Message, Workload } from 'k6/x/smtp';

const vus = Number(__ENV.VUS || 200);
const run = __ENV.RUN || '1';
const seed = Number(__ENV.SEED || 0);
const profile = 'SPECmail2001 profile';

const workload = new Workload({
  ...(__ENV.PER_DAY ? { perDay: Number(__ENV.PER_DAY) } : { rate: Number(__ENV.RATE || 20) }),
  ...(__ENV.SIZE ? { sizes: [[Number(__ENV.SIZE), 1]] } : {}),
  profile,
  seed,
});

export const options = {
  scenarios: {
    workload: {
      executor: 'constant-arrival-rate',
      rate: Math.max(1, Math.round(workload.rate * 3600)), // a whole number, as k6 wants it
      timeUnit: '1h',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: vus,
      maxVUs: vus,
      gracefulStop: '60s',
    },
  },
  thresholds: { step_in_time: ['rate>0.95'], smtp_conn_failed: ['rate<=0.01'], smtp_msg_failed: ['rate<=0.01'] },
};

const inTime = new Rate('step_in_time');

// A slot seldom has more messages than these: what has no connection of its own waits for the one before it.
const clients = Array.from({ length: 6 }, () => new Client({
  host: __ENV.SMTP_HOST || '127.0.0.1',
  port: Number(__ENV.SMTP_PORT || 2525),
  localName: 'client.bench.test',
  messagesPerConnection: 1,
}));

const messages = new Map(workload.sizes.map((size) => [size, new Message({ from: 's@src.bench.test', subject: 'Workload', text: 'A message of the workload.', size: Math.max(size, 600) })]));

/**
 * Counts a step that was completed, or broken off.
 *
 * @param {string} step
 * @param {number} took milliseconds, 0 for a step that was not completed
 * @param {boolean} broken
 * @param {number} limit milliseconds
 */
function judge(step, took, broken, limit = 5000) {
  if (took > 0 || broken) {
    inTime.add(!broken && took <= limit, { step });
  }
}

/**
 * @param {Client} client
 * @param {import('k6/x/smtp').Arrival} due
 */
async function send(client, due) {
  const connected = await client.connect();
  /** @param {string} phase */
  let broken = (phase) => connected.code === 0 && connected.phase === phase;
  judge('connect', connected.timings.connecting + connected.timings.banner, broken('connect'));
  judge('ehlo', connected.timings.ehlo, broken('ehlo'));
  if (!connected.ok) {
    return; // smtp_conn_failed has it
  }
  const sent = await client.send(/** @type {Message} */ (messages.get(due.size)), {
    from: `s+${run}-${seed}-${due.id}@src.bench.test`,
    to: Array.from({ length: due.recipients }, (_, i) => `${run}-${seed}-${due.id}-${i}@domain${1 + (i % 5)}.dst.test`),
  });
  broken = (phase) => sent.code === 0 && sent.phase === phase;
  judge('mail', sent.timings.mail, broken('mail'));
  judge('rcpt', sent.timings.rcpt, broken('rcpt'));
  judge('data', sent.timings.data, broken('data'));
  judge('message', sent.timings.sending + sent.timings.waiting, broken('message'), 5000 + due.size / 3);
}

export default async function () {
  await Promise.all(workload.slot(exec.scenario.iterationInTest).map(async (due, i) => {
    await new Promise((resolve) => setTimeout(() => resolve(null), due.at));
    await send(clients[i % clients.length], due);
  }));
}
