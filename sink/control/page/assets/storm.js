// The phases of a storm on a line of time, and the hand that moves them.
import { ask } from './api.js';

const byId = (id) => document.getElementById(id);
let phases = [];
let again = () => {};

const span = (s) => (s >= 120 ? `${Math.round(s / 6) / 10} min` : `${Math.round(s)} s`);

async function move(body, done) {
  const said = byId('storm-said');
  try {
    await ask('POST', '/v1/storm', body);
    said.textContent = done;
    again();
  } catch (e) {
    said.textContent = `Not done: ${e.message}`;
  }
}

function draw() {
  const line = byId('timeline');
  line.replaceChildren();
  byId('storm-acts').hidden = phases.length === 0;
  const all = phases.reduce((sum, p) => sum + p.duration_s, 0);
  phases.forEach((p, i) => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    const name = document.createElement('strong');
    const when = document.createElement('span');
    const far = document.createElement('progress');
    item.style.flexGrow = Math.max(p.duration_s / all, 0.08) * 100; // a short one still has a name
    button.type = 'button';
    name.textContent = p.name;
    when.textContent = `${span(p.duration_s)} from ${span(p.begin_s)}`;
    when.className = 'soft small';
    far.max = 1;
    far.value = 0;
    far.ariaLabel = `How far ${p.name} is`;
    button.title = `Jump to ${p.name} (${when.textContent})`; // a narrow one is cut short
    button.append(name, when);
    button.addEventListener('click', () => move({ action: 'jump', index: i }, `Jumped to ${p.name}.`));
    item.append(button, far);
    line.append(item);
  });
}

export const storm = {
  begin(look) {
    again = look;
    byId('storm-acts').addEventListener('click', (event) => {
      const act = event.target.dataset.act;
      if (!act) return;
      const body = { action: act };
      if (act === 'extend') body.by = byId('extend-by').value;
      move(body, { start: 'The storm has started.', stop: 'The storm is over.', extend: `The phase takes ${body.by} longer.` }[act]);
    });
  },
  async load() {
    phases = (await ask('GET', '/v1/storm')).phases || [];
    draw();
  },
  show(now) {
    const text = {
      none: 'This plan has no phases.',
      waiting: `The storm has not begun${now.phase_remaining_s ? `: ${span(now.phase_remaining_s)} to go` : ''}.`,
      over: 'The storm is over.',
      running: `${now.phase}: ${span(now.phase_elapsed_s || 0)} of it, ${span(now.phase_remaining_s || 0)} to go.`,
    }[now.state];
    byId('storm-now').textContent = text;
    [...byId('timeline').children].forEach((item, i) => {
      const button = item.firstChild;
      const here = now.state === 'running' && now.index === i;
      if (here) button.setAttribute('aria-current', 'step');
      else button.removeAttribute('aria-current');
      const done = now.state === 'over' || (now.state === 'running' && i < now.index) ? 1 : 0;
      item.lastChild.value = here ? now.phase_elapsed_s / (now.phase_elapsed_s + now.phase_remaining_s || 1) : done;
    });
  },
};
