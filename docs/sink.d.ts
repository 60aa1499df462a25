/**
 * **The sink within k6**: a server that takes mail and misbehaves as its plan says, for scripts that need nothing else.
 *
 * ```javascript
 * import { Client, Message } from 'k6/x/smtp';
 * import { Sink } from 'k6/x/smtp/sink';
 *
 * export const setup = () => Sink.start({ reply: 'rcpt=250:90,451:10' });
 *
 * export default async function (data) {
 *   const client = new Client({ host: data.host, port: data.port });
 *   const sent = await client.send(new Message({ from: 'a@src.test', to: 'b@dst.test', text: 'hi' }));
 *   if (sent.ok) await Sink.attach(data).waitFor(sent.token, { timeout: '10s' });
 *   await client.quit();
 * }
 *
 * export const teardown = (data) => Sink.attach(data).stop();
 * ```
 *
 * It shares processor, garbage collection and descriptors with k6: records say so. It is stopped at the end of the test at the latest.
 */
declare module 'k6/x/smtp/sink' {

/** Plain data: it crosses from setup to VUs and teardown as JSON. */
export interface SinkData {
  id: string;
  host: string;
  port: number;
  /** What to trust for the sink's certificate, in PEM: a client's `tlsOptions.ca`. */
  ca: string;
  /** All listeners by name. */
  listeners: Record<string, { host: string; port: number }>;
}

/** A plan as smtpsink's flags of the same names write it. */
export interface SinkFlags {
  /** A built-in plan by its name, such as "bounce-storm": `smtpsink plans` lists them. Only `seed` goes with it. @default none */
  plan?: string;
  /** @default 0 */
  seed?: number;
  /** @default none */
  mode?: 'accept' | 'bounce' | 'offline' | 'unavailable' | 'random';
  /** Stages at which the mode speaks. @default "message" */
  at?: string | string[];
  /** Weights of the mode's codes: "450:9". @default 1 each */
  weight?: string | string[];
  /** Odds to accept in mode random. @default 0.5 */
  randomAccept?: number;
  /** "STAGE=REPLY[:WEIGHT][,...]", such as "rcpt=250:90,550/5.1.1:10". */
  reply?: string | string[];
  /** "STAGE=DELAY", such as "message=uniform(5ms,50ms)". */
  delay?: string | string[];
}

/** How the sink listens; a plan with listeners of its own uses those. Unknown keys are errors. */
export interface SinkOptions {
  /** @default "127.0.0.1:0", any free port */
  listen?: string;
  /** In the greeting. @default "sink.test" */
  hostname?: string;
  /** @default false */
  lmtp?: boolean;
  /** STARTTLS `always`, `never`, or `auto`: if the plan is about TLS; `required` refuses mail before; `implicit`: TLS from the first octet on. @default "auto" */
  tls?: 'auto' | 'never' | 'always' | 'required' | 'implicit';
  /** Users and passwords; AUTH is offered if there are any. @default none */
  auth?: Record<string, string>;
  /** Refuse mail until the client is authenticated. @default false */
  authRequired?: boolean;
}

/** What the sink did so far. */
export interface SinkStats {
  connections: number;
  open: number;
  transactions: number;
  recipients: number;
  messages: number;
  bytesIn: number;
  bytesOut: number;
  /** Of the storm, now; empty without one. */
  phase: string;
  replies: { stage: string; code: number; enhancedCode: string; cause: string; count: number }[];
}

/** What {@link AttachedSink.waitFor} resolves with. */
export interface Delivery {
  /** Whether it was delivered in time. */
  ok: boolean;
  token: string;
  /** When, in milliseconds since 1970; 0 if not. */
  at: number;
  /** Milliseconds from the begin of the sending; 0 if not delivered, or not sent by this process. */
  duration: number;
  /**
   * RCPT commands that the sink saw for the message. One that was refused before the header came is known by its envelope alone: it counts
   * where no two messages share sender and recipient, or have an ENVID (`dsn: { envid: true }` makes it the token).
   */
  attempts: number;
  /** Those of them that ended in a delivery: more than there are recipients means duplicates. */
  deliveries: number;
  /** Reply code of the last attempt; 0 without one. */
  code: number;
  error: string;
  /**
   * The judge's word on each recipient as far as things are known: the fates of docs/reconciliation.md, but for `lost`. Of a message that another process has sent
   * nobody knows whether it was acknowledged: delivered, it is `recovered`.
   */
  recipients: { address: string; fate: string; attempts: number; deliveries: number }[];
}

export interface AttachedSink {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  stats(): SinkStats;
  /**
   * Waits for a message by its token: X-Storm-Id, ENVID, or an envelope sender that no other message of this process has; for a message of another process,
   * too. It ends when the first recipient has it. At least the latest 100,000 recipients are known. A message that was
   * delivered adds once to the trend smtp_delivery_duration, however often it is waited for. On a sink that was stopped, or is stopped
   * meanwhile, the wait ends at once. @default {timeout: "60s"}
   */
  waitFor(token: string, options?: { timeout?: number | string }): Promise<Delivery>;
  /** Stops the sink; what it replied becomes samples of smtp_sink_replies. */
  stop(): Promise<SinkStats>;
}

export const Sink: {
  /** Starts a sink. The plan is YAML text, the name of a built-in one, an object of YAML's form (with `version: 1`), or flags; none accepts everything. */
  start(plan?: string | SinkFlags | ({ version: 1 } & Record<string, unknown>) | null, options?: SinkOptions): Promise<SinkData>;
  /** Finds a sink again. It throws where no such sink runs: in another k6 process, or after stop. */
  attach(data: { id: string }): AttachedSink;
};
}
