// A folder for what one run writes, gone when the run ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `work` with a new empty folder, and removes it afterwards, also when the process is told to end. */
export async function withScratch(work) {
  const folder = mkdtempSync(join(tmpdir(), "vault-browser-"));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  // Playwright ends Chromium on these signals, and then this process: "exit" is the place to clean up.
  process.once("exit", remove);
  try {
    return await work(folder);
  } finally {
    process.removeListener("exit", remove);
    remove();
  }
}
