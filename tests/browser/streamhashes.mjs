// What a recording shows and sounds like, as two hashes: node streamhashes.mjs FILE
//
// Decodes the pictures and the sound with ffmpeg and prints the SHA-256 of each as one JSON object,
// {"pictures": …, "sound": …}; null for a stream the file does not have. Times do not enter, so two files with
// another head, index or lengths agree exactly when every picture and every sample does.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

async function kindsIn(path) {
  const { stdout } = await run("ffprobe", ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", path]);
  return new Set(stdout.split("\n").map((line) => line.replace(/,$/, "")));
}

// A damaged file has other hashes, or none where a decoder notices: -xerror makes its first complaint final.
async function hashOf(path, map, codec) {
  const { stdout } = await run("ffmpeg", [
    ...["-v", "error", "-nostdin", "-xerror", "-i", path],
    ...["-map", map, ...codec, "-f", "hash", "-hash", "sha256", "-"],
  ]);
  const match = /^SHA256=([0-9a-f]{64})$/m.exec(stdout);
  if (!match) throw new Error(`ffmpeg told no hash of ${path}`);
  return match[1];
}

try {
  const [path, ...rest] = process.argv.slice(2);
  if (path === undefined || rest.length > 0) throw new Error("usage: node streamhashes.mjs FILE");
  const kinds = await kindsIn(path);
  const pictures = kinds.has("video")
    ? await hashOf(path, "0:v:0", ["-fps_mode", "passthrough", "-c:v", "rawvideo", "-pix_fmt", "yuv420p"])
    : null;
  const sound = kinds.has("audio") ? await hashOf(path, "0:a:0", ["-c:a", "pcm_s16le"]) : null;
  if (pictures === null && sound === null) throw new Error(`${path} has neither pictures nor sound`);
  console.log(JSON.stringify({ pictures, sound }));
} catch (error) {
  console.error(`streamhashes: ${error.message.trim()}`);
  process.exitCode = 1;
}
