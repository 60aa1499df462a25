// The next mail fails, as somebody asked.
import { ask } from './api.js';

const byId = (id) => document.getElementById(id);
let drawn = '';

function describe(n) {
  const who = Object.entries(n.match || {}).map(([k, v]) => `${k} ${[v].flat().join(', ')}`).join(', ') || 'anybody';
  return `${outcome(n.outcome)} at ${n.stage} of ${who}: ${n.remaining} to go, ${n.hits} met`;
}

// outcome is what they meet, in a few words: a reply by its codes, whatever else as a plan writes it.
function outcome({ reply, ...rest } = {}) {
  const words = Object.entries(rest).map(([k, v]) => `${k} ${typeof v === 'object' ? JSON.stringify(v) : v}`);
  if (reply !== undefined || !words.length) words.unshift(typeof reply === 'object' ? [reply.code, reply.enhanced].filter(Boolean).join(' ') : `${reply ?? 'plain'}`.replace('/', ' '));
  return words.join(', ');
}

async function load() {
  const { next: all } = await ask('GET', '/v1/next');
  const text = JSON.stringify(all);
  if (text === drawn) return; // a button that is in use stays
  drawn = text;
  byId('next-list').replaceChildren(...all.map((n) => {
    const item = document.createElement('li');
    const what = document.createElement('span');
    const button = document.createElement('button');
    what.textContent = describe(n);
    button.type = 'button';
    button.textContent = 'Take back';
    button.ariaLabel = `Take back: ${describe(n)}`;
    button.addEventListener('click', async () => {
      try {
        await ask('DELETE', `/v1/next/${encodeURIComponent(n.id)}`);
        byId('next-said').textContent = 'Taken back.';
        await load();
        byId('next-value').focus();
      } catch (e) {
        byId('next-said').textContent = `Not taken back: ${e.message}`;
      }
    });
    item.append(what, button);
    return item;
  }));
}

export const next = {
  load,
  begin() {
    byId('next').addEventListener('submit', async (event) => {
      event.preventDefault();
      const [code, enhanced] = byId('next-reply').value.split(' ');
      const stage = byId('next-stage').value;
      const body = { stage, outcome: { reply: ['connect', 'ehlo'].includes(stage) ? { code: Number(code) } : { code: Number(code), enhanced } }, times: Number(byId('next-times').value), ttl: byId('next-ttl').value };
      const value = byId('next-value').value.trim();
      if (value) body.match = { [byId('next-who').value]: value };
      try {
        const made = await ask('POST', '/v1/next', body);
        byId('next-said').textContent = `Asked for, as next:${made.id}.`;
        await load();
      } catch (e) {
        byId('next-said').textContent = `Not asked for: ${e.message}`;
      }
    });
  },
};
