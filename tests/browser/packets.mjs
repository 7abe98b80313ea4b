// Where in a recording's bytes a picture is, and how long the recording is, as ffprobe tells from its packets.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/**
 * Reads the packets of the recording at `path`. Returns `length`, the end of the last packet of any stream in
 * seconds (a recorder's file does not tell its own), and `bytesFor(time)`: the positions `{ from, to }` of the bytes
 * a decoder needs for the picture at `time`, from the key frame before it to the picture's own end.
 */
export async function packetsOf(path) {
  const entries = "packet=codec_type,pts_time,duration_time,size,pos,flags";
  const ffprobe = spawn("ffprobe", ["-v", "error", "-show_entries", entries, "-of", "csv=print_section=0", path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(ffprobe, "close");
  let length = 0;
  let from = 0;
  let last = null;
  const pictures = [];
  for await (const line of createInterface({ input: ffprobe.stdout })) {
    const [kind, start, duration, size, position, flags] = line.split(",");
    length = Math.max(length, Number(start) + (Number(duration) || 0));
    // A packet's position and size leave out part of its block's framing; where the next one starts, it has ended.
    if (last !== null) last.to = Number(position);
    last = null;
    if (kind !== "video") continue;
    if (flags.startsWith("K")) from = Number(position);
    last = { time: Number(start), from, to: Number(position) + Number(size) };
    pictures.push(last);
  }
  const [status] = await ended;
  if (status !== 0 || pictures.length === 0) throw new Error(`ffprobe found no pictures in ${path}`);

  const bytesFor = (time) => {
    const { from, to } = pictures.findLast((picture) => picture.time <= time) ?? pictures[0];
    return { from, to };
  };
  return { length, bytesFor };
}
