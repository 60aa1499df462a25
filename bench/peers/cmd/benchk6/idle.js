// Every VU makes a client, waits, connects, and is idle.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Client } from 'k6/x/smtp';

export const options = { scenarios: { idle: { executor: 'per-vu-iterations', vus: Number(__ENV.VUS), iterations: 1, maxDuration: '2m' } } };

const client = new Client({ host: __ENV.SMTP_HOST, port: Number(__ENV.SMTP_PORT), idleTimeout: 0 });
const until = (seconds) => sleep(Math.max(0.001, Number(seconds) - exec.instance.currentTestRunDuration / 1000));

export default async function () {
  await client.quit(); // there is no connection yet: the client's own parts come to be
  until(__ENV.CONNECT_AT);
  const connection = await client.connect();
  if (!connection.ok) {
    throw new Error(connection.error);
  }
  until(__ENV.IDLE_UNTIL);
}

export const handleSummary = (data) => ({
  stdout: JSON.stringify({ duration_ms: data.state.testRunDurationMs, count: data.metrics['smtp_sessions'].values.count }),
});
