// Records what a browser's own recorder makes: node capture.mjs OUT.webm SECONDS [options]
//
// A page in a real Chromium opens the camera and the microphone and records them with MediaRecorder (VP8 and
// Opus, or another --type) in slices of one second, as a consultation's page does: no duration, no cues, pieces in order. The
// camera shows numbered pictures (clock.mjs), the microphone beeps. Each slice goes to disk as it comes.

import { once } from "node:events";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startChromium } from "./chromium.mjs";
import { CAMERA_RATE, writeCameraFile } from "./clock.mjs";
import { withScratch } from "./scratch.mjs";

// The camera plays from the moment the page opens it; its file must outlast the recording, or it starts again.
const SPARE_SECONDS = 15;

const options = {
  width: { type: "string", default: "320" },
  height: { type: "string", default: "240" },
  rate: { type: "string", default: "15" },
  "video-bits": { type: "string", default: "1500000" },
  "audio-bits": { type: "string", default: "32000" },
  noise: { type: "string", default: "60" },
  type: { type: "string", default: "video/webm;codecs=vp8,opus" },
};

function settingsOf(args) {
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const [out, ...rest] = positionals;
  const number = (name, text, smallest = Number.MIN_VALUE) => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < smallest) throw new Error(`${name} cannot be ${text}`);
    return value;
  };
  if (!out || rest.length !== 1) {
    throw new Error("usage: node capture.mjs OUT.webm SECONDS " + Object.keys(options).map((name) => `[--${name} N]`).join(" "));
  }
  return {
    out,
    seconds: number("SECONDS", rest[0]),
    width: number("--width", values.width),
    height: number("--height", values.height),
    rate: number("--rate", values.rate),
    videoBits: number("--video-bits", values["video-bits"]),
    audioBits: number("--audio-bits", values["audio-bits"]),
    noise: number("--noise", values.noise, 0),
    type: values.type,
  };
}

// Runs in the page. Slices are sent one after the other, so they arrive in the recorder's order.
async function record({ seconds, width, height, rate, videoBits, audioBits, type }) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { exact: width }, height: { exact: height }, frameRate: { ideal: rate, max: rate } },
    audio: true,
  });
  const recorder = new MediaRecorder(stream, {
    mimeType: type,
    videoBitsPerSecond: videoBits,
    audioBitsPerSecond: audioBits,
  });
  let sent = Promise.resolve();
  recorder.ondataavailable = ({ data }) => {
    sent = sent.then(async () => {
      const answer = await fetch("/slice", { method: "POST", body: data });
      if (!answer.ok) throw new Error(`a slice was refused: ${answer.status}`);
    });
    // An error ends the recording below, where `sent` is awaited.
    sent.catch(() => recorder.state === "recording" && recorder.stop());
  };
  const stopped = new Promise((resolve, reject) => {
    recorder.onstop = resolve;
    recorder.onerror = ({ error }) => reject(error);
  });
  recorder.start(1000);
  setTimeout(() => recorder.state === "recording" && recorder.stop(), seconds * 1000);
  await stopped;
  await sent;
  for (const track of stream.getTracks()) track.stop();
}

async function servePage(file) {
  let slices = 0;
  let bytes = 0;
  const server = createServer(async (request, response) => {
    if (request.method === "GET" && request.url === "/") {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>Recording</title>");
    } else if (request.method === "POST" && request.url === "/slice") {
      try {
        for await (const chunk of request) {
          await file.writeFile(chunk);
          bytes += chunk.length;
        }
        slices += 1;
        response.writeHead(204).end();
      } catch {
        response.writeHead(500).end();
      }
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${server.address().port}/`, counts: () => ({ slices, bytes }) };
}

async function capture(settings) {
  const file = await open(settings.out, "w");
  const { server, url, counts } = await servePage(file);
  try {
    await withScratch(async (folder) => {
      const camera = join(folder, "camera.mjpeg");
      const count = Math.ceil((settings.seconds + SPARE_SECONDS) * CAMERA_RATE);
      await writeCameraFile(camera, { ...settings, count });
      const context = await startChromium(join(folder, "profile"), [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        `--use-file-for-fake-video-capture=${camera}`,
      ]);
      try {
        const page = await context.newPage();
        await page.goto(url);
        await page.evaluate(record, settings);
      } finally {
        await context.close();
      }
    });
  } finally {
    server.close();
    server.closeAllConnections();
    await file.close();
  }
  return counts();
}

try {
  const { slices, bytes } = await capture(settingsOf(process.argv.slice(2)));
  console.log(JSON.stringify({ slices, bytes }));
} catch (error) {
  console.error(`capture: ${error.message}`);
  process.exitCode = 1;
}
