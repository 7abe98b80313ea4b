// Opens an age file with the npm package age-encryption, which shares no code with this project.
//
//   node open.mjs IDENTITY-FILE CIPHERTEXT-FILE >PLAINTEXT
//
// IDENTITY-FILE holds AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1… lines; empty lines and `#` comments are passed over.
// CIPHERTEXT-FILE is a whole age file; for a segment of a recording, its header followed by its body.
// Exit code 0: the plaintext, complete and authenticated, is on stdout. 1: nothing is on stdout, the reason is on
// stderr. 2: wrong usage.
import { readFile } from "node:fs/promises";
import { Decrypter } from "age-encryption";

const [identityFile, ciphertextFile, ...rest] = process.argv.slice(2);
if (ciphertextFile === undefined || rest.length > 0) {
  console.error("usage: node open.mjs IDENTITY-FILE CIPHERTEXT-FILE");
  process.exit(2);
}

try {
  const identities = (await readFile(identityFile, "utf8"))
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (identities.length === 0) throw new Error(`no identity in ${identityFile}`);

  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  // One call for the whole file: age-encryption returns only after the last chunk's tag has been checked.
  process.stdout.write(await decrypter.decrypt(await readFile(ciphertextFile)));
} catch (error) {
  console.error(`open.mjs: ${error.message}`);
  process.exitCode = 1;
}
