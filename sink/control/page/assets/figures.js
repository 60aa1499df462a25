// Numbers and tables, as /v1/stats has them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const shown = 30; // destinations
const dialogue = ['connect', 'helo', 'ehlo', 'starttls', 'auth', 'mail', 'rcpt', 'data', 'bdat', 'message', 'rset', 'noop', 'quit']; // the rest follows

export function duration(micros) {
  if (micros === undefined) return '-';
  if (micros >= 1e6) return `${tenth.format(micros / 1e6)} s`;
  if (micros >= 1e3) return `${tenth.format(micros / 1e3)} ms`;
  return `${micros} µs`;
}

export function rate(now, before, of) {
  if (!before) return 0;
  const seconds = (Date.parse(now.time) - Date.parse(before.time)) / 1000;
  return seconds > 0 ? Math.max(0, of(now.counts) - of(before.counts)) / seconds : 0;
}

// set writes a value; data-exact has it as the API does.
function set(name, text, exact) {
  const e = document.querySelector(`[data-value="${name}"]`);
  if (e.textContent !== text) e.textContent = text;
  e.dataset.exact = exact === undefined ? text : exact;
}
const count = (name, n) => set(name, whole.format(n || 0), n || 0);

function cell(row, text, { head = false, number = false } = {}) {
  const e = document.createElement(head ? 'th' : 'td');
  if (head) e.scope = 'row';
  if (number) e.className = 'num';
  e.textContent = text;
  row.append(e);
  return e;
}

function replies(counts) {
  const rows = new Map();
  const stages = new Map();
  for (const r of counts.replies || []) {
    const key = `${r.stage} ${r.code}`;
    const row = rows.get(key) || { stage: r.stage, code: r.code, planned: 0, drawn: 0, decided: 0, sent: 0 };
    row.planned += r.planned || 0;
    row.decided += r.decided || 0;
    if (r.cause && r.cause.startsWith('rule:')) row.drawn += r.decided || 0;
    row.sent += r.sent || 0;
    rows.set(key, row);
    stages.set(r.stage, (stages.get(r.stage) || 0) + (r.sent || 0));
  }
  const body = document.createElement('tbody');
  const place = (r) => (dialogue.indexOf(r.stage) + 1 || dialogue.length + 1) * 1000 + r.code;
  for (const [key, r] of [...rows].sort((a, b) => place(a[1]) - place(b[1]))) {
    const row = document.createElement('tr');
    row.dataset.key = key;
    row.dataset.sent = r.sent;
    row.dataset.decided = r.decided;
    cell(row, r.stage, { head: true });
    cell(row, r.code);
    cell(row, r.planned ? tenth.format(r.planned) : '-', { number: true });
    cell(row, r.planned || r.drawn ? whole.format(r.drawn) : '-', { number: true });
    cell(row, whole.format(r.decided), { number: true });
    cell(row, whole.format(r.sent), { number: true });
    const meter = document.createElement('meter');
    const all = stages.get(r.stage);
    meter.max = 1;
    meter.value = all ? r.sent / all : 0;
    meter.textContent = `${tenth.format(100 * meter.value)}%`;
    meter.ariaLabel = `${r.stage} ${r.code}: ${meter.textContent} of the stage`;
    cell(row, '').append(meter);
    body.append(row);
  }
  document.querySelector('#replies tbody').replaceWith(body);
}

function destinations(counts) {
  const all = [...(counts.destinations || [])];
  const total = (d) => Object.values(d.attempts).reduce((a, b) => a + b, 0);
  all.sort((a, b) => total(b) - total(a));
  const body = document.createElement('tbody');
  for (const d of all.slice(0, shown)) {
    const row = document.createElement('tr');
    cell(row, d.domain || '(none)', { head: true });
    cell(row, d.listener);
    for (const of of ['delivered', 'deferred', 'bounced', 'unanswered']) cell(row, whole.format(d.attempts[of] || 0), { number: true });
    body.append(row);
  }
  if (all.length > shown) {
    const row = document.createElement('tr');
    cell(row, `and ${all.length - shown} more`).colSpan = 6;
    body.append(row);
  }
  document.querySelector('#destinations tbody').replaceWith(body);
}

function limits(counts) {
  const by = new Map();
  for (const r of counts.replies || []) {
    if (r.cause && r.cause.startsWith('limit:')) by.set(r.cause.slice(6), (by.get(r.cause.slice(6)) || 0) + r.decided);
  }
  count('limited', [...by.values()].reduce((a, b) => a + b, 0));
  const list = document.getElementById('limits');
  for (const e of list.querySelectorAll('.more')) e.remove();
  const add = (name, n) => {
    const dt = document.createElement('dt');
    const dd = document.createElement('dd');
    dt.className = dd.className = 'more';
    dt.textContent = name;
    dd.textContent = whole.format(n);
    list.append(dt, dd);
  };
  for (const [name, n] of by) add(`by ${name}`, n);
  const l = counts.limit_counters || {};
  const o = counts.attempt_counters || {};
  add('Token buckets', l.buckets || 0);
  add('Clients with connections that count', l.open || 0);
  if (l.quotas) add('Windows of quotas', l.quotas);
  add('Greylisted triples', l.greylist || 0);
  add('Forgotten for want of room', (l.evictions || 0) + (o.evictions || 0));
}

export const figures = {
  show(stats, before) {
    const c = stats.counts;
    const a = c.attempts;
    set('message_rate', tenth.format(rate(stats, before, (x) => x.messages)));
    set('connection_rate', tenth.format(rate(stats, before, (x) => x.connections)));
    count('open', c.open);
    count('connections', c.connections);
    count('messages', c.messages);
    count('delivered', a.delivered);
    count('deferred', a.deferred);
    count('bounced', a.bounced);
    const d = c.delays || { count: 0 };
    count('delays', d.count);
    set('delay_p50', duration(d.p50_us));
    set('delay_p99', duration(d.p99_us));
    set('late_p99', duration((c.lateness || {}).p99_us));
    set('lag_p99', duration(c.net.lag_p99_us));
    set('pending', `${whole.format(c.net.pending || 0)} octets`);
    count('accept_pauses', c.net.accept_pauses);
    replies(c);
    destinations(c);
    limits(c);
    count('seq', stats.seq);
    set('time', new Date(stats.time).toLocaleTimeString('en', { hour12: false }), stats.time);
  },
};
