// Smoke: ten messages to a sink within k6, which knows nine of the ten recipients. The quickest proof that a k6 has this extension, and that both
// of its modules work; xk6 lint runs it too.
//
//   bin/k6 run scripts/smoke.js
//
// Environment: nothing.
import { check } from 'k6';
import { Client, Message } from 'k6/x/smtp';
import { Sink } from 'k6/x/smtp/sink';

export const options = {
  iterations: 10,
  thresholds: { checks: ['rate==1'], smtp_errors: ['count<1'] },
};

const message = new Message({ from: 's@src.bench.test', to: 'n@dst.test', subject: 'Smoke', text: 'Is there fire?' });

export async function setup() {
  return Sink.start({ version: 1, rules: [{ name: 'unknown', stage: 'rcpt', match: { recipient: 'unknown@dst.test' }, reply: { code: 550, enhanced: '5.1.1' } }] });
}

/** @param {import('k6/x/smtp/sink').SinkData} data */
export default async function (data) {
  const client = new Client({ host: data.host, port: data.port });
  const to = __ITER === 4 ? 'unknown@dst.test' : `${__ITER}@dst.test`;
  const sent = await client.send(message, { to });
  if (__ITER === 4) {
    check(sent, { 'refused at RCPT': (r) => !r.ok && r.code === 550 });
  } else {
    const delivery = await Sink.attach(data).waitFor(sent.token, { timeout: '10s' });
    check(sent, { accepted: (r) => r.ok && r.code === 250 });
    check(delivery, { delivered: (d) => d.ok && d.attempts === 1 });
  }
  await client.close();
}

/** @param {import('k6/x/smtp/sink').SinkData} data */
export async function teardown(data) {
  const stats = await Sink.attach(data).stop();
  check(stats, { 'the sink counted them': (s) => s.messages === 9 && s.open === 0 });
}
