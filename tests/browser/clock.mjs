// A picture that carries its own number. The top of every picture is a strip of two rows of sixteen square
// blocks, black or white: first a white and a black reference block, then 16 bits of the number and 14 bits
// that check it. A block is a sixteenth of the width (20 pixels in a picture 320 wide), which survives VP8 at
// any rate worth recording with.

import { spawn } from "node:child_process";
import { once } from "node:events";

export const COLUMNS = 16;
export const ROWS = 2;
const BLOCKS = COLUMNS * ROWS;
const NUMBER_BITS = 16;
const CHECK_BITS = 14;
export const LARGEST_NUMBER = 2 ** NUMBER_BITS - 1;

/** Pictures a second at which Chromium's fake camera plays any MJPEG file. */
export const CAMERA_RATE = 30;

// A multiplication by an odd constant spreads each bit of the number over the upper half of the product, so a
// block misread anywhere in the strip does not give another valid number by chance (1 in 16,384).
function checkOf(number) {
  return Math.imul(number + 1, 0x9e3779b1) >>> (32 - CHECK_BITS);
}

/** The brightness (0 or 255) of the strip's 32 blocks, row by row, for `number` (0 to `LARGEST_NUMBER`). */
export function blocksOf(number) {
  if (!Number.isInteger(number) || number < 0 || number > LARGEST_NUMBER) {
    throw new RangeError(`a picture's number is 0 to ${LARGEST_NUMBER}, not ${number}`);
  }
  const bits = [1, 0];
  for (let bit = NUMBER_BITS - 1; bit >= 0; bit--) bits.push((number >> bit) & 1);
  for (let bit = CHECK_BITS - 1; bit >= 0; bit--) bits.push((checkOf(number) >> bit) & 1);
  return Uint8Array.from(bits, (bit) => bit * 255);
}

/** The number told by the mean brightness of the strip's 32 blocks, or null where no number can be read. */
export function numberOf(blocks) {
  if (blocks.length !== BLOCKS) throw new RangeError(`a strip has ${BLOCKS} blocks, not ${blocks.length}`);
  const [white, black] = blocks;
  const contrast = white - black;
  if (contrast < 96) return null;
  const bits = [];
  for (const block of blocks.slice(2)) {
    const level = (block - black) / contrast;
    if (level > 0.35 && level < 0.65) return null;
    bits.push(level >= 0.5 ? 1 : 0);
  }
  const value = (from, to) => bits.slice(from, to).reduce((sum, bit) => sum * 2 + bit, 0);
  const number = value(0, NUMBER_BITS);
  return value(NUMBER_BITS, NUMBER_BITS + CHECK_BITS) === checkOf(number) ? number : null;
}

/**
 * Writes an MJPEG file for Chromium's fake camera: `count` pictures numbered from 0, under the strip a moving
 * test picture with fresh noise in every frame, which is what makes an encoder spend the bits it was given.
 */
export async function writeCameraFile(path, { width, height, count, noise }) {
  const block = width / COLUMNS;
  if (!Number.isInteger(block / 2) || height % 2 !== 0 || height <= ROWS * block) {
    throw new RangeError(`a picture of ${width}x${height} has no room for the strip: the width must be a multiple of 32`);
  }
  if (count > LARGEST_NUMBER + 1) throw new RangeError(`${count} pictures are more than the strip can number`);
  const stripHeight = ROWS * block;
  const filters = [
    `[0:v]scale=${width}:${stripHeight}:flags=neighbor,format=yuvj420p[strip]`,
    `[1:v]noise=c0_strength=${noise}:c0_flags=t,format=yuvj420p[scene]`,
    "[strip][scene]vstack=shortest=1[picture]",
  ];
  const ffmpeg = spawn(
    "ffmpeg",
    [
      ["-v", "error", "-nostdin", "-threads", "1", "-filter_complex_threads", "1", "-y"],
      ["-f", "rawvideo", "-pix_fmt", "gray", "-s", `${COLUMNS}x${ROWS}`, "-r", `${CAMERA_RATE}`, "-i", "pipe:0"],
      ["-f", "lavfi", "-i", `testsrc2=size=${width}x${height - stripHeight}:rate=${CAMERA_RATE}`],
      ["-filter_complex", filters.join(";"), "-map", "[picture]"],
      ["-c:v", "mjpeg", "-q:v", "15", "-threads", "1", "-f", "mjpeg", path],
    ].flat(),
    { stdio: ["pipe", "inherit", "inherit"] },
  );
  const ended = once(ffmpeg, "close");
  // A broken pipe is told by ffmpeg's own exit status below.
  ffmpeg.stdin.on("error", () => {});
  for (let number = 0; number < count && ffmpeg.stdin.writable; number++) {
    if (!ffmpeg.stdin.write(blocksOf(number))) await Promise.race([once(ffmpeg.stdin, "drain"), ended]);
  }
  ffmpeg.stdin.end();
  const [status] = await ended;
  if (status !== 0) throw new Error(`ffmpeg could not write the camera's file (status ${status})`);
}
