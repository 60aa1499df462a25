// Events as they come. A stream that breaks goes on where it was, as far as the sink still has what came meanwhile.

const byId = (id) => document.getElementById(id);
const kept = 200; // lines
const perTurn = 50; // lines that are drawn at once, of a stream that is faster than any eye
const kinds = ['start', 'connection', 'transaction', 'attempt', 'swap', 'gap', 'message', 'told', 'phase', 'stop', 'storm', 'reset'];

let stream = null;
let last = ''; // the id of the last event
let waiting = [];
let skipped = 0;
let timer = 0;
let retry = 0;

function words(kind, row) {
  switch (kind) {
    case 'attempt':
      return `${row.sender || '<>'} to ${row.recipient || '?'}: ${row.code || row.ending} ${row.enhanced || ''} at ${row.stage}${row.delivered ? ', delivered' : ''}${row.cause && row.cause !== 'plain' ? `, by ${row.cause}` : ''}${row.fault ? `, with ${row.fault}` : ''}`;
    case 'message':
      return `message ${row.message} of connection ${row.conn}, ${row.size || 0} octets ${row.message_id || ''}`;
    case 'connection':
      return `connection ${row.conn} of ${row.client || 'a unix socket'} ended: ${row.reason}, ${row.messages || 0} messages`;
    case 'transaction':
      return `${row.sender || '<>'}: ${row.code || row.ending} at ${row.stage}`;
    case 'phase':
      return `phase ${row.phase || '(none)'}`;
    case 'storm':
      return `storm: ${row.action} ${row.phase || ''}`;
    case 'swap':
      return `plan ${row.plan || ''} is in force`;
    default:
      return '';
  }
}

function line(id, kind, text) {
  const item = document.createElement('li');
  item.dataset.id = id;
  item.textContent = `${kind} ${text}`;
  if (kind === 'gap') item.className = 'gap';
  return item;
}

function draw() {
  timer = 0;
  const list = byId('tail');
  if (waiting.length > perTurn) skipped += waiting.length - perTurn;
  const lines = waiting.slice(-perTurn).reverse().map((w) => line(...w));
  waiting = [];
  list.prepend(...lines);
  while (list.children.length > kept) list.lastChild.remove();
  byId('tail-said').textContent = skipped ? `Following; ${skipped} came too fast to be shown.` : 'Following.';
}

function add(id, kind, text) {
  waiting.push([id, kind, text]);
  if (waiting.length > 5000) skipped += waiting.splice(0, 2500).length;
  if (!timer) timer = setTimeout(draw, 250);
}

function query() {
  const q = new URLSearchParams();
  for (const [name, id] of [['kind', 'f-kind'], ['code', 'f-code'], ['recipient', 'f-recipient'], ['sender', 'f-sender']]) {
    const value = byId(id).value.replaceAll(' ', '').trim();
    if (value) q.set(name, value);
  }
  return q;
}

function open() {
  const q = query();
  if (last) q.set('after', last);
  q.set('rate', perTurn * 4); // a turn of the sink is a quarter of a second, as ours
  stream = new EventSource(`/v1/events?${q}`);
  stream.onopen = () => { byId('tail-said').textContent = 'Following.'; };
  stream.onerror = async () => {
    if (!stream) return;
    byId('tail-said').textContent = 'The stream is broken; it goes on when the sink answers.';
    if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again, with the id of the last event
    stream.close();
    const failed = await fetch(`/v1/events?${query()}&limit=1`, { cache: 'no-store' }).then(async (r) => (r.ok ? '' : (await r.json()).detail || r.statusText), () => '');
    if (failed) {
      stop();
      byId('tail-said').textContent = `Not following: ${failed}`;
      return;
    }
    retry = setTimeout(open, 2000);
  };
  stream.addEventListener('skipped', (event) => {
    const gap = JSON.parse(event.data);
    const seq = (id) => Number(id.slice(id.lastIndexOf('-') + 1));
    skipped += seq(gap.to) - seq(gap.from) + 1;
    if (!timer) timer = setTimeout(draw, 250);
  });
  for (const kind of kinds) {
    stream.addEventListener(kind, (event) => {
      const row = JSON.parse(event.data);
      if (kind === 'gap' && row.from) {
        add('', 'gap', `events ${row.from} to ${row.to} are gone`);
        return;
      }
      last = event.lastEventId;
      add(last, kind, words(kind, row));
    });
  }
}

function stop() {
  clearTimeout(retry);
  if (stream) stream.close();
  stream = null;
  byId('follow').setAttribute('aria-pressed', 'false');
  byId('follow').textContent = 'Follow';
  byId('tail-said').textContent = 'Not following.';
}

export const tail = {
  end() {
    if (stream) stop();
    byId('tail').replaceChildren();
  },
  begin() {
    byId('filter').addEventListener('submit', (event) => {
      event.preventDefault();
      if (stream) {
        stop();
        return;
      }
      last = '';
      skipped = 0;
      byId('tail').replaceChildren();
      byId('follow').setAttribute('aria-pressed', 'true');
      byId('follow').textContent = 'Stop';
      open();
    });
  },
};
