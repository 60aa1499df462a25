// Every kind of sending, for comparing records: reused connections, new ones, several recipients, refusals, QUIT.
import { check } from 'k6';
import exec from 'k6/execution';
import { Client, Message, expectedReplies } from 'k6/x/smtp';

export const options = {
  scenarios: { mixed: { executor: 'shared-iterations', vus: 10, iterations: Number(__ENV.ITERATIONS || 500), maxDuration: '60s' } },
  thresholds: { smtp_msg_failed: ['rate<0.001'], smtp_messages: ['count>0'] },
  tags: { leg: 'test' },
};

const target = { host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT) };
const kept = new Client(target);
const stepwise = new Client({ ...target, pipelining: false, messagesPerConnection: 3, tags: { mode: 'stepwise' } });
const message = new Message({ from: 'a@src.test', to: 'b@dst.test', subject: 'x', text: 'hello', size: 1024 });

export function setup() {
  const client = new Client(target);
  return client.connect().then((r) => client.quit().then(() => ({ connected: r.ok })));
}

export default async function (data) {
  const n = exec.scenario.iterationInTest;
  const client = n % 2 ? kept : stepwise;
  const to = Array.from({ length: 1 + (n % 3) }, (_, i) => `${n}-${i}@dst.test`);
  const result = await client.send(message, { from: `s-${n}@src.test`, to, expectedReplies: n % 5 ? undefined : expectedReplies(250, { min: 400, max: 499 }) });
  check(result, { connected: () => data.connected, answered: (r) => r.code > 0 });
  if (n % 50 === 0) {
    await client.quit();
  }
}
