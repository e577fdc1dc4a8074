// Sells, pays, refunds and reads by the functions that openapi-ts generated. Wants the API's address and its key.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { until } from "./until";
import { client } from "./sdk/client.gen";
import { adjustInventory, getOrder, getOrderTimeline, listRefunds, payOrder, placeOrder, putProduct, requestRefund } from "./sdk";

async function main([baseUrl, key]: string[]) {
  client.setConfig({ baseUrl, auth: () => key });
  const path = { sku: "sdk tea/green+1" };
  const product = await putProduct({ path, body: { name: "Tea", unit_price: 1250, currency: "EUR" } });
  assert.equal(product.data?.sku, path.sku, JSON.stringify(product.error));
  await adjustInventory({ path, body: { delta: 10, reason: "delivery" }, throwOnError: true });
  const { data: order } = await placeOrder({
    headers: { "Idempotency-Key": randomUUID() },
    body: {
      customer: { id: "gid://shop/Customer/1", email: "ann@bücher.example" },
      currency: "EUR",
      lines: [{ sku: path.sku, quantity: 2 }],
    },
    throwOnError: true,
  });
  const of = { id: order.id };
  await payOrder({ path: of, throwOnError: true });
  await until("completed", async () => {
    const read = await getOrder({ path: of, throwOnError: true });
    return read.data.status === "completed" || undefined;
  });
  const refund = await requestRefund({ path: of, body: { reason: "came back" }, throwOnError: true });
  assert.equal(refund.data.amount, 2500);
  await until("refunded", async () => {
    const refunds = await listRefunds({ path: of, throwOnError: true });
    return refunds.data.data.every((it) => it.state === "succeeded") || undefined;
  });
  const timeline = await getOrderTimeline({ path: of, throwOnError: true });
  const placement = timeline.data.data.find((it) => it.type === "order.placed");
  assert.equal(placement?.data.total, 2500);
  const unknown = await getOrder({ path: { id: `ord_${"0".repeat(32)}` } });
  assert.equal(unknown.error?.code, "order_not_found");
  console.log("all as it should be");
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
