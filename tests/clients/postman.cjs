// Convert an OpenAPI document to a Postman collection: node postman.cjs openapi.json FILE [--shipped]
//
// This uses Postman's own converter with the default settings of Postman's import. With --shipped,
// the collection also has what a person would add (variables, tests, and an order to run it in), and
// an environment is written beside it.
const { readFileSync, writeFileSync } = require("node:fs");
const converter = require("openapi-to-postmanv2");

const [, , source, target, shipped] = process.argv;
// The one default in which Postman's import differs from the package (learning.postman.com, "Generate
// collections from your API specification").
const IMPORT = { parametersResolution: "Example" };
const ENVIRONMENT = { baseUrl: "http://localhost:8000", token: "", user_id: "user_123" };
const CREATED = { task_id: "" }; // not in the environment, whose values would override this one
const KEEP_ID = 'pm.collectionVariables.set("task_id", String(pm.response.json().id));';
const LAST = "DELETE";
const FIRST = "POST";

/** Removes the ids, which the converter makes at random. */
function withoutIds(part) {
  if (part === null || typeof part !== "object") return part;
  if (Array.isArray(part)) return part.map(withoutIds);
  const kept = Object.entries(part).filter(([name]) => name !== "id" && name !== "_postman_id");
  return Object.fromEntries(kept.map(([name, value]) => [name, withoutIds(value)]));
}

/** Puts variables into a request's path, adds a test of its status and drops its example responses. */
function prepared(item) {
  const success = Math.min(...item.response.map((response) => response.code));
  for (const variable of item.request.url.variable) variable.value = `{{${variable.key}}}`;
  for (const { bearer } of [item.request.auth ?? {}])
    for (const credential of bearer ?? []) credential.value = "{{token}}";
  const lines = [`pm.test("${success}", () => pm.response.to.have.status(${success}));`];
  if (success === 201) lines.push(KEEP_ID);
  return {
    ...item,
    response: [],
    event: [{ listen: "test", script: { type: "text/javascript", exec: lines } }],
  };
}

const ofOneTask = ({ url }) => url.variable.some(({ key }) => key === "task_id");
const place = ({ request }) =>
  request.method === FIRST ? 0 : request.method !== LAST ? 1 : ofOneTask(request) ? 2 : 3;

/** Makes the shipped collection. Each folder creates a task first, and clears the list last. */
function forPeople(collection) {
  for (const folder of collection.item)
    folder.item = folder.item.map(prepared).sort((one, other) => place(one) - place(other));
  const variables = Object.entries({ ...ENVIRONMENT, ...CREATED });
  collection.variable = variables.map(([key, value]) => ({ key, value }));
  return withoutIds(collection);
}

function environment(name) {
  const type = (key) => (key === "token" ? "secret" : "default");
  const variables = Object.entries(ENVIRONMENT);
  const values = variables.map(([key, value]) => ({ key, value, type: type(key), enabled: true }));
  return { name, values, _postman_variable_scope: "environment" };
}

const write = (file, content) => writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);

const input = { type: "string", data: readFileSync(source, "utf8") };
const options = shipped ? { ...IMPORT, folderStrategy: "Tags" } : IMPORT;
converter.convertV2(input, options, (error, result) => {
  if (error || !result.result) throw error ?? new Error(result.reason);
  const collection = result.output[0].data;
  write(target, shipped ? forPeople(collection) : collection);
  if (shipped) write(target.replace("_collection", "_environment"), environment(collection.info.name));
});
