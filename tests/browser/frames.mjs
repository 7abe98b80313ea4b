// Which numbered picture (clock.mjs) a recording shows at which time, told by ffmpeg's own decoder.
//
//   node frames.mjs FILE.webm
//
// prints one line per picture: its time in seconds, its number.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { COLUMNS, ROWS, numberOf } from "./clock.mjs";

const STRIP_BYTES = COLUMNS * ROWS;

/**
 * Decodes the recording at `path` and returns its pictures in the order shown, `{ time, number }` each, `time` in
 * seconds. Holds only the strip of one picture at a time. Fails if a picture's number cannot be read.
 */
export async function framesOf(path) {
  // The strip is the upper eighth of the width; its middle half in each block keeps clear of smeared edges.
  const filters = ["showinfo=checksum=0", `crop=iw:iw*${ROWS}/${COLUMNS}:0:0`, `scale=${COLUMNS}:${ROWS}:flags=area`, "format=gray"];
  const ffmpeg = spawn(
    "ffmpeg",
    [
      ["-hide_banner", "-nostats", "-nostdin", "-loglevel", "info", "-threads", "1", "-copyts", "-i", path],
      ["-map", "0:v:0", "-vf", filters.join(","), "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"],
    ].flat(),
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const ended = once(ffmpeg, "close");

  const times = [];
  let lastLine = "";
  const reading = (async () => {
    for await (const line of createInterface({ input: ffmpeg.stderr })) {
      const shown = /showinfo.* n: *\d+ .*pts_time:([-\d.]+)/.exec(line);
      if (shown) times.push(Number(shown[1]));
      else lastLine = line;
    }
  })();

  const numbers = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of ffmpeg.stdout) {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= STRIP_BYTES; rest = rest.subarray(STRIP_BYTES)) {
      const number = numberOf(rest.subarray(0, STRIP_BYTES));
      if (number === null) throw new Error(`${path}: picture ${numbers.length} carries no number that can be read`);
      numbers.push(number);
    }
  }
  await reading;
  const [status] = await ended;
  if (status !== 0) throw new Error(`ffmpeg could not decode ${path}: ${lastLine}`);
  if (times.length !== numbers.length || times.length === 0) {
    throw new Error(`${path}: ffmpeg told ${times.length} times for ${numbers.length} pictures`);
  }
  return numbers.map((number, index) => ({ time: times[index], number }));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    if (process.argv.length !== 3) throw new Error("usage: node frames.mjs FILE.webm");
    for (const { time, number } of await framesOf(process.argv[2])) console.log(`${time.toFixed(3)} ${number}`);
  } catch (error) {
    console.error(`frames: ${error.message}`);
    process.exitCode = 1;
  }
}
