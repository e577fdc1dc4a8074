// Verifies what Holdfast sent by the published library of Standard Webhooks.
const assert = require("node:assert");
const { readFileSync } = require("node:fs");
const { Webhook } = require("standardwebhooks");

const sent = JSON.parse(readFileSync(process.argv[2], "utf8"));
const webhook = new Webhook(sent.secret);
assert(sent.messages.length >= 2);
for (const { body, headers } of sent.messages) {
  const event = webhook.verify(body, headers);
  assert.equal(event.id, headers["webhook-id"]);
  assert.throws(() => webhook.verify(body + " ", headers));
}
console.log("all as it should be");
