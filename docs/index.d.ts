/**
 * **SMTP for k6**: drive a mail server with concurrent clients and measure every phase of the dialogue.
 *
 * ```javascript
 * import { Client, Message } from 'k6/x/smtp';
 *
 * const client = new Client({ host: '127.0.0.1', port: 2525 });
 * const message = new Message({ from: 'a@src.test', to: 'b@dst.test', subject: 'Hello', text: 'Hello, world' });
 *
 * export default async function () {
 *   const result = await client.send(message);
 *   if (!result.ok) console.warn(result.error);
 * }
 * ```
 *
 * Every method that talks to the server returns a promise. A negative reply and a broken connection **resolve** with `ok: false`
 * (with `throw: true` they reject). A wrong option is a `TypeError` that names the key: thrown by constructors, a rejection from
 * methods. Calls on one client run one after the other, in the order in which they were made.
 *
 * @module smtp
 */
export as namespace smtp;

/** Milliseconds, or a string such as `"30s"` or `"1m30s"`. */
export type Duration = number | string;

/** Names and values that are added to every sample. Never put addresses or other unbounded values into tags. */
export type Tags = Record<string, string | number | boolean>;

/** A point of the dialogue: the command, `connect` for the greeting, `message` for the reply after the final dot. */
export type Phase = 'connect' | 'ehlo' | 'helo' | 'mail' | 'rcpt' | 'data' | 'message' | 'rset' | 'noop' | 'quit';

/** The longest wait for the reply of each phase; what is left out keeps the default of 60 seconds, 0 means no limit. */
export interface Timeouts {
  /** Resolving and dialling, and then once more the greeting. */
  connect?: Duration;
  /** EHLO, and HELO after it. */
  ehlo?: Duration;
  mail?: Duration;
  /** Each RCPT. */
  rcpt?: Duration;
  data?: Duration;
  /** Writing the body, and then once more its reply. */
  message?: Duration;
  rset?: Duration;
  quit?: Duration;
}

/** Options of a {@link Client}. Unknown keys are errors. */
export interface ClientOptions {
  /** Name or address of the server. k6's options `hosts`, `blacklistIPs`, `blockHostnames` and `dns` hold. */
  host: string;
  /** @default 25 */
  port?: number;
  /** Connections are never encrypted yet. @default "none" */
  tls?: 'none';
  /** Argument of EHLO and HELO. @default "localhost" */
  localName?: string;
  /** Whether MAIL, RCPT and DATA leave in one write if the server offers PIPELINING (RFC 2920). @default true */
  pipelining?: boolean;
  /** After so many messages QUIT is sent, and the next message opens a new connection; 0 means no limit. @default 0 */
  messagesPerConnection?: number;
  /** One limit for every phase, or a limit for each. @default "60s" */
  timeout?: Duration | Timeouts;
  /** A connection that is idle for so long is closed without QUIT; 0 means never. @default "60s" */
  idleTimeout?: Duration;
  /** Which final replies don't count as failure: the result of {@link expectedReplies}. @default 2xx */
  expectedReplies?: ExpectedReplies;
  /** Added to every sample of this client. */
  tags?: Tags;
  /** Reject instead of resolving with `ok: false`; the error is an {@link SMTPError}. @default false */
  throw?: boolean;
}

/** Options of one {@link Client.send}. Unknown keys are errors. */
export interface SendOptions {
  /** Envelope sender instead of the message's; `""` is the null sender. The message's own header stays as it is. */
  from?: string;
  /** Envelope recipients instead of the message's. */
  to?: string | string[];
  /** Added to every sample of this sending, over the client's. */
  tags?: Tags;
  /** Instead of the client's. */
  expectedReplies?: ExpectedReplies;
}

/** What every result has. */
export interface Reply {
  /** Whether the reply was positive; for messages, whether it was an expected one for every recipient. */
  ok: boolean;
  /** Reply code; 0 if there was no reply. */
  code: number;
  /** Enhanced status code such as `"5.1.1"`; empty if the reply had none. */
  enhancedCode: string;
  /** Where the reply came, or where the dialogue broke. */
  phase: Phase;
  /** Text of the reply without its codes, lines separated by `\n`. */
  text: string;
  /** What went wrong, on one line; empty if `ok`. */
  error: string;
  /**
   * Number of the error in the ranges of k6/http, 0 if `ok`: 1000 general, 1020 invalid address, 1030 a positive reply where
   * another was due, 1050 timeout, 1060 aborted, 1070 malformed reply, 11xx name lookup and blocked addresses, 1200 TCP, 1201 broken
   * pipe, 1210 dial, 1211 dial timeout, 1212 connection refused, 1220 connection reset, 1230 connection closed by the server,
   * 1400 to 1599 a negative reply (1000 plus its code).
   */
  errorCode: number;
}

/** What {@link Client.connect} resolves with. Times are milliseconds, 0 for a step that was not completed. */
export interface ConnectResult extends Reply {
  /** Text of the greeting. */
  banner: string;
  /** Lines of the EHLO reply, such as `"SIZE 52428800"`. */
  capabilities: string[];
  timings: { resolving: number; connecting: number; banner: number; ehlo: number };
}

/** What became of one recipient. */
export interface RecipientResult {
  address: string;
  /** Whether its final reply was an expected one. */
  ok: boolean;
  /** Code of its final reply: of RCPT if that was refused, of MAIL or DATA if those were, of the message otherwise; 0 for none. */
  code: number;
  enhancedCode: string;
  phase: Phase;
  text: string;
}

/**
 * What {@link Client.send} resolves with. Its own `code`, `phase` and `text` are those of the first recipient whose final reply was
 * not expected, or of the first recipient if all were.
 */
export interface SendResult extends Reply {
  /** Value of the header field X-Storm-Id, unique to this sending. */
  token: string;
  /** Whether commands were pipelined. */
  pipelined: boolean;
  /** One entry per recipient, in order. */
  recipients: RecipientResult[];
  /** Milliseconds; 0 for a phase that was not completed. The clocks are those of the metrics smtp_msg_*. */
  timings: { blocked: number; mail: number; rcpt: number; data: number; sending: number; waiting: number; duration: number };
}

/** The error that a client with `throw: true` rejects with. */
export interface SMTPError extends Error {
  phase: Phase;
  code: number;
  enhancedCode: string;
  errorCode: number;
  /** What the promise would have resolved with. */
  result: Reply;
}

/**
 * One SMTP client with at most one connection. It is made in the init context or in an iteration, connects when it first needs to,
 * and keeps its connection from one iteration to the next. After a 421, a timeout, an abort or a malformed reply the connection is
 * closed, and the next call opens a new one.
 */
export class Client {
  constructor(options: ClientOptions);
  /** Opens the connection unless it stands: greeting and EHLO, or HELO after a refused EHLO. */
  connect(): Promise<ConnectResult>;
  /** Sends a message, and connects first if need be. */
  send(message: Message, options?: SendOptions): Promise<SendResult>;
  /** RSET. */
  rset(): Promise<Reply>;
  /** NOOP. */
  noop(): Promise<Reply>;
  /** QUIT, then closes the connection. Without a connection it resolves with `ok: true` and `code: 0`. */
  quit(): Promise<Reply>;
  /** Closes the connection at once and for good, without QUIT. What is under way ends with errorCode 1060, later calls reject. */
  close(): void;
}

/** Options of a {@link Message}. Unknown keys are errors. */
export interface MessageOptions {
  /** Header and envelope sender: `"a@src.test"` or `"Name <a@src.test>"`. With `raw` it may be `""`, the null sender. */
  from: string;
  /** Header and envelope recipients. May be left out if every {@link Client.send} names its own. */
  to?: string | string[];
  /** Header and envelope recipients. */
  cc?: string | string[];
  /** Envelope recipients that no header shows. */
  bcc?: string | string[];
  subject?: string;
  /** Plain text; together with `html` it makes a multipart/alternative message. */
  text?: string;
  html?: string;
  /** More header fields. Date, Message-ID and X-Storm-Id replace the generated ones. */
  headers?: Record<string, string>;
  /** Octets of the whole message as SIZE counts them: the text is filled up with x. */
  size?: number;
  /** A complete message, sent as it is: line ends become CRLF, and X-Storm-Id is put before it unless it has one. */
  raw?: string | ArrayBuffer | Uint8Array;
}

/**
 * A MIME message, built once and sent any number of times; it can't be changed. Each sending has its own Date, Message-ID and
 * X-Storm-Id.
 */
export class Message {
  constructor(options: MessageOptions);
}

/** A set of reply codes; see {@link expectedReplies}. */
export interface ExpectedReplies {
  readonly __expectedReplies: unique symbol;
}

/**
 * Says which final replies of a recipient don't count as failure, as codes and ranges: `expectedReplies(250, { min: 450, max: 459 })`.
 * A positive code counts after the message only: 250 to DATA delivers nothing.
 */
export function expectedReplies(...replies: (number | { min: number; max: number })[]): ExpectedReplies;
