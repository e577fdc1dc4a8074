// Sells, pays, refunds and reads by the types that openapi-typescript generated. Wants the API's address and its key.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { until } from "./until";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Order = components["schemas"]["Order"];

async function main([baseUrl, key]: string[]) {
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
  const sku = "ts tea/green+1";
  const product = await client.PUT("/v1/products/{sku}", {
    params: { path: { sku } },
    body: { name: "Tea", unit_price: 1250, currency: "EUR" },
  });
  assert.equal(product.data?.sku, sku, JSON.stringify(product.error));
  const stock = await client.POST("/v1/inventory/{sku}/adjustments", {
    params: { path: { sku } },
    body: { delta: 10, reason: "delivery", kind: "received" },
  });
  assert.equal(stock.data?.available, 10);

  const place = (quantity: number) =>
    client.POST("/v1/orders", {
      params: { header: { "Idempotency-Key": randomUUID() } },
      body: {
        customer: { id: "auth0|ts-1", email: "ann@bücher.example" },
        currency: "EUR",
        lines: [{ sku, quantity }],
        metadata: { cart: 7 },
      },
    });
  const placed = await place(2);
  const order: Order | undefined = placed.data;
  assert.equal(order?.status, "awaiting_payment", JSON.stringify(placed.error));
  const path = { id: order!.id };
  const paid = await client.POST("/v1/sandbox/orders/{id}/pay", { params: { path } });
  assert.equal(paid.data?.amount, 2500, JSON.stringify(paid.error));
  await until("completed", async () => {
    const read = await client.GET("/v1/orders/{id}", { params: { path } });
    return read.data?.status === "completed" ? read.data : undefined;
  });
  const refund = await client.POST("/v1/orders/{id}/refunds", {
    params: { path, header: { "Idempotency-Key": randomUUID() } },
    body: { reason: "came back", lines: [{ sku, quantity: 1 }] },
  });
  assert.equal(refund.data?.amount, 1250, JSON.stringify(refund.error));
  await until("refunded", async () => {
    const refunds = await client.GET("/v1/orders/{id}/refunds", { params: { path } });
    return refunds.data?.data.every((it) => it.state === "succeeded") || undefined;
  });
  const mine = await client.GET("/v1/orders", {
    params: { query: { customer: "auth0|ts-1", status: "completed", limit: 5 } },
  });
  assert.deepEqual(mine.data?.data.map((it) => it.id), [order!.id]);
  const timeline = await client.GET("/v1/orders/{id}/timeline", { params: { path } });
  const placement = timeline.data?.data.find((it) => it.type === "order.placed");
  assert.equal(placement?.data.total, 2500);
  const problem = (await place(10)).error;
  assert.equal(problem?.code, "insufficient_stock");
  assert.equal(problem?.shortages?.[0]?.available, 9);
  console.log("all as it should be");
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
