import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { discounted } from "../src/discounts.mjs";

const discounts = JSON.parse(readFileSync(new URL("../data/discounts.json", import.meta.url)));

test("a code takes its share off", () => {
  assert.equal(discounted(10_000, "WELCOME", discounts), 8_500);
});

test("a code is found however it is typed", () => {
  assert.equal(discounted(10_000, " friends ", discounts), 8_000);
});

test("an unknown code changes nothing", () => {
  assert.equal(discounted(10_000, "NOPE", discounts), 10_000);
});
