// Starts a real Chromium, headless, with a new profile of its own.

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Starts the Chromium at `CHROMIUM_BIN` (by default /usr/bin/chromium) with `flags` added, its profile in the
 * empty folder `profile`. The caller closes the context that is returned.
 */
export function startChromium(profile, flags = []) {
  return chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM_BIN || "/usr/bin/chromium",
    headless: true,
    args: [...FLAGS, ...flags],
  });
}
