// Looks at the dashboard of a run in a real browser, leg after leg, until the replies 250 and 450 are series of their own, and says what
// it saw as one line of JSON. Environment: URL of the dashboard, SHOT the path of a screenshot.
import { browser } from 'k6/browser';

export const options = {
  scenarios: { look: { executor: 'shared-iterations', vus: 1, iterations: 1, maxDuration: '170s', options: { browser: { type: 'chromium' } } } },
};

function legends() {
  return [...document.querySelectorAll('.u-legend .u-label')].map((e) => e.textContent);
}

export default async function () {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (m) => {
    if (m.type() === 'error' && !m.text().includes('503')) { // 503: the leg has ended
      complaints.push(m.text());
    }
  });
  await page.setViewportSize({ width: 1280, height: 1700 });
  let labels = [];
  const seen = () => ['250', '450'].every((code) => labels.includes(`smtp_replies{code:${code}}`));
  const deadline = Date.now() + 150000;
  while (!seen() && Date.now() < deadline) {
    await page.goto(__ENV.URL);
    for (let looks = 0; looks < 8 && !seen() && Date.now() < deadline; looks++) {
      await page.waitForTimeout(500);
      const tab = page.getByText('Replies', { exact: true });
      if ((await tab.count()) > 0) {
        await tab.first().dispatchEvent('click'); // a real one waits until the page is at rest, which on a busy machine it never is
        labels = await page.evaluate(legends);
      }
    }
  }
  const tabs = await page.evaluate(() => document.querySelector('header, nav, #root > div').innerText);
  await page.screenshot({ path: __ENV.SHOT });
  console.log('SAW ' + JSON.stringify({ labels, complaints, tabs }));
  await page.close();
}
