const input = "../openapi.json";
module.exports = {
  // By default, the functions send requests to the page's own host.
  api: {
    input,
    output: {
      target: "orval-api.ts",
      client: "fetch",
      baseUrl: { getBaseUrlFromSpecification: true },
    },
  },
  zod: { input, output: { target: "orval-zod.ts", client: "zod" } },
};
