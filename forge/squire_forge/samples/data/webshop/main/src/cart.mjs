// A cart maps a product's SKU to how many of it are wanted.

export function add(cart, sku, count = 1) {
  if (!Number.isInteger(count) || count < 1) throw new RangeError("count must be a positive integer");
  return { ...cart, [sku]: (cart[sku] ?? 0) + count };
}

export function total(cart, products) {
  return Object.entries(cart).reduce((sum, [sku, count]) => {
    const product = products.find((each) => each.sku === sku);
    if (product === undefined) throw new Error(`unknown product: ${sku}`);
    return sum + product.cents * count;
  }, 0);
}
