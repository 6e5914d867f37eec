// A Fastify service that evaluates nothing: parses the body, answers with one fixed card.
import { createRequire } from "node:module";
const require = createRequire(process.argv[2] + "/");
const fastify = require("fastify")({ bodyLimit: 10_000_000 });
const card = { summary: "fixed", indicator: "info", source: { label: "peer" }, detail: "x".repeat(2000) };
fastify.post("/cds-services/fixed", async () => ({ cards: [card] }));
const address = await fastify.listen({ host: "127.0.0.1", port: 0 });
console.log(address + "/cds-services/fixed");
