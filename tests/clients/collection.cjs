// Makes a Postman collection of openapi.json: node collection.cjs openapi.json collection.json
//
// Postman's own converter does it. What is added is what a person adds in Postman: variables for the
// ids, and the status that each request must have.
const { readFileSync, writeFileSync } = require("node:fs");
const converter = require("openapi-to-postmanv2");

const [, , source, target] = process.argv;
const IDS = { user_id: "{{userId}}", task_id: "{{taskId}}" };
const KEEP_ID = 'pm.collectionVariables.set("taskId", pm.response.json().id);';

function prepare(item, success) {
  for (const variable of item.request.url.variable) variable.value = IDS[variable.key];
  const lines = [`pm.test("${success}", () => pm.response.to.have.status(${success}));`];
  if (success === 201) lines.push(KEEP_ID);
  item.event = [{ listen: "test", script: { type: "text/javascript", exec: lines } }];
}

const input = { type: "string", data: readFileSync(source, "utf8") };
const options = { folderStrategy: "Tags", requestParametersResolution: "Example" };
converter.convert(input, { ...options, enableOptionalParameters: false }, (error, result) => {
  if (error || !result.result) throw error ?? new Error(result.reason);
  const collection = result.output[0].data;
  for (const folder of collection.item) {
    for (const item of folder.item)
      prepare(item, Math.min(...item.response.map((answer) => answer.code)));
    const last = folder.item.filter((item) => item.request.method === "DELETE");
    folder.item = [...folder.item.filter((item) => !last.includes(item)), ...last];
    // A list of nothing would prove little: the task is made first.
    folder.item.sort((one, other) => (other.request.method === "POST") - (one.request.method === "POST"));
  }
  writeFileSync(target, JSON.stringify(collection));
});
