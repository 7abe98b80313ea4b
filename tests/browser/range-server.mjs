// A recording over HTTP with ranges, as the plainest possible server would give it, with a count of what it read:
// what seek.mjs is tried on by itself, and what `vault-cli play` can be compared with.
//
//   node range-server.mjs FILE.webm [--port PORT] [--answer-parts N]
//
// serves it at /recording.webm, a page with a player at /, and at /count how many parts it read, which ones, and
// the bytes and requests answered. A part is 1 MiB of the file, read when an answer needs it; the last one read is
// kept, another one counts again.
//
// An answer to `bytes=X-` is the rest of the file, most of which ends up in the kernel's socket buffers however
// little the player reads. With --answer-parts it ends with the N-th part it touches (a 206 may hold less than
// was asked for), and the player asks again when it wants more.

import { once } from "node:events";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const PART = 1024 * 1024;
const CHUNK = 64 * 1024;
const PAGE = '<!doctype html><title>Recording</title><video controls preload="metadata" src="recording.webm"></video>';

function rangeOf(header, size, answerParts) {
  if (header === undefined) return { status: 200, from: 0, to: size - 1 };
  const match = /^bytes=(\d+)-(\d*)$/.exec(header);
  if (!match || Number(match[1]) >= size) return { status: 416 };
  const from = Number(match[1]);
  const last = (Math.floor(from / PART) + answerParts) * PART - 1;
  const to = Math.min(match[2] === "" ? Infinity : Number(match[2]), last, size - 1);
  return from <= to ? { status: 206, from, to } : { status: 416 };
}

/** Serves the file at `path` on 127.0.0.1; `log` is told of each request and of each answer's end. */
export async function serveRanges(path, { port = 0, answerParts = Infinity, log = () => {} } = {}) {
  const file = await open(path);
  const { size } = await file.stat();
  const count = { parts: 0, partBytes: PART, fetched: [], bytes: 0, requests: 0 };
  let current = { index: -1, bytes: Buffer.alloc(0) };

  async function piece(position, end) {
    const index = Math.floor(position / PART);
    if (index !== current.index) {
      const bytes = Buffer.alloc(Math.min(PART, size - index * PART));
      await file.read(bytes, 0, bytes.length, index * PART);
      current = { index, bytes };
      count.parts += 1;
      count.fetched.push(index);
    }
    const start = position - index * PART;
    return current.bytes.subarray(start, Math.min(start + CHUNK, start + end - position, current.bytes.length));
  }

  async function answer(request, response) {
    const { status, from, to } = rangeOf(request.headers.range, size, answerParts);
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
    if (request.url === "/") {
      response.setHeader("content-type", "text/html");
      response.end(PAGE);
    } else if (request.url === "/count") {
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
    page: `${base}/`,
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
  const options = { port: { type: "string", default: "0" }, "answer-parts": { type: "string", default: "Infinity" } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [port, answerParts] = [Number(values.port), Number(values["answer-parts"])];
  const { page, media, counter } = await serveRanges(positionals[0], { port, answerParts, log: console.log });
  console.log(`${page}\n${media}\n${counter}`);
}
