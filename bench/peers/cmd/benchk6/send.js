// What smtp-source sends: the same message over and over, one connection per VU.
import { Client, Message } from 'k6/x/smtp';

export const options = {
  scenarios: { send: { executor: 'shared-iterations', vus: Number(__ENV.VUS), iterations: Number(__ENV.MESSAGES), maxDuration: '15m' } },
};

const client = new Client({
  host: __ENV.SMTP_HOST,
  port: Number(__ENV.SMTP_PORT),
  pipelining: __ENV.PIPELINING === 'true',
  chunking: __ENV.CHUNKING === 'true',
});
const message = new Message({ from: 'a@src.test', to: 'b@dst.test', subject: 'x', text: 'x', size: Number(__ENV.SIZE) });

export default async function () {
  const result = await client.send(message);
  if (!result.ok) {
    throw new Error(result.error);
  }
}

export const handleSummary = (data) => ({
  stdout: JSON.stringify({ duration_ms: data.state.testRunDurationMs, count: data.metrics['smtp_recipients'].values.count }),
});
