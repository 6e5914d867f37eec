// CQL -> ELM with the official translator. Reads one JSON job on standard input, writes one JSON answer.
//
// in:  {"nodeModules": dir, "options": [...], "sources": {"Name": cql}, "translate": ["Name", ...], "tests"?: bool}
// out: {"translator": version, "libraries": {"Name": {"elm": {...}|null, "errors": [...], "warnings": [...]}}}
//
// `sources` holds every library that may be included (FHIRHelpers too); `translate` names those wanted.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The translator logs to standard output; that is kept for the answer.
const answer = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

const job = JSON.parse(readFileSync(0, "utf8"));
globalThis.require = createRequire(job.nodeModules + "/"); // the translator's I/O layer looks for a global require
const load = (path) => import(pathToFileURL(`${job.nodeModules}/${path}`).href);
const cql2elm = await load("@cqframework/cql/cql-to-elm.mjs");
const { SystemModelInfoProvider } = await load("@cqframework/cql/cql.mjs");
const ucum = globalThis.require("@lhncbc/ucum-lhc").UcumLhcUtils.getInstance();

const models = new cql2elm.ModelManager();
models.modelInfoLoader.registerModelInfoProvider(new SystemModelInfoProvider());
models.modelInfoLoader.registerModelInfoProvider(
  cql2elm.createModelInfoProvider((id, _system, version) => {
    try {
      const name = `${id.toLowerCase()}-modelinfo-${version}.xml`;
      return cql2elm.stringAsSource(readFileSync(`${job.nodeModules}/cql-exec-fhir/lib/modelInfos/${name}`, "utf8"));
    } catch {
      return null;
    }
  }),
);

const options = cql2elm.CqlCompilerOptions.defaultOptions();
const chosen = options.options.asJsSetView();
for (const name of [...chosen]) chosen.delete(name);
for (const name of job.options) chosen.add(cql2elm.CqlCompilerOptions.Options[name]);
options.signatureLevel = cql2elm.LibraryBuilder.SignatureLevel.valueOf("Overloads");

const unsupported = () => {
  throw new Error("not available at translation time");
};
const units = cql2elm.createUcumService(
  unsupported,
  (unit) => {
    const answer = ucum.validateUnitString(unit);
    return answer.status === "valid" ? null : String(answer.msg[0]);
  },
  unsupported,
  unsupported,
);
const manager = new cql2elm.LibraryManager(models, options, null, units);
manager.librarySourceLoader.registerProvider(
  cql2elm.createLibrarySourceProvider((id) => (id in job.sources ? cql2elm.stringAsSource(job.sources[id]) : null)),
);

// A locator prints as a Kotlin object: TrackBack{…, startLine=5, startChar=13, …}.
const place = (locator) => {
  const found = /startLine=(\d+), startChar=(\d+)/.exec(locator ? locator.toString() : "");
  return found ? `${found[1]}:${found[2]}` : null;
};
const notes = (list) =>
  list.asJsReadonlyArrayView().map((e) => ({ message: String(e.message), locator: place(e.locator) }));

const libraries = {};
for (const name of job.translate) {
  try {
    const translator = cql2elm.CqlTranslator.fromText(job.sources[name], manager);
    const errors = notes(translator.errors);
    libraries[name] = { elm: JSON.parse(translator.toJson()), errors, warnings: notes(translator.warnings) };
  } catch (problem) {
    libraries[name] = { elm: null, errors: [{ message: String(problem), locator: null }], warnings: [] };
  }
}
const { version } = JSON.parse(readFileSync(`${job.nodeModules}/@cqframework/cql/package.json`, "utf8"));
answer(JSON.stringify({ translator: version, libraries }));
