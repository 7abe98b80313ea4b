// Makes an identity with the npm package age-encryption and prints it as age-keygen does: a comment line with the
// recipient, then the identity.
//
//   node keygen.mjs pq|x25519 >IDENTITY-FILE
import { webcrypto } from "node:crypto";
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption";

// Node 18, which Debian 12 has, does not offer it as a global; later versions do.
globalThis.crypto ??= webcrypto;

const generators = { pq: generateHybridIdentity, x25519: generateX25519Identity };
const [suite, ...rest] = process.argv.slice(2);
if (!Object.hasOwn(generators, suite ?? "") || rest.length > 0) {
  console.error("usage: node keygen.mjs pq|x25519");
  process.exit(2);
}

const identity = await generators[suite]();
process.stdout.write(`# public key: ${await identityToRecipient(identity)}\n${identity}\n`);
