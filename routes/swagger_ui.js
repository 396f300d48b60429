// Fills in parameters in Swagger UI. After a login, `user_id` becomes the user of the token. After
// a task is created, `task_id` becomes its id.
{
  const createSwaggerUI = SwaggerUIBundle;

  SwaggerUIBundle = Object.assign((config) => {
    const ui = createSwaggerUI({ ...config, onComplete: fillUserId, plugins: [afterLogin], responseInterceptor });

    // https://swagger.io/docs/open-source-tools/swagger-ui/customization/plugin-api/#wrap-actions
    function afterLogin() {
      const authorize = (original) => (credentials) => {
        original(credentials);
        fillUserId();
      };
      return { statePlugins: { auth: { wrapActions: { authorize } } } };
    }

    function responseInterceptor(response) {
      if (response.status === 201 && /\/tasks\/?$/.test(response.url)) fill("task_id", response.body?.id);
      return response;
    }

    function fillUserId() {
      const token = ui.authSelectors.authorized().getIn(["bearerToken", "value"], "");
      fill("user_id", userOf(token));
    }

    function fill(name, value) {
      if (value === undefined) return;
      for (const operation of ui.specSelectors.operations()) {
        const place = [operation.get("path"), operation.get("method")];
        for (const parameter of operation.getIn(["operation", "parameters"], []))
          if (parameter.get("name") === name) ui.specActions.changeParamByIdentity(place, parameter, String(value));
      }
    }

    return ui;
  }, createSwaggerUI);

  // Undefined if `token` is not a JWT: the service then says what is wrong with it.
  function userOf(token) {
    try {
      const payload = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (char) => char.charCodeAt(0)))).sub;
    } catch {
      return undefined;
    }
  }
}
