// Receives Holdfast's webhooks, verifies them with the published Standard Webhooks library, and takes each event once.
//
//     npm install && npx tsc && HOLDFAST_WEBHOOK_SECRET=whsec_... node out/receiver.js 9000

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

interface Event {
  id: string;
  type: string;
  subject: string;
  sequence?: number;
  data: unknown;
}

const MAX_BODY = 256 * 1024;
const webhook = new Webhook(process.env.HOLDFAST_WEBHOOK_SECRET ?? "");
// In a shop: a table, written in one transaction with what is done about the event.
const seen = new Set<string>();

async function body(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > MAX_BODY) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const raw = await body(request);
  if (raw === undefined) return void response.writeHead(413).end();
  let event: Event;
  try {
    // Over the text as it came: a body that was parsed and written again may be another one.
    event = webhook.verify(raw, request.headers as Record<string, string>) as Event;
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return void response.writeHead(401).end();
  }
  console.log(seen.has(event.id) ? "had" : "took", event.type, event.subject, event.id);
  seen.add(event.id);
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  receive(request, response).catch((error: unknown) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(Number(process.argv[2] ?? 9000), "127.0.0.1", () => {
  const address = server.address();
  console.log("listening", typeof address === "object" ? address?.port : address);
});
