// Shows that seek.mjs tells a player that can jump from one that cannot: on a recording as the recorder left it,
// on the same with an index, and on one that shows its pictures too late.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { serveRanges } from "./range-server.mjs";
import { withScratch } from "./scratch.mjs";

const run = promisify(execFile);
const ORIGINAL = process.env.RECORDING || new URL("../media/mediarecorder.webm", import.meta.url).pathname;
const SEEK = new URL("seek.mjs", import.meta.url).pathname;

const remux = (to, ...settings) => run("ffmpeg", ["-v", "error", "-i", ORIGINAL, "-c", "copy", ...settings, "-cues_to_front", "1", to]);

/** Serves the file at `path`, runs seek.mjs on `where` ("page" or "media") and returns how it ended. */
async function seek(path, where) {
  const server = await serveRanges(path, { answerParts: 1 });
  try {
    const args = [SEEK, server[where], ORIGINAL, "12", "chosen", "--counter", server.counter, "--json"];
    const { code = 0, stdout, stderr } = await run(process.execPath, args).catch((error) => error);
    return { code, stderr, result: stdout === "" ? null : JSON.parse(stdout) };
  } finally {
    await server.close();
  }
}

test("a recording as the recorder left it fails: the player does not know its length", async () => {
  const { code, stderr, result } = await seek(ORIGINAL, "page");
  assert.equal(code, 1);
  assert.equal(result, null);
  assert.match(stderr, /duration is Infinity/);
});

for (const where of ["page", "media"]) {
  test(`a recording with an index passes, opened by its ${where}`, async () => {
    await withScratch(async (folder) => {
      const indexed = join(folder, "indexed.webm");
      await remux(indexed);
      const { code, stderr, result } = await seek(indexed, where);
      assert.equal(code, 0, stderr);
      assert.equal(result.jumps.length, 12);
      assert.equal(result.summary.wrong, 0);
      // The two key frames of the recording, and no other place, are where its pictures are decoded from.
      assert.equal(new Set(result.jumps.map(({ bytes }) => bytes.from)).size, 2);
      assert.ok(result.jumps.every(({ bytes, needed }) => bytes.from < bytes.to && needed <= 1));
    });
  });
}

test("pictures shown two too late fail", async () => {
  await withScratch(async (folder) => {
    const late = join(folder, "late.webm");
    await remux(late, "-bsf:v", "setts=ts=TS+0.14/TB");
    const { code, stderr, result } = await seek(late, "page");
    assert.equal(code, 1, stderr);
    assert.equal(result.summary.wrong, result.summary.jumps);
  });
});
