// Writes C2SP's age test vectors (npm package cctv-age) into a folder, one file each, named as upstream names them.
//
//   node unpack-cctv.mjs DIR
//
// A vector is `key: value` lines, an empty line, then the age file. Vectors marked `compressed: zlib` are inflated and
// lose that line, so that a reader needs no zlib; everything else is byte for byte what was published.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import * as vectors from "cctv-age";

const [directory, ...rest] = process.argv.slice(2);
if (directory === undefined || rest.length > 0) {
  console.error("usage: node unpack-cctv.mjs DIR");
  process.exit(2);
}

const COMPRESSED = "compressed: zlib\n";

function inflated(name, published) {
  const vector = Buffer.from(published);
  const split = vector.indexOf("\n\n");
  if (split < 0) throw new Error(`${name}: no empty line after the vector's header`);
  const header = vector.subarray(0, split + 1).toString("utf8");
  if (!header.includes("compressed:")) return vector;
  if (!header.includes(COMPRESSED)) throw new Error(`${name}: unknown compression`);
  return Buffer.concat([
    Buffer.from(`${header.replace(COMPRESSED, "")}\n`),
    inflateSync(vector.subarray(split + 2)),
  ]);
}

await mkdir(directory, { recursive: true });
const names = Object.keys(vectors).filter((name) => vectors[name] instanceof Uint8Array);
if (names.length < 100) throw new Error(`only ${names.length} vectors in cctv-age: has its layout changed?`);
for (const name of names) await writeFile(join(directory, name), inflated(name, vectors[name]));
