// Railway: https://docs.railway.com/infrastructure-as-code/reference
// railway.json and railway.toml are closed to new services, and end on 2026-12-01.
// `npm install` in this folder, then `railway config plan` and `railway config apply`.
import { defineRailway, github, preserve, project, service } from "railway/iac";

export default defineRailway(() => {
  const api = service("api", {
    source: github("OWNER/REPOSITORY"), // yours
    build: { builder: "DOCKERFILE", dockerfilePath: "Dockerfile" },
    preDeploy: "alembic upgrade head",
    healthcheck: "/health/live",
    healthcheckTimeout: 60, // seconds
    deploy: { drainingSeconds: 30, overlapSeconds: 5 }, // longer than SHUTDOWN_TIMEOUT
    env: {
      SHUTDOWN_TIMEOUT: "20",
      // Set on Railway and kept; a variable that is not named here would be removed.
      DATABASE_URL: preserve(),
      MIGRATION_DATABASE_URL: preserve(),
      BETTER_AUTH_URL: preserve(), // this or the secret, or both
      BETTER_AUTH_SECRET: preserve(),
      ALLOWED_ORIGINS: preserve(),
    },
  });
  return project("task-management-api", { resources: [api] });
});
