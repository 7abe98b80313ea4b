import assert from "node:assert/strict";
import { test } from "node:test";
import { LARGEST_NUMBER, blocksOf, numberOf } from "./clock.mjs";

test("every number can be read back, also from a dull picture", () => {
  for (let number = 0; number <= LARGEST_NUMBER; number++) {
    const blocks = blocksOf(number);
    assert.equal(numberOf(blocks), number);
    assert.equal(numberOf(blocks.map((level) => 40 + level / 2)), number);
  }
});

test("a misread block never makes another number", () => {
  for (let number = 0; number <= LARGEST_NUMBER; number += 251) {
    const blocks = blocksOf(number);
    for (let block = 0; block < blocks.length; block++) {
      // A grey reference block only dulls the picture; a grey block of the number is no answer.
      for (const level of block < 2 ? [255 - blocks[block]] : [255 - blocks[block], 128]) {
        assert.equal(numberOf(blocks.with(block, level)), null, `number ${number}, block ${block} read as ${level}`);
      }
    }
  }
});

test("a picture without a strip has no number", () => {
  for (const level of [0, 128, 255]) assert.equal(numberOf(new Uint8Array(32).fill(level)), null);
});
