// Runs a program that is compiled for wasm32-wasip1, and gives it what a page in a browser has: clocks, random bytes
// and a place for lines of text. Whatever else it asks for, a file above all, ends it.
//
//   node wasm-world.mjs PROGRAM.wasm [ARGUMENT…]
//
// It sees the environment variables that begin with WORLD_, and no others. Exit code: the program's own; 134 if it
// panics. node:wasi would do, but it gives more than a browser does, and Node 18, which Debian 12 has, hides it behind
// a flag.
import { webcrypto } from "node:crypto";
import { readFileSync, writeSync } from "node:fs";
import { performance } from "node:perf_hooks";

const [OK, BAD_DESCRIPTOR, INVALID] = [0, 8, 28];
const TERMINAL = 2; // a character device
const MOST_RANDOM_BYTES = 65536; // of one call, in every browser

class Exit {
  constructor(code) {
    this.code = code;
  }
}

const [program, ...rest] = process.argv.slice(2);
if (program === undefined) {
  console.error("usage: node wasm-world.mjs PROGRAM.wasm [ARGUMENT…]");
  process.exit(2);
}

// Whenever the memory grows, what was made of it before is void.
let memory;
const view = () => new DataView(memory.buffer);
const bytes = (at, length) => new Uint8Array(memory.buffer, at, length);

const encoded = (texts) => texts.map((text) => new TextEncoder().encode(`${text}\0`));
const settings = Object.entries(process.env).filter(([name]) => name.startsWith("WORLD_"));
const args = encoded(["world", ...rest]);
const environ = encoded(settings.map(([name, value]) => `${name}=${value}`));

const sizes = (texts) => (countAt, bytesAt) => {
  view().setUint32(countAt, texts.length, true);
  view().setUint32(bytesAt, texts.reduce((sum, text) => sum + text.length, 0), true);
  return OK;
};

const copies = (texts) => (pointersAt, textAt) => {
  for (const [number, text] of texts.entries()) {
    view().setUint32(pointersAt + number * 4, textAt, true);
    bytes(textAt, text.length).set(text);
    textAt += text.length;
  }
  return OK;
};

const given = {
  args_sizes_get: sizes(args),
  args_get: copies(args),
  environ_sizes_get: sizes(environ),
  environ_get: copies(environ),
  clock_time_get(clock, _precision, at) {
    if (clock > 1) return INVALID;
    const milliseconds = clock === 0 ? Date.now() : performance.now();
    view().setBigUint64(at, BigInt(Math.round(milliseconds * 1e6)), true);
    return OK;
  },
  random_get(at, length) {
    for (let done = 0; done < length; done += MOST_RANDOM_BYTES) {
      webcrypto.getRandomValues(bytes(at + done, Math.min(MOST_RANDOM_BYTES, length - done)));
    }
    return OK;
  },
  fd_fdstat_get(descriptor, at) {
    if (descriptor > 2) return BAD_DESCRIPTOR;
    bytes(at, 24).fill(0);
    view().setUint8(at, TERMINAL);
    return OK;
  },
  fd_write(descriptor, vectorsAt, count, writtenAt) {
    if (descriptor !== 1 && descriptor !== 2) return BAD_DESCRIPTOR;
    let written = 0;
    for (let vector = vectorsAt; vector < vectorsAt + count * 8; vector += 8) {
      const text = bytes(view().getUint32(vector, true), view().getUint32(vector + 4, true));
      for (let at = 0; at < text.length; ) at += writeSync(descriptor, text, at);
      written += text.length;
    }
    view().setUint32(writtenAt, written, true);
    return OK;
  },
  // No folder was opened for it.
  fd_prestat_get: () => BAD_DESCRIPTOR,
  sched_yield: () => OK,
  proc_exit(code) {
    throw new Exit(code);
  },
};

const refused = (name) => () => {
  throw new Error(`it asked for ${name}, which no page in a browser is given`);
};
const module = new WebAssembly.Module(readFileSync(program));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  imports[from][name] = Object.hasOwn(given, name) ? given[name] : refused(name);
}

const instance = new WebAssembly.Instance(module, imports);
memory = instance.exports.memory;
try {
  instance.exports._start();
} catch (error) {
  if (error instanceof Exit) process.exit(error.code);
  console.error(`wasm-world.mjs: ${error.message}`);
  process.exit(134);
}
