// Drives the page in a real browser. Arguments: the page's URL, that of the test's own hooks, the browser, a directory for pictures, and
// the URL of a sink that asks for a token, with the token. Prints what is wrong as JSON.
import puppeteer from 'puppeteer-core';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [url, hooks, executablePath, pictures, guarded, token] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8');
const wrong = [];
const measured = {};
const check = (so, what) => { if (!so) wrong.push(what); };
const patience = { timeout: 30000, polling: 100 };
const hook = async (path) => (await fetch(hooks + path)).text();

const browser = await puppeteer.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] });
try {
  const page = await browser.newPage();
  const answers = new Map();
  let cut = false; // requests fail then, as they shall
  page.on('console', (m) => { if (['error', 'warn'].includes(m.type()) && !cut && !m.text().startsWith('Failed to load resource')) /* a refusal, which the page tells */ wrong.push(`the console says: ${m.text()}`); });
  page.on('pageerror', (e) => wrong.push(`a script failed: ${e.message}`));
  page.on('request', (r) => check(r.url().startsWith(url) || r.url().startsWith('data:'), `the page asks for ${r.url()}`));
  page.on('response', async (r) => {
    if (!r.url().includes('/v1/stats')) return;
    try {
      const stats = await r.json();
      answers.set(stats.time, stats);
    } catch {
      // cut
    }
  });
  await page.setViewport({ width: 1400, height: 1000 });
  await page.goto(url, { waitUntil: 'load' });
  await page.waitForFunction(() => Number(document.querySelector('[data-value=messages]').dataset.exact) > 100, patience);

  // Under load, the figures on the page are those of the answer with the same sequence number and time.
  let compared = 0;
  for (let last = ''; compared < 4;) {
    await page.waitForFunction((t) => document.querySelector('[data-value=time]').dataset.exact !== t, patience, last);
    const shown = await page.evaluate(() => ({
      values: Object.fromEntries([...document.querySelectorAll('[data-value]')].map((e) => [e.dataset.value, e.dataset.exact])),
      replies: [...document.querySelectorAll('#replies tbody tr')].map((r) => [r.dataset.key, Number(r.dataset.decided), Number(r.dataset.sent)]),
      destinations: [...document.querySelectorAll('#destinations tbody tr')].map((r) => [...r.children].map((c) => c.textContent)),
    }));
    last = shown.values.time;
    const stats = answers.get(last);
    if (!stats) continue; // the answer was not read here yet
    const c = stats.counts;
    const same = (name, want) => check(Number(shown.values[name]) === want, `${name} is ${shown.values[name]} on the page, ${want} in the stats of ${stats.seq}`);
    same('seq', stats.seq);
    same('open', c.open || 0);
    same('connections', c.connections);
    same('messages', c.messages);
    same('delivered', c.attempts.delivered);
    same('deferred', c.attempts.deferred);
    same('bounced', c.attempts.bounced);
    same('delays', c.delays.count);
    const sums = new Map();
    for (const r of c.replies) {
      const sum = sums.get(`${r.stage} ${r.code}`) || [0, 0];
      sums.set(`${r.stage} ${r.code}`, [sum[0] + (r.decided || 0), sum[1] + (r.sent || 0)]);
    }
    check(sums.size === shown.replies.length, `${shown.replies.length} rows of replies, ${sums.size} in the stats`);
    for (const [key, decided, sent] of shown.replies) check(String(sums.get(key)) === `${decided},${sent}`, `${key}: ${decided}, ${sent} on the page, ${sums.get(key)} in the stats`);
    check(shown.destinations.length === c.destinations.length && shown.destinations[0][2].replaceAll(',', '') === String(c.destinations[0].attempts.delivered), `destinations ${shown.destinations}`);
    compared++;
  }
  measured.compared = compared;
  check(await page.$eval('[data-value=message_rate]', (e) => Number(e.textContent.replaceAll(',', '')) > 0), 'no messages per second under load');

  // A click at a place could miss: the page under load moves what stands on it.
  const press = (selector) => page.$eval(selector, (e) => e.click());

  // By keyboard: the storm's second phase.
  await page.focus('#timeline li:nth-child(2) button');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#storm-now').textContent.startsWith('outage:') && document.querySelector('#timeline li:nth-child(2) button').getAttribute('aria-current') === 'step', patience);
  const at = await (await fetch(`${url}/v1/storm`)).json();
  check(at.phase === 'outage' && at.index === 1, `the storm is at ${JSON.stringify(at)}`);
  await page.focus('#extend-by');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#storm-said').textContent.includes('30s longer'), patience);

  // By keyboard: the storm is over, and is started anew.
  const state = async () => (await (await fetch(`${url}/v1/storm`)).json()).state;
  await page.focus('[data-act=stop]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#storm-said').textContent === 'The storm is over.' && document.querySelector('#storm-now').textContent.includes('over'), patience);
  check(await state() === 'over', `the storm that was stopped is ${await state()}`);
  await page.focus('[data-act=start]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#storm-said').textContent === 'The storm has started.', patience);
  check(await state() === 'running', `the storm that was started is ${await state()}`);
  await page.focus('#timeline li:nth-child(2) button');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#storm-now').textContent.startsWith('outage:'), patience);

  // By keyboard: the next mail fails, and is told so; the one after doesn't.
  await page.focus('#next-value');
  await page.keyboard.type('victim@recipient.test');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#next-list li'), patience);
  const codes = [await hook('/send?to=victim@recipient.test'), await hook('/send?to=victim@recipient.test')];
  check(codes.join() === '450,250', `mail to the victim was answered ${codes}`);
  await page.waitForFunction(() => document.querySelector('#next-list li').textContent.includes('0 to go, 1 met'), patience);
  check(await page.$eval('#next-list li', (e) => e.textContent.startsWith('450 4.2.1 at rcpt of recipient victim@recipient.test')), `the list says ${await page.$eval('#next-list', (e) => e.textContent)}`);

  // One that is taken back is not met.
  await press('#next button[type=submit]');
  await page.waitForFunction(() => document.querySelectorAll('#next-list li').length === 2, patience);
  await page.focus('#next-list li:nth-child(2) button');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#next-said').textContent === 'Taken back.' && document.querySelectorAll('#next-list li').length === 1, patience);
  const after = await hook('/send?to=victim@recipient.test');
  check(after === '250', `what was taken back was met: ${after}`);
  await page.type('#next-value', ' nobody at all');
  await press('#next button[type=submit]');
  await page.waitForFunction(() => document.querySelector('#next-said').textContent.startsWith('Not asked for:'), patience);

  // Events: a wrong filter is told, a stream that breaks goes on without a gap, and what a client says is text.
  await page.type('#f-code', 'abc');
  await page.focus('#follow');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#tail-said').textContent.startsWith('Not following: code'), patience);
  await page.$eval('#f-code', (e) => { e.value = ''; });
  await page.type('#f-recipient', '*@tail.test');
  await press('#follow');
  await page.waitForFunction(() => document.querySelector('#tail-said').textContent === 'Following.', patience);
  let sent = 0;
  const send = async (n) => { for (const end = sent + n; sent < end; sent++) await hook(`/send?to=${encodeURIComponent(`"<img src=x onerror=alert(1)>${sent}"@tail.test`)}`); };
  const numbers = () => page.$$eval('#tail li', (all) => all.map((e) => Number(/>(\d+)"@/.exec(e.textContent)[1])));
  await send(5);
  await page.waitForFunction(() => document.querySelectorAll('#tail li').length >= 5, patience);
  cut = true;
  await hook('/cut');
  await send(20);
  await page.waitForFunction(() => document.querySelectorAll('#tail li').length >= 25, patience);
  await send(5);
  await page.waitForFunction(() => document.querySelectorAll('#tail li').length >= 30 && document.querySelector('#state').textContent === 'live', patience);
  cut = false;
  const got = await numbers();
  check(got.join() === Array.from({ length: 30 }, (_, i) => 29 - i).join(), `the events are ${got}`);
  check(await page.$$eval('#tail img', (all) => all.length) === 0, 'a client has written HTML into the page');

  // Four looks: nothing is wider than the window, and axe finds nothing.
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    for (const [width, height] of [[1400, 1000], [390, 844]]) {
      await page.setViewport({ width, height });
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(wide <= 0, `at ${width} the page is ${wide} px too wide`);
      await page.evaluate(axe);
      const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document));
      check(passes.length > 20, `axe looked at ${passes.length} rules only`);
      for (const v of violations) wrong.push(`axe, ${scheme}, ${width}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html).join(' ')}`);
      await page.screenshot({ path: `${pictures}/${scheme}-${width}.png`, fullPage: true });
    }
  }

  // A sink that asks for a token.
  const other = await browser.newPage();
  await other.goto(guarded, { waitUntil: 'load' });
  await other.waitForSelector('#signin:not([hidden])', { timeout: 30000 });
  await other.type('#token', 'wrong');
  await other.keyboard.press('Enter');
  await other.waitForFunction(() => document.querySelector('#problem').textContent.startsWith('Not signed in:'), patience);
  await other.$eval('#token', (e) => { e.value = ''; });
  await other.type('#token', token);
  await other.keyboard.press('Enter');
  await other.waitForFunction(() => document.querySelector('#state').textContent === 'live', patience); // of a sink that has counted nothing yet
  await other.reload({ waitUntil: 'load' });
  await other.waitForSelector('#signout:not([hidden])', { timeout: 30000 }); // also a page that did not sign in itself
  await other.focus('#signout');
  await other.keyboard.press('Enter');
  await other.waitForFunction(() => !document.querySelector('#signin').hidden && document.querySelector('#signout').hidden, patience);
  check(await other.evaluate(async () => (await fetch('/v1/stats')).status) === 401, 'who has signed out is still let in');
  check((await other.cookies()).length === 0, 'the cookie stays');
} catch (e) {
  wrong.push(`${e.stack}`);
} finally {
  await browser.close();
}
console.log(JSON.stringify({ wrong, measured }));
