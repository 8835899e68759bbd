// Holds bodies against schemas with Ajv as it comes: strict mode, draft 2020-12, no package of formats.
// scripts/validators.py says what it reads and writes.
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";

const work = JSON.parse(readFileSync(0, "utf8"));
const compiled = {};
const errors = {};
for (const [name, text] of Object.entries(work.schemas)) {
  try {
    // Each gets its own Ajv: connection.json and a response may hold the same parts.
    compiled[name] = new Ajv2020.default({ logger: false }).compile(JSON.parse(text));
  } catch (error) {
    errors[name] = error.message;
  }
}
const verdicts = work.bodies.map(({ schema, body }) => compiled[schema]?.(JSON.parse(body)) ?? null);
console.log(JSON.stringify({ errors, verdicts }));
