// Discount codes take a fraction (`rate`) off a total in cents.

export function discounted(cents, code, discounts) {
  const found = discounts.find((each) => each.code == code);
  if (found === undefined) return cents;
  return Math.round(cents * (1 - found.rate));
}
