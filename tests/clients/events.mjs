// What others are told, seen by libraries that nobody here wrote: the AsyncAPI document by its own parser, each event
// by the CloudEvents SDK, and the data of each by JSON Schema.
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/package.json`);
const { Parser } = require("@asyncapi/parser");
const { HTTP } = require("cloudevents");
const Ajv = require("ajv/dist/2020").default;
const addFormats = require("ajv-formats").default;

const [url, key] = process.argv.slice(2);

function check(is, what) {
  if (!is) throw new Error(what);
}

async function get(path) {
  const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } });
  check(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const { document, diagnostics } = await new Parser().parse(await get("/asyncapi.json"));
const errors = diagnostics.filter((it) => it.severity === 0);
check(document && errors.length === 0, JSON.stringify(errors));
const messages = new Set(document.allMessages().all().map((it) => it.name()));

const ajv = addFormats(new Ajv({ strict: false }));
const validators = new Map();
const seen = new Set();
for (let after = ""; ; ) {
  const page = await get(`/v1/events?limit=100${after}`);
  for (const event of page.data) {
    const headers = { "content-type": "application/cloudevents+json" };
    const read = HTTP.toEvent({ headers, body: JSON.stringify(event) });
    check(read.validate() && read.id === event.id, event.id);
    if (!validators.has(event.dataschema)) {
      validators.set(event.dataschema, ajv.compile(await get(`/v1/event-schemas/${event.type}/${event.version}`)));
    }
    const validate = validators.get(event.dataschema);
    check(validate(event.data), `${JSON.stringify(event)}: ${JSON.stringify(validate.errors)}`);
    check(messages.has(event.type), `${event.type} is in no message of the AsyncAPI document`);
    seen.add(event.type);
  }
  if (!page.has_more) break;
  after = `&after=${page.next_cursor}`;
}
for (const type of ["order.placed", "order.paid", "product.created", "stock.restocked"]) {
  check(seen.has(type), `${type} was not told`);
}
console.log(`all as it should be: ${[...seen].join(", ")}`);
