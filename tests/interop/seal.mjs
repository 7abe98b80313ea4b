// Makes an age file with the npm package age-encryption, which shares no code with this project.
//
//   node seal.mjs RECIPIENT PLAINTEXT-FILE >CIPHERTEXT
//
// RECIPIENT is age1… (X25519) or age1pq1… (ML-KEM-768 with X25519).
// Exit code 0: the age file is on stdout. 1: the reason is on stderr. 2: wrong usage.
import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Encrypter } from "age-encryption";

// Node 18, which Debian 12 has, does not offer it as a global; later versions do.
globalThis.crypto ??= webcrypto;

const [recipient, plaintextFile, ...rest] = process.argv.slice(2);
if (plaintextFile === undefined || rest.length > 0) {
  console.error("usage: node seal.mjs RECIPIENT PLAINTEXT-FILE");
  process.exit(2);
}

try {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  process.stdout.write(await encrypter.encrypt(await readFile(plaintextFile)));
} catch (error) {
  console.error(`seal.mjs: ${error.message}`);
  process.exitCode = 1;
}
