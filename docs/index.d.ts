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
 * Put this file into your project, or name it in `include` of your tsconfig.json or jsconfig.json: it declares the module by itself (docs/scripting.md).
 */
declare module 'k6/x/smtp' {
/** Milliseconds, or a string such as `"30s"` or `"1m30s"`. */
export type Duration = number | string;

/** Names and values that are added to every sample. Never put addresses or other unbounded values into tags. */
export type Tags = Record<string, string | number | boolean>;

/** A point of the dialogue: the command, `connect` for the greeting, `message` for the reply after the final dot. */
export type Phase =
  | 'connect' | 'ehlo' | 'helo' | 'starttls' | 'auth' | 'mail' | 'rcpt' | 'data' | 'message' | 'bdat' | 'rset' | 'vrfy' | 'expn' | 'help' | 'noop'
  | 'quit' | 'send' | 'soml' | 'saml' | 'turn' | 'etrn' | 'unknown';

/** The longest wait for the reply of each phase; what is left out keeps the default of 60 seconds, 0 means no limit. */
export interface Timeouts {
  /** Resolving and dialling, and then once more the greeting. */
  connect?: Duration;
  /** EHLO, and HELO after it. */
  ehlo?: Duration;
  /** STARTTLS, and then once more the handshake. */
  starttls?: Duration;
  /** Each command and response of AUTH. */
  auth?: Duration;
  mail?: Duration;
  /** Each RCPT. */
  rcpt?: Duration;
  data?: Duration;
  /** Writing the body, and then once more its reply. */
  message?: Duration;
  /** Each chunk but the last. */
  bdat?: Duration;
  rset?: Duration;
  noop?: Duration;
  vrfy?: Duration;
  quit?: Duration;
}

/** Changes k6's own TLS options (insecureSkipTLSVerify, tlsAuth, tlsVersion, tlsCipherSuites) for one client. Unknown keys are errors. */
export interface TLSOptions {
  /** Certificates to trust instead of the system's, in PEM. */
  ca?: string | ArrayBuffer;
  /** The client's certificate and chain, in PEM; with `key`. @default k6's tlsAuth */
  cert?: string | ArrayBuffer;
  key?: string | ArrayBuffer;
  /** Name that the server's certificate must be for. @default the host */
  serverName?: string;
  /** @default k6's tlsVersion, or "tls1.2" */
  minVersion?: 'tls1.0' | 'tls1.1' | 'tls1.2' | 'tls1.3';
  /** @default k6's insecureSkipTLSVerify */
  insecureSkipTLSVerify?: boolean;
  /** Take up the client's last TLS session again where the server allows it; `false`: every handshake is a full one. @default true */
  resumption?: boolean;
}

/** What AUTH shows. */
export interface Credentials {
  user: string;
  /** For XOAUTH2 the bearer token. */
  password: string;
  /** One that is named is tried whether or not the server announces it. @default the best announced of SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN */
  mechanism?: 'PLAIN' | 'LOGIN' | 'CRAM-MD5' | 'SCRAM-SHA-256' | 'XOAUTH2';
}

/** What a sender wants to hear of a message (RFC 3461); sent to servers that announce DSN. */
export interface DSNOptions {
  /** How much of the message a report returns. @default not sent */
  ret?: 'FULL' | 'HDRS';
  /** Name of the sending in reports; `true` for its token. @default not sent */
  envid?: string | boolean;
  /** @default not sent */
  notify?: 'NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY' | ('NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY')[];
  /** "type;address" for all recipients, or `true` for each one's own address. @default not sent */
  orcpt?: string | boolean;
}

/** Options of a {@link Client}. Unknown keys are errors. */
export interface ClientOptions {
  /** Name or address of the server alone: "::1" has no brackets, and the port is an option of its own. k6's options `hosts`, `blacklistIPs`, `blockHostnames` and `dns` hold. */
  host: string;
  /** @default 25; 465 with tls "implicit", 24 with lmtp */
  port?: number;
  /**
   * `none`; `starttls`: if the server offers it and doesn't refuse it; `required`: by STARTTLS or not at all; `implicit`: from the first
   * octet on. @default "none"
   */
  tls?: 'none' | 'starttls' | 'required' | 'implicit';
  tlsOptions?: TLSOptions;
  /** Shown by AUTH as soon as the connection stands; a refusal is a failed connection. @default no AUTH */
  auth?: Credentials;
  /** Speak LMTP (RFC 2033): LHLO, and a final reply for each accepted recipient. @default false */
  lmtp?: boolean;
  /** Send bodies by BDAT (RFC 3030) if the server offers CHUNKING: `true` in one chunk, a number in chunks of so many octets. With pipelining a
   * message of one chunk and at most 64 KiB goes out behind its RCPTs in one write. @default false */
  chunking?: boolean | number;
  /** Every result has the dialogue, and k6's log too; so does every client if the environment has K6_SMTP_DEBUG=1. @default false */
  transcript?: boolean;
  /** Every sample has the tag `server`, as host:port; so have those of every client if the environment has K6_SMTP_SERVER_TAG=1. @default false */
  serverTag?: boolean;
  /** `false` leaves out all trends but smtp_msg_duration, for very long runs. @default true */
  phaseTrends?: boolean;
  /**
   * Send addresses that are not ASCII to servers without SMTPUTF8, and octets above 127 to servers without 8BITMIME. Otherwise
   * {@link Client.send} refuses them with errorCode 1021, and nothing is sent. @default false
   */
  force8bit?: boolean;
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
  /** Delivery reports. @default none */
  dsn?: DSNOptions;
  /** Values of the message's fields, over their defaults. */
  fields?: Record<string, string | number | boolean>;
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
  /** The same, line by line. */
  lines: string[];
  /** The dialogue of the call, if the client keeps one; credentials are masked, bodies cut. */
  transcript: TranscriptLine[];
  /** What went wrong, on one line; empty if `ok`. */
  error: string;
  /**
   * Number of the error in the ranges of k6/http, 0 if `ok`: 1000 general, 1020 invalid address, 1021 the server lacks SMTPUTF8 or 8BITMIME for the message, 1030 a positive reply where
   * another was due, 1040 no mechanism of AUTH fits, 1041 AUTH ended by the client, 1050 timeout, 1060 aborted, 1070 malformed reply or one that no command asked for, 11xx name lookup and blocked addresses, 1200 TCP, 1201 broken
   * pipe, 1210 dial, 1211 dial timeout, 1212 connection refused, 1220 connection reset, 1230 connection closed by the server,
   * 1300 TLS, 1301 no TLS record, 1310 unknown authority, 1311 wrong host name, 1320 STARTTLS not offered, 1400 to 1599 a negative reply (1000 plus its code).
   */
  errorCode: number;
}

/** What {@link Client.connect} resolves with. Times are milliseconds, 0 for a step that was not completed. */
export interface ConnectResult extends Reply {
  /** Text of the greeting. */
  banner: string;
  /** Lines of the EHLO reply, such as `"SIZE 52428800"`. */
  capabilities: string[];
  /** The encryption, `null` in plaintext. */
  tls: TLSInfo | null;
  /** `ehlo` is both EHLOs if there was STARTTLS. */
  timings: { resolving: number; connecting: number; tlsHandshaking: number; banner: number; ehlo: number; auth: number };
}

/** A connection's encryption. */
export interface TLSInfo {
  version: 'tls1.0' | 'tls1.1' | 'tls1.2' | 'tls1.3';
  cipherSuite: string;
  /** As sent to the server; empty for addresses. */
  serverName: string;
  resumed: boolean;
}

/** One line of a dialogue; `at` is milliseconds since the call. */
export interface TranscriptLine {
  at: number;
  from: 'client' | 'server' | 'note';
  text: string;
}

/** What {@link Client.starttls} resolves with. */
export interface StartTLSResult extends Reply {
  tls: TLSInfo | null;
}

/** What {@link Client.data} and {@link Client.bdat} resolve with: the last reply, or the first negative one of LMTP's. */
export interface TransferResult extends Reply {
  /** Value of X-Storm-Id, if a {@link Message} was sent. */
  token: string;
  /** All final replies: one, or in LMTP one per accepted recipient. */
  replies: Reply[];
  /** Milliseconds; 0 for what did not take place. */
  timings: { data: number; sending: number; waiting: number };
}

/** Parameters of {@link Client.mail}. */
export interface MailParams {
  /** Octets. */
  size?: number;
  body?: '7BIT' | '8BITMIME' | 'BINARYMIME';
  smtputf8?: boolean;
  ret?: 'FULL' | 'HDRS';
  envid?: string;
  /** More parameters, as they are to stand on the line. */
  params?: string | string[];
}

/** Parameters of {@link Client.rcpt}. */
export interface RcptParams {
  notify?: DSNOptions['notify'];
  orcpt?: string | boolean;
  /** More parameters, as they are to stand on the line. */
  params?: string | string[];
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
  /** Value of the header field X-Storm-Id: the message's own, or one that is unique to this sending. */
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
  /**
   * Opens the connection unless it stands: greeting; EHLO, or HELO after a refused EHLO; TLS and AUTH as the options say. With
   * `hello: false` it stops after the greeting (and implicit TLS), with `greeting: false` before them: the next call goes on from there, unless it
   * is {@link raw}. @default {hello: true, greeting: true}
   */
  connect(options?: { hello?: boolean; greeting?: boolean }): Promise<ConnectResult>;
  /** Sends a message, and connects first if need be. */
  send(message: Message, options?: SendOptions): Promise<SendResult>;
  /** EHLO (LHLO in LMTP); without a connection it opens one as far as the greeting. @default the option localName */
  ehlo(name?: string): Promise<Reply>;
  /** HELO, likewise. */
  helo(name?: string): Promise<Reply>;
  /** STARTTLS and the handshake. Say EHLO again then. */
  starttls(): Promise<StartTLSResult>;
  /** AUTH. @default the option auth */
  auth(credentials?: Credentials): Promise<Reply>;
  /** MAIL; `""` is the null sender. */
  mail(address: string, params?: MailParams): Promise<Reply>;
  /** RCPT. */
  rcpt(address: string, params?: RcptParams): Promise<Reply>;
  /** DATA and, after 354, the body, whose dots are stuffed and lines ended by CRLF. */
  data(body: Message | string | ArrayBuffer | Uint8Array): Promise<TransferResult>;
  /** BDAT with a chunk as it is. @default {last: false} */
  bdat(chunk: string | ArrayBuffer | Uint8Array, options?: { last?: boolean }): Promise<TransferResult>;
  /** VRFY. */
  vrfy(address: string): Promise<Reply>;
  /** Any line, as it is; one reply is read. The next {@link send} begins with RSET. @default {phase: that of the line's verb} */
  raw(line: string, options?: { reply?: true; phase?: Phase }): Promise<Reply>;
  /**
   * Octets as they are; nothing is read: a PROXY header after `connect({greeting: false})`, half a body, a pipeline of one's own. The result has
   * `code: 0`. Read all replies by `raw(null)` before the next call that is not `raw`.
   */
  raw(octets: string | ArrayBuffer | Uint8Array, options: { reply: false }): Promise<Reply>;
  /** Reads one reply and writes nothing: without a connection it opens one and reads its greeting. `phase` is what the reply counts for. @default {phase: "unknown"} */
  raw(nothing: null, options?: { phase?: Phase }): Promise<Reply>;
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
  /**
   * Header and envelope sender: `"a@src.test"` or `"Name <a@src.test>"`, with quotes where they are needed:
   * `'"Doe, Ann" <"ann@home"@src.test>'`. With `raw` it may be `""`, the null sender.
   */
  from: string;
  /** Header and envelope recipients, one address a string. May be left out if every {@link Client.send} names its own. */
  to?: string | string[];
  /** Header and envelope recipients. */
  cc?: string | string[];
  /** Envelope recipients that no header shows. */
  bcc?: string | string[];
  /** Addresses of the header field Reply-To. */
  replyTo?: string | string[];
  subject?: string;
  /** Plain text; together with `html` it makes a multipart/alternative message. */
  text?: string;
  html?: string;
  /**
   * More header fields. Date, Message-ID and an X-Storm-Id that is not empty replace the generated ones; Sender, Reply-To, Resent-To and the like are read as
   * addresses with commas between.
   */
  headers?: Record<string, string>;
  /** Octets of the whole message as SIZE counts them: the text is filled up with x. */
  size?: number;
  /** Files; `content` comes from open(name, 'b') or is text. */
  attachments?: Attachment[];
  /** Files that `html` refers to as `cid:...`. */
  inline?: (Attachment & { cid: string })[];
  /**
   * Names and defaults of fields: `{{name}}` in an address, subject, text, html, headers or raw is filled in for each sending from the option
   * `fields` of {@link Client.send}, before anything is encoded or folded; in an address it counts for the envelope, too. In a group or a
   * comment of addresses, and in an encoded word in base64, a field can't stand. Can't be combined with `size`.
   */
  fields?: Record<string, string | number | boolean>;
  /** A complete message, sent as it is: line ends become CRLF, and X-Storm-Id is put before it unless it has one. */
  raw?: string | ArrayBuffer | Uint8Array;
}

/** A file of a {@link Message}. */
export interface Attachment {
  filename: string;
  content: string | ArrayBuffer | Uint8Array;
  /** @default by the file's name */
  contentType?: string;
}

/**
 * A MIME message, built once and sent any number of times; it can't be changed. Each sending has its own Date, Message-ID and
 * X-Storm-Id.
 */
export class Message {
  constructor(options: MessageOptions);
  private readonly __message: true;
}

/** Options of a {@link Workload}. Unknown keys are errors. */
export interface WorkloadOptions {
  /** Messages per second, on the average. */
  rate?: number;
  /** Instead of `rate`: messages a day, of which the profile says what share comes in the busiest hour; that hour is offered. */
  perDay?: number;
  /** The same seed makes the same load. @default 0 */
  seed?: number;
  /** Sizes, recipients and the peak hour's share as somebody has described them. @default none */
  profile?: 'SPECmail2001 profile';
  /** Octets of a message, and how often; the weights need not add up to anything. @default the profile's, or 1024 */
  sizes?: [number, number][];
  /** Recipients of a message, likewise. @default the profile's, or 1 */
  recipients?: [number, number][];
}

/** A message of a {@link Workload}. */
export interface Arrival {
  /** `"12-0"`: the slot and the place in it, fit for an address. */
  id: string;
  /** Milliseconds after the slot's begin. */
  at: number;
  /** Octets. */
  size: number;
  recipients: number;
}

/**
 * Mail as it comes: a Poisson process of messages, whose gaps are exponential, with sizes and recipients drawn from tables. It is cut into slots of
 * 1/rate seconds, each with no message, one or several: have an arrival-rate executor start `rate` iterations a second, and each send what its slot holds
 * (scripts/workload.js). What is drawn depends on the options alone, and not on the VU.
 */
export class Workload {
  constructor(options: WorkloadOptions);
  /** Slots, and on the average messages, per second. */
  readonly rate: number;
  /** All sizes that are drawn, so that messages can be built beforehand. */
  readonly sizes: number[];
  /** What is due in a slot, counted from 0, in the order in which it is due. */
  slot(n: number): Arrival[];
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
}
