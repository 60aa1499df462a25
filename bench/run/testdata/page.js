// Opens a page that is a file in a real browser, waits until it shows every one of the texts, and says what it shows as one line of JSON.
// Environment: URL of the page, WANT the texts as a JSON array.
import { browser } from 'k6/browser';

export const options = {
  scenarios: { look: { executor: 'shared-iterations', vus: 1, iterations: 1, maxDuration: '170s', options: { browser: { type: 'chromium' } } } },
};

// What the page shows: innerText leaves out scripts, styles and what isn't drawn.
function lacking(want) {
  const shown = document.body.innerText;
  return want.filter((text) => !shown.includes(text));
}

export default async function () {
  const want = JSON.parse(__ENV.WANT);
  const page = await browser.newPage();
  await page.goto(__ENV.URL);
  let lacks = want;
  for (const deadline = Date.now() + 120000; lacks.length > 0 && Date.now() < deadline; ) {
    await page.waitForTimeout(250);
    lacks = await page.evaluate(lacking, want);
  }
  console.log('SAW ' + JSON.stringify({ lacks, shown: lacks.length > 0 ? await page.evaluate(() => document.body.innerText) : '' }));
  await page.close();
}
