import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { add, total } from "../src/cart.mjs";

const products = JSON.parse(readFileSync(new URL("../data/products.json", import.meta.url)));

test("adding twice counts up", () => {
  assert.deepEqual(add(add({}, "mug"), "mug", 2), { mug: 3 });
});

test("the total is in cents", () => {
  assert.equal(total({ mug: 2, cap: 1 }, products), 4300);
});
