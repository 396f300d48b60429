"""The files of all platforms configure the same release, with keys that the platform knows.

Railway's file is checked by its own SDK (npm install in .railway), the others against the keys in
the platforms' documentation.
"""

import json
import os
import shutil
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from config import ROOT, Settings
from tests.container.image import steps
from tests.support.serving import SECRET

pytestmark = pytest.mark.container

RAILWAY = ROOT / ".railway"
EVALUATE = (
    "import program from './railway.ts';"
    "Promise.resolve(program({} as any)).then((graph) => console.log(JSON.stringify(graph)));"
)
SECRETS = {
    "DATABASE_URL",
    "MIGRATION_DATABASE_URL",
    "BETTER_AUTH_URL",
    "BETTER_AUTH_SECRET",
    "ALLOWED_ORIGINS",
}
PLACEHOLDERS = {
    "DATABASE_URL": "postgresql://tasks@db/tasks",
    "MIGRATION_DATABASE_URL": "postgresql://tasks@db/tasks",
    "BETTER_AUTH_SECRET": SECRET,
    "ALLOWED_ORIGINS": "https://app.example.com",
}

# The keys that render.yaml uses for its web service: https://render.com/schema/render.yaml.json
RENDER_KEYS = {
    "type": "web",
    "name": str,
    "runtime": "docker",
    "plan": ("starter", "standard", "pro", "pro plus", "pro max", "pro ultra"),
    "autoDeployTrigger": ("off", "commit", "checksPass"),
    "preDeployCommand": str,
    "healthCheckPath": str,
    "maxShutdownDelaySeconds": range(1, 301),
    "envVars": list,
}
# https://fly.io/docs/reference/configuration/
FLY_KEYS = {
    "app": str,
    "primary_region": str,
    "kill_signal": ("SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP"),
    "kill_timeout": range(1, 301),
    "env": {"SHUTDOWN_TIMEOUT": str},
    "deploy": {"release_command": str},
    "http_service": {
        "internal_port": int,
        "force_https": bool,
        "auto_stop_machines": ("off", "stop", "suspend"),
        "concurrency": {"type": ("connections", "requests"), "soft_limit": int},
        "checks": [
            {"method": str, "path": str, "grace_period": str, "interval": str, "timeout": str}
        ],
    },
    "vm": [{"size": str, "memory": str}],
}


def fits(value: Any, shape: Any) -> bool:
    """Return whether `value` has only keys of `shape`, with values of the right types."""
    match shape:
        case dict():
            return value.keys() <= shape.keys() and all(fits(value[k], shape[k]) for k in value)
        case [each]:
            return isinstance(value, list) and all(fits(part, each) for part in value)
        case tuple() | range():
            return value in shape
        case type():
            return isinstance(value, shape)
    return bool(value == shape)


def render() -> dict[str, Any]:
    (service,) = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    return dict(service)


def fly() -> dict[str, Any]:
    return tomllib.loads((ROOT / "fly.toml").read_text())


@pytest.fixture(scope="module")
def railway() -> dict[str, Any]:
    """The service as Railway's SDK reads it, after its type check has passed."""
    if not shutil.which("npm"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("npm is missing")
    run = {"cwd": RAILWAY, "check": True, "timeout": 300}
    subprocess.run(["npm", "ci", "--silent"], **run)  # type: ignore[call-overload]
    subprocess.run(["npm", "run", "--silent", "check"], **run)  # type: ignore[call-overload]
    command = [RAILWAY / "node_modules/.bin/tsx", "--eval", EVALUATE]
    printed = subprocess.run(command, stdout=subprocess.PIPE, **run).stdout  # type: ignore[call-overload]
    (service,) = json.loads(printed)["resources"]
    return dict(service)


def image_port() -> int:
    (environment,) = (
        step.rest
        for step in steps((ROOT / "Dockerfile").read_text())
        if step.name == "ENV" and "PORT=" in step.rest
    )
    return int(environment.split("PORT=")[1].split()[0])


def settings(values: dict[str, Any]) -> Settings:
    """Return the settings on a platform: `values` of its file, and placeholders for its secrets."""
    lower = {name.lower(): value for name, value in (PLACEHOLDERS | values).items()}
    return Settings(_env_file=None, environment="production", **lower)


def test_every_key_is_one_that_render_knows() -> None:
    assert fits(render(), RENDER_KEYS)
    for variable in render()["envVars"]:
        assert variable.keys() in ({"key", "value"}, {"key", "sync"})


def test_every_key_is_one_that_fly_knows() -> None:
    assert fits(fly(), FLY_KEYS)


def test_an_unknown_key_is_found() -> None:
    assert not fits(render() | {"preDeploy": "x"}, RENDER_KEYS)
    assert not fits(fly() | {"kill_timeout": 301}, FLY_KEYS)
    assert not fits(fly() | {"deploy": {"command": "x"}}, FLY_KEYS)


def test_all_platforms_migrate_before_a_release(railway: dict[str, Any]) -> None:
    assert render()["preDeployCommand"] == "alembic upgrade head"
    assert fly()["deploy"]["release_command"] == "alembic upgrade head"
    assert railway["deploy"]["preDeployCommand"] == ["alembic upgrade head"]


def test_each_platform_checks_the_process_and_not_the_database(railway: dict[str, Any]) -> None:
    assert render()["healthCheckPath"] == "/health/live"
    assert [check["path"] for check in fly()["http_service"]["checks"]] == ["/health/live"]
    assert railway["deploy"]["healthcheckPath"] == "/health/live"


def test_all_platforms_wait_longer_than_the_service_takes_to_stop(railway: dict[str, Any]) -> None:
    of_render = {each["key"]: each["value"] for each in render()["envVars"] if "value" in each}
    of_railway = {k: each["value"] for k, each in railway["variables"].items() if "value" in each}
    waits = (
        (render()["maxShutdownDelaySeconds"], of_render),
        (fly()["kill_timeout"], fly()["env"]),
        (railway["deploy"]["drainingSeconds"], of_railway),
    )
    for seconds, given in waits:
        assert settings(given).shutdown_timeout + 5 <= seconds
    assert fly()["kill_signal"] == "SIGTERM"  # the default of Fly is SIGINT


def test_no_platform_file_holds_a_secret(railway: dict[str, Any]) -> None:
    asked = {each["key"] for each in render()["envVars"] if each.get("sync") is False}
    kept = {name for name, each in railway["variables"].items() if each == {"type": "preserve"}}
    assert asked == kept == SECRETS
    assert not fly()["env"].keys() & SECRETS


def test_fly_sends_requests_to_the_port_of_the_image() -> None:
    assert fly()["http_service"]["internal_port"] == image_port()
    assert "PORT" not in fly()["env"]
