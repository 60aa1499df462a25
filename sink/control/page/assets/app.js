// The page's clock: it asks for the stats each second while somebody looks, and has the parts draw them.
import { ask, Problem } from './api.js';
import { figures } from './figures.js';
import { chart } from './chart.js';
import { storm } from './storm.js';
import { next } from './next.js';
import { tail } from './tail.js';

const byId = (id) => document.getElementById(id);
const every = 1000; // ms
const signedIn = 'smtpsink-signed-in'; // in this browser's storage: no script sees the cookie itself
let before = null;
let generation = 0;
let asking = false;

function problem(text) {
  byId('problem').textContent = text;
  byId('problem').hidden = !text;
}

function state(text, kind) {
  const pill = byId('state');
  if (pill.textContent !== text) pill.textContent = text; // else it would be read out each second
  pill.className = `pill ${kind}`;
}

async function look() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    const stats = await ask('GET', before ? '/v1/stats' : '/v1/stats?windows=true');
    if (before && before.instance !== stats.instance) before = null; // the sink was started again
    if (!before) chart.begin(stats.counts.windows || []);
    if (!before || stats.generation !== generation) {
      const info = await ask('GET', '/v1');
      const plan = stats.counts.plan ? `plan ${stats.counts.plan}` : 'no plan';
      byId('which').textContent = `${info.listeners.map((l) => l.name === l.address ? l.address : `${l.name} ${l.address}`).join(', ')}; ${plan}; version ${info.version}`;
      await storm.load();
      generation = stats.generation;
    }
    figures.show(stats, before);
    chart.add(stats, before);
    storm.show(stats.storm);
    before = stats;
    byId('signin').hidden = true;
    byId('signout').hidden = !localStorage.getItem(signedIn);
    problem('');
    state('live', 'live');
    await next.load();
  } catch (e) {
    if (e instanceof Problem && e.status === 401) {
      byId('signin').hidden = false;
      byId('signout').hidden = true;
      localStorage.removeItem(signedIn);
      state('sign in', 'off');
    } else {
      state('no answer', 'off');
      problem(`The sink does not answer: ${e.message}. The figures below are old.`);
    }
  } finally {
    asking = false;
  }
}

byId('signin').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    await ask('POST', '/v1/session', { token: byId('token').value });
    byId('token').value = '';
    localStorage.setItem(signedIn, '1');
    problem('');
    look();
  } catch (e) {
    problem(`Not signed in: ${e.message}`);
  }
});

byId('signout').addEventListener('click', async () => {
  try {
    await ask('DELETE', '/v1/session');
    tail.end();
    await look();
    byId('token').focus();
  } catch (e) {
    problem(`Not signed out: ${e.message}`);
  }
});

storm.begin(look);
next.begin(look);
tail.begin();
document.addEventListener('visibilitychange', look);
setInterval(look, every);
look();
