// Discount codes take a fraction (`rate`) off a total in cents.

export function discounted(cents, code, discounts) {
  const discount = discounts.find((entry) => entry.code == code);
  if (discount === undefined) return cents;
  return Math.round(cents * (1 - discount.rate));
}
