// Jumps about in a recording of sound in a real Chromium: node sound.mjs URL LENGTH MOMENT...
//
// The player must know the recording's length, be able to seek in all of it, and go on playing from each moment
// (all in seconds). Exit code 0: it did. 1: it did not. 2: wrong usage.

import { join } from "node:path";
import { startChromium } from "./chromium.mjs";
import { withScratch } from "./scratch.mjs";

/** How far the player's length may be from what it should be, in seconds. */
const LENGTH_TOLERANCE = 0.1;

/** How far it must have played from a moment on, in seconds. */
const PLAYED = 0.3;

// Runs in the page: jumps to each moment and waits until it was played from there.
async function jumpAbout({ url, moments, played }) {
  const player = document.createElement("video");
  document.body.replaceChildren(player);
  player.muted = true;
  const happened = (event) =>
    new Promise((resolve, reject) => {
      player.addEventListener(event, resolve, { once: true });
      player.addEventListener("error", () => reject(new Error(player.error.message)), { once: true });
    });
  const loaded = happened("loadeddata");
  player.src = url;
  await loaded;
  const said = { duration: player.duration, seekable: [player.seekable.start(0), player.seekable.end(0)] };
  for (const moment of moments) {
    const sought = happened("seeked");
    player.currentTime = moment;
    await sought;
    if (Math.abs(player.currentTime - moment) > 0.01) throw new Error(`at ${player.currentTime}, not at ${moment}`);
    await player.play();
    while (player.currentTime < moment + played) await happened("timeupdate");
    player.pause();
  }
  return said;
}

const [url, length, ...moments] = process.argv.slice(2);
if (moments.length === 0 || [length, ...moments].some((number) => !/^\d+(\.\d+)?$/.test(number))) {
  console.error("usage: node sound.mjs URL LENGTH MOMENT...");
  process.exit(2);
}
try {
  const said = await withScratch(async (folder) => {
    const context = await startChromium(join(folder, "profile"));
    try {
      const page = await context.newPage();
      // An address of the same origin, so that the page may load the medium.
      await page.goto(url);
      return await page.evaluate(jumpAbout, { url, moments: moments.map(Number), played: PLAYED });
    } finally {
      await context.close();
    }
  });
  console.log(JSON.stringify(said));
  const expected = Number(length);
  const isWhole = said.seekable[0] === 0 && Math.abs(said.seekable[1] - said.duration) < 0.001;
  if (!isWhole || !(Math.abs(said.duration - expected) < LENGTH_TOLERANCE)) {
    throw new Error(`the player says ${said.duration} s and seeks in ${said.seekable}, not ${expected} s`);
  }
} catch (error) {
  // Playwright adds the page's stack to the first line.
  console.error(`sound: ${error.message.split("\n", 1)[0]}`);
  process.exitCode = 1;
}
