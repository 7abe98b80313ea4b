// Jumps about in a recording in a real Chromium: node seek.mjs URL ORIGINAL.webm COUNT SEED [--counter URL2] [--json]
//
// URL is the recording itself (Chromium then makes a page with a player) or a page with a <video>. The player
// must know the recording's length and be able to seek in all of it. Then come COUNT jumps to times drawn from
// SEED; after each the picture on the screen must be the one ORIGINAL has at that time, one more or less, as
// told by the numbers in the pictures (clock.mjs) and by ffmpeg's decoder (frames.mjs).
//
// --counter: this URL answers {"parts": N}, the number of parts fetched so far. It is asked when the picture of a
// jump is shown and again when the number stays the same. Where the answer also has "partBytes" and "fetched", the
// indices of all parts fetched so far in their order, a part being that many bytes of ORIGINAL, each jump also tells
// "needed": how many of its parts are not beyond the picture, so not the player's reading ahead. Every jump tells
// with "bytes" where in ORIGINAL its picture and the key frame it starts from are.
//
// Exit code 0: every picture was right. 1: one was not, or the player could not be used. 2: wrong usage.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startChromium } from "./chromium.mjs";
import { COLUMNS, ROWS, numberOf } from "./clock.mjs";
import { framesOf } from "./frames.mjs";
import { packetsOf } from "./packets.mjs";
import { withScratch } from "./scratch.mjs";

/** How far the player's length may be from the original's, in seconds. */
const LENGTH_TOLERANCE = 0.2;

/** A jump shorter than this may end in the picture already shown, which a player need not show again. */
const SHORTEST_JUMP = 0.5;

/** The parts fetched are final when two answers this many milliseconds apart are equal. */
const IDLE_MILLISECONDS = 200;

/** A player or a server that has not settled by then never will: the run fails instead of hanging. */
const HUNG_MILLISECONDS = 60_000;

class Unplayable extends Error {}

function settingsOf(args) {
  const options = { counter: { type: "string" }, json: { type: "boolean", default: false } };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const [url, original, count, seed, ...rest] = positionals;
  if (seed === undefined || rest.length > 0 || !/^[1-9]\d*$/.test(count)) {
    throw new Error("usage: node seek.mjs URL ORIGINAL.webm COUNT SEED [--counter URL2] [--json]");
  }
  return { url, original, count: Number(count), seed, ...values };
}

/** `count` times between `first` and `last`, in seconds, which follow from `seed` alone. */
function timesOf(seed, count, first, last) {
  if (last - first < 4 * SHORTEST_JUMP) throw new Error("the recording is too short to jump about in");
  const times = [];
  for (let draw = 0; times.length < count; draw++) {
    const word = createHash("sha256").update(`${seed}:${draw}`).digest().readUInt32BE();
    const time = Number((first + (word / 2 ** 32) * (last - first)).toFixed(3));
    if (Math.abs(time - (times.at(-1) ?? 0)) >= SHORTEST_JUMP) times.push(time);
  }
  return times;
}

/** The index of the picture shown at `time`: the last one that is not later. */
function indexAt(frames, time) {
  let [low, high] = [0, frames.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (frames[middle].time <= time) low = middle;
    else high = middle;
  }
  return low;
}

// Runs in the page: stops the player, waits until it has a picture, and tells what it knows of the recording.
async function openPlayer() {
  const video = document.querySelector("video");
  if (!video) throw new Error("the page has no <video>");
  video.muted = true;
  video.pause();
  await new Promise((resolve, reject) => {
    const look = () => {
      if (video.error) reject(new Error(`the player failed: ${video.error.message || video.error.code}`));
      else if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) resolve();
    };
    video.addEventListener("error", look);
    video.addEventListener("loadeddata", look);
    video.addEventListener("canplay", look);
    look();
  });
  video.pause();
  // Two turns of the screen, so that the first picture is not taken for the first jump's.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => requestAnimationFrame(resolve));
  const seekable = Array.from({ length: video.seekable.length }, (_, index) => [
    video.seekable.start(index),
    video.seekable.end(index),
  ]);
  return { duration: video.duration, seekable };
}

// Runs in the page: jumps, waits for the picture, and tells the mean brightness of the strip's blocks on it.
async function jump({ time, columns, rows }) {
  const video = document.querySelector("video");
  const begun = performance.now();
  const mediaTime = await new Promise((resolve, reject) => {
    let seeked = false;
    let presented = null;
    const settle = () => seeked && presented !== null && resolve(presented);
    const onFrame = (_, metadata) => {
      presented = metadata.mediaTime;
      settle();
    };
    video.requestVideoFrameCallback(onFrame);
    video.addEventListener("seeked", () => { seeked = true; settle(); }, { once: true });
    video.addEventListener("error", () => reject(new Error(`the player failed: ${video.error?.message}`)), { once: true });
    video.currentTime = time;
  });
  const milliseconds = performance.now() - begun;

  const block = Math.floor(video.videoWidth / columns);
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = block * rows;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const blocks = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      // The middle half of a block keeps clear of edges the encoder smeared.
      const size = Math.ceil(block / 2);
      const inset = Math.floor(block / 4);
      const { data } = context.getImageData(column * block + inset, row * block + inset, size, size);
      let sum = 0;
      for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
      blocks.push(sum / (size * size * 3));
    }
  }
  return { blocks, mediaTime, currentTime: video.currentTime, milliseconds };
}

async function countOf(counter) {
  const answer = await fetch(counter);
  const count = await answer.json();
  if (!answer.ok || !Number.isInteger(count.parts)) throw new Error(`${counter} did not tell the parts fetched`);
  return count;
}

async function countWhenIdle(counter) {
  const hung = Date.now() + HUNG_MILLISECONDS;
  let before = await countOf(counter);
  while (Date.now() < hung) {
    await pause(IDLE_MILLISECONDS);
    const after = await countOf(counter);
    if (after.parts === before.parts) return after;
    before = after;
  }
  throw new Unplayable("the player does not stop fetching, though it is paused");
}

/** What was fetched between two counts for a picture whose packets are at `bytes` of the original. */
function fetchedBetween(before, after, bytes) {
  const parts = after.parts - before.parts;
  if (after.fetched === undefined) return { parts };
  const fetched = after.fetched.slice(before.fetched.length);
  const last = Math.floor((bytes.to - 1) / after.partBytes);
  return { parts, fetched, needed: fetched.filter((index) => index <= last).length };
}

/** Runs `work` in the page. */
async function inPage(page, what, work, argument) {
  const settled = new AbortController();
  const hung = pause(HUNG_MILLISECONDS, null, { signal: settled.signal }).then(
    () => Promise.reject(new Unplayable(`the player hangs: ${what}`)),
    () => {},
  );
  const working = page.evaluate(work, argument);
  try {
    return await Promise.race([working, hung]);
  } finally {
    settled.abort();
    // After a hang the page is closed, which ends its work with an error nobody waits for.
    working.catch(() => {});
  }
}

function checkPlayer({ duration, seekable }, length) {
  if (!Number.isFinite(duration)) throw new Unplayable(`the player does not know the length: duration is ${duration}`);
  if (Math.abs(duration - length) > LENGTH_TOLERANCE) {
    throw new Unplayable(`the player says ${duration} s, the original is ${length.toFixed(3)} s long`);
  }
  const [[start, end] = [NaN, NaN], ...rest] = seekable;
  if (rest.length > 0 || start !== 0 || !(Math.abs(end - duration) < 0.001)) {
    throw new Unplayable(`the player cannot seek in all of it: ${JSON.stringify(seekable)} of ${duration} s`);
  }
}

function median(values) {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)];
}

async function seek({ url, original, count, seed, counter }, report) {
  const [{ length, bytesFor }, frames] = [await packetsOf(original), await framesOf(original)];
  const times = timesOf(seed, count, frames[0].time, frames.at(-1).time);

  return withScratch(async (folder) => {
    const context = await startChromium(join(folder, "profile"));
    try {
      const page = await context.newPage();
      let ranges = [];
      page.on("request", (request) => ranges.push(request.headers().range ?? "all"));
      await page.goto(url);
      const player = await inPage(page, "it shows no first picture", openPlayer);
      checkPlayer(player, length);
      let before = counter && (await countWhenIdle(counter));
      const opening = { parts: before?.parts, ranges };
      report.opened({ ...player, length, opening });

      const jumps = [];
      for (const time of times) {
        ranges = [];
        const seen = await inPage(page, `no picture after a jump to ${time} s`, jump, { time, columns: COLUMNS, rows: ROWS });
        const atPicture = counter && (await countOf(counter));
        const after = counter && (await countWhenIdle(counter));
        const bytes = bytesFor(time);
        const index = indexAt(frames, time);
        const number = numberOf(seen.blocks);
        const near = frames.slice(Math.max(0, index - 1), index + 2).map((frame) => frame.number);
        const right = near.includes(number) && Math.abs(seen.currentTime - time) < 0.001;
        const result = {
          time,
          right,
          number,
          expected: frames[index].number,
          mediaTime: seen.mediaTime,
          currentTime: seen.currentTime,
          milliseconds: Math.round(seen.milliseconds),
          bytes,
          ...(counter && { partsAtPicture: atPicture.parts - before.parts, ...fetchedBetween(before, after, bytes) }),
          ranges,
        };
        before = after;
        jumps.push(result);
        report.jumped(result);
      }
      return { seed, ...player, length, opening, jumps, summary: summaryOf(jumps, Boolean(counter)) };
    } finally {
      await context.close();
    }
  });
}

function summaryOf(jumps, counted) {
  const spread = (values) => ({ median: median(values), max: Math.max(...values) });
  return {
    jumps: jumps.length,
    wrong: jumps.filter(({ right }) => !right).length,
    exact: jumps.filter(({ number, expected }) => number === expected).length,
    milliseconds: spread(jumps.map(({ milliseconds }) => milliseconds)),
    ...(counted && {
      partsAtPicture: spread(jumps.map(({ partsAtPicture }) => partsAtPicture)),
      parts: spread(jumps.map(({ parts }) => parts)),
      ...(jumps[0].needed !== undefined && { needed: spread(jumps.map(({ needed }) => needed)) }),
    }),
  };
}

const onScreen = {
  opened({ duration, length, opening }) {
    const fetched = opening.parts === undefined ? "" : `, ${opening.parts} parts fetched`;
    console.log(`opened: ${duration} s (original ${length.toFixed(3)} s)${fetched}, ranges ${opening.ranges.join(" ")}`);
  },
  jumped({ time, right, number, expected, milliseconds, partsAtPicture, parts, needed, ranges }) {
    const fetched = parts === undefined ? "" : `, ${partsAtPicture} parts at the picture, ${parts} when idle`;
    const asNeeded = needed === undefined ? "" : `, ${needed} of them needed`;
    const verdict = right ? "right" : "WRONG";
    console.log(`${verdict} at ${time} s: picture ${number}, original ${expected}, ${milliseconds} ms${fetched}${asNeeded}, ranges ${ranges.join(" ") || "none"}`);
  },
};
const silent = { opened() {}, jumped() {} };

let settings;
try {
  settings = settingsOf(process.argv.slice(2));
} catch (error) {
  console.error(`seek: ${error.message}`);
  process.exit(2);
}
try {
  const result = await seek(settings, settings.json ? silent : onScreen);
  console.log(JSON.stringify(settings.json ? result : { seed: result.seed, ...result.summary }));
  if (result.summary.wrong > 0) process.exitCode = 1;
} catch (error) {
  // Playwright adds the page's stack to the first line.
  console.error(`seek: ${error.message.split("\n", 1)[0]}`);
  process.exitCode = 1;
}
