// cql-execution and cql-exec-fhir over the same ELM and patients.
// node peer.cjs NODE_MODULES FOLDER: reads FOLDER/input.json ({libraries, evaluated, valuesets, patients, now}), writes
// FOLDER/answers.json (patient -> "Library.define" -> value; {"error"} where a define throws) and prints the CPU seconds of
// a pass over all patients, after a few to warm up.
const fs = require("node:fs");
const path = require("node:path");
const WARM_UP = 3;
const [modules, folder] = process.argv.slice(2);
const cql = require(path.join(modules, "cql-execution"));
const fhir = require(path.join(modules, "cql-exec-fhir"));

const input = JSON.parse(fs.readFileSync(path.join(folder, "input.json"), "utf8"));
const sets = {};
for (const [url, codes] of Object.entries(input.valuesets)) {
  sets[url] = { "": codes.map(([system, code]) => ({ system, code, version: "" })) };
}
const repository = new cql.Repository(Object.values(input.libraries));
const libraries = input.evaluated.map((name) => new cql.Library(input.libraries[name], repository));
const service = new cql.CodeService(sets);
const now = cql.DateTime.parse(input.now);

function plain(value) {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") return Number(value.toFixed(6));
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(plain);
  if (value.isDateTime || value.isDate || value.isTime) return value.toString();
  if (value.isQuantity) return { q: Number(Number(value.value).toFixed(6)), u: value.unit || "1" };
  if (value.isInterval) {
    return { low: plain(value.low), high: plain(value.high), lc: value.lowClosed, hc: value.highClosed };
  }
  if (value.isCode) return { code: value.code, system: value.system ?? null };
  if (value.isConcept) return { codes: value.codes.map(plain) };
  const json = value._json ?? value.json;
  if (json !== undefined) {
    if (json !== null && typeof json === "object" && json.resourceType) return `${json.resourceType}/${json.id}`;
    return json;
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

// All defines of a library; where one throws, which ends the whole run, each of them alone.
async function evaluate(library, source, bundle) {
  const fresh = () => {
    source.reset();
    source.loadBundles([bundle]);
    return new cql.Executor(library, service);
  };
  try {
    return Object.values((await fresh().exec(source, now)).patientResults)[0];
  } catch {
    const found = {};
    for (const name of Object.keys(library.expressions)) {
      try {
        const result = await fresh().exec_expression(name, source, now);
        found[name] = Object.values(result.patientResults)[0][name];
      } catch (error) {
        found[name] = { error: String(error.message) };
      }
    }
    return found;
  }
}

(async () => {
  const source = fhir.PatientSource.FHIRv401();
  const records = Object.entries(input.patients);
  for (const [, bundle] of records.slice(0, WARM_UP)) {
    for (const library of libraries) await evaluate(library, source, bundle);
  }
  const answers = {};
  const cpu = {};
  for (const [patient, bundle] of records) {
    const before = process.cpuUsage();
    const results = [];
    for (const library of libraries) results.push([library.name, await evaluate(library, source, bundle)]);
    const used = process.cpuUsage(before);
    cpu[patient] = (used.user + used.system) / 1e6;
    const found = (answers[patient] = {});
    for (const [library, values] of results) {
      for (const [name, value] of Object.entries(values)) {
        if (name !== "Patient") found[`${library}.${name}`] = plain(value);
      }
    }
  }
  fs.writeFileSync(path.join(folder, "answers.json"), JSON.stringify(answers));
  const total = Object.values(cpu).reduce((sum, each) => sum + each, 0);
  console.log(JSON.stringify({ cpu: total, node: process.version }));
})();
