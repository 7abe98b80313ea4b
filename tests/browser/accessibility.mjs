// Checks a page with axe in Chromium: light and dark, wide and as narrow as a phone.
// Usage: node accessibility.mjs PATH-OR-URL [SCREENSHOT-FOLDER]. Exits with 0 without violations, 1 with some.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [page, screenshots] = process.argv.slice(2);
if (!page) {
  console.error('usage: node accessibility.mjs PATH-OR-URL [SCREENSHOT-FOLDER]');
  process.exit(2);
}
const url = existsSync(page) ? pathToFileURL(resolve(page)).href : page;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'];
const profile = mkdtempSync(join(tmpdir(), 'vault-accessibility-'));
let violations = 0;
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM_BIN || '/usr/bin/chromium',
  headless: true,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
try {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1000, 360]) {
      const tab = await browser.newPage();
      await tab.setViewportSize({ width, height: 800 });
      await tab.emulateMedia({ colorScheme });
      await tab.goto(url);
      // What is folded away must be sound too.
      await tab.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
      // The driver runs this outside the page's own policy.
      await tab.evaluate(axe);
      const result = await tab.evaluate((values) => axe.run(document, { runOnly: { type: 'tag', values } }), rules);
      const wide = await tab.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      const where = `${colorScheme}, ${width} px`;
      if (wide) {
        violations += 1;
        console.log(`${where}: the page scrolls sideways`);
      }
      for (const violation of result.violations) {
        violations += 1;
        console.log(`${where}: ${violation.id} (${violation.impact}): ${violation.help}`);
        for (const node of violation.nodes) console.log(`    ${node.target.join(' ')}: ${node.html.slice(0, 200)}`);
      }
      console.log(`${where}: ${result.passes.length} rules passed, ${result.incomplete.length} need a person's eye: ${result.incomplete.map((rule) => rule.id).join(', ')}`);
      if (screenshots) await tab.screenshot({ path: join(screenshots, `${colorScheme}-${width}.png`), fullPage: true });
      await tab.close();
    }
  }
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(`${violations} violations`);
process.exit(violations ? 1 : 0);
