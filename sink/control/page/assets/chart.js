// The last two minutes as lines.
import { rate } from './figures.js';

const points = 120;
const width = 720;
const height = 180;
const svg = 'http://www.w3.org/2000/svg';
let series = []; // { messages, connections } per second, the newest last

function path(of, most, name) {
  const e = document.createElementNS(svg, 'path');
  const x = (i) => width - ((series.length - 1 - i) * width) / (points - 1);
  e.setAttribute('d', series.map((p, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${(height - 4 - (of(p) / most) * (height - 12)).toFixed(1)}`).join(''));
  e.setAttribute('class', name);
  return e;
}

function draw() {
  const chart = document.getElementById('chart');
  const most = Math.max(1, ...series.map((p) => Math.max(p.messages, p.connections)));
  const grid = document.createElementNS(svg, 'path');
  grid.setAttribute('d', `M0 8H${width}M0 ${height / 2}H${width}M0 ${height - 4}H${width}`);
  grid.setAttribute('class', 'grid');
  chart.replaceChildren(grid, path((p) => p.connections, most, 'connections'), path((p) => p.messages, most, 'messages'));
  const last = series[series.length - 1] || { messages: 0, connections: 0 };
  const n = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
  document.getElementById('chart-text').textContent =
    `Solid: messages, ${n.format(last.messages)} per second now. Dashed: connections, ${n.format(last.connections)}. The top line is ${n.format(most)} per second.`;
}

export const chart = {
  begin(windows) {
    series = windows.slice(-points).map((w) => ({ messages: (w.messages || 0) / (w.length_s || 1), connections: (w.connections || 0) / (w.length_s || 1) }));
  },
  add(stats, before) {
    if (before) series.push({ messages: rate(stats, before, (c) => c.messages), connections: rate(stats, before, (c) => c.connections) });
    series = series.slice(-points);
    draw();
  },
};
