// A recording over HTTP with ranges, as the plainest possible server would give it, with a count of what it read:
// what seek.mjs is tried on by itself, and what `vault-cli play` can be compared with.
//
//   node range-server.mjs FILE.webm [PORT]
//
// serves it at /recording.webm, and at /count {"parts": N, "bytes": N, "requests": N}. A part is 1 MiB of the
// file, read when an answer needs it; the last one read is kept, another one counts again.

import { once } from "node:events";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const PART = 1024 * 1024;
const CHUNK = 64 * 1024;

function rangeOf(header, size) {
  if (header === undefined) return { status: 200, from: 0, to: size - 1 };
  const match = /^bytes=(\d+)-(\d*)$/.exec(header);
  if (!match || Number(match[1]) >= size) return { status: 416 };
  const to = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  return Number(match[1]) <= to ? { status: 206, from: Number(match[1]), to } : { status: 416 };
}

/** Serves the file at `path` on 127.0.0.1; `log` is told of each request and of each answer's end. */
export async function serveRanges(path, { port = 0, log = () => {} } = {}) {
  const file = await open(path);
  const { size } = await file.stat();
  const count = { parts: 0, bytes: 0, requests: 0 };
  let current = { index: -1, bytes: Buffer.alloc(0) };

  async function piece(position, end) {
    const index = Math.floor(position / PART);
    if (index !== current.index) {
      const bytes = Buffer.alloc(Math.min(PART, size - index * PART));
      await file.read(bytes, 0, bytes.length, index * PART);
      current = { index, bytes };
      count.parts += 1;
    }
    const start = position - index * PART;
    return current.bytes.subarray(start, Math.min(start + CHUNK, start + end - position, current.bytes.length));
  }

  async function answer(request, response) {
    const { status, from, to } = rangeOf(request.headers.range, size);
    const number = (count.requests += 1);
    log(`request ${number}: ${request.headers.range ?? "all"}`);
    if (status === 416) {
      response.writeHead(416, { "content-range": `bytes */${size}` }).end();
      return;
    }
    response.writeHead(status, {
      "accept-ranges": "bytes",
      "content-type": "video/webm",
      "content-length": to + 1 - from,
      ...(status === 206 && { "content-range": `bytes ${from}-${to}/${size}` }),
    });
    let position = from;
    const gone = once(response, "close");
    while (position <= to && !response.destroyed) {
      const bytes = await piece(position, to + 1);
      position += bytes.length;
      count.bytes += bytes.length;
      if (!response.write(bytes)) await Promise.race([once(response, "drain"), gone]);
    }
    response.end();
    log(`request ${number}: ended after ${position - from} bytes${response.destroyed ? ", closed by the player" : ""}`);
  }

  const server = createServer((request, response) => {
    if (request.url === "/count") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(count));
    } else if (request.url === "/recording.webm") {
      answer(request, response).catch((error) => response.destroy(error));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${server.address().port}`;
  return {
    media: `${base}/recording.webm`,
    counter: `${base}/count`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await file.close();
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [path, port = "0"] = process.argv.slice(2);
  const { media, counter } = await serveRanges(path, { port: Number(port), log: console.log });
  console.log(`${media}\n${counter}`);
}
