"""compose.yaml: each service runs with its image's steps, environment, command and checks.

There is no container engine, so names of containers become ports of this machine.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from config import ROOT
from tests.container.image import steps
from tests.deploying import stack
from tests.deploying.steps import Image
from tests.example.command import client
from tests.parts.parts import POSTGRES
from tests.support.processes import free_port, until
from tests.support.serving import SECRET

pytestmark = pytest.mark.parts

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FIELDS = {"email": "alice@example.com", "password": "correct horse", "name": "alice"}

# The keys that ours uses: https://docs.docker.com/reference/compose-file/services/
KEYS = {"image", "build", "command", "depends_on", "environment", "healthcheck", "ports", "volumes"}


class Composed:
    """The port of each container on this machine, and the page's origin."""

    def __init__(self) -> None:
        ports = {name: free_port() for name in ("postgres", "service", "auth", "frontend")}
        self.ports = ports
        self.origin = f"http://localhost:{ports['frontend']}"
        self.places = {
            "postgres:5432": f"127.0.0.1:{ports['postgres']}",
            "service:8000": f"127.0.0.1:{ports['service']}",
            "auth:3001": f"127.0.0.1:{ports['auth']}",
            "127.0.0.1:3001": f"127.0.0.1:{ports['auth']}",
            "localhost:8080": f"localhost:{ports['frontend']}",
            "listen 8080": f"listen {ports['frontend']}",
        }

    def environment(self, name: str) -> dict[str, str]:
        """Return a container's variables, with `${BETTER_AUTH_SECRET:?…}` filled in."""
        return {
            variable: re.sub(r"\$\{BETTER_AUTH_SECRET:\?.*\}", SECRET, self.here(value))
            for variable, value in SERVICES[name]["environment"].items()
        }

    def here(self, text: str) -> str:
        return stack.replaced(text, self.places)


@pytest.fixture(scope="module")
def composed(
    auth_image: Image, frontend_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composed]:
    composed = Composed()
    folder = tmp_path_factory.mktemp("composed")
    with ExitStack() as processes:
        enter = processes.enter_context
        database = SERVICES["postgres"]["environment"]
        name, password = database["POSTGRES_USER"], database["POSTGRES_PASSWORD"]
        assert name == database["POSTGRES_DB"]
        composed.places["postgres:5432"] = "127.0.0.1:{}".format(
            port := enter(stack.postgres(folder / "postgres", name, password))
        )
        assert _is_healthy("postgres", composed, PGPORT=str(port), PATH=str(POSTGRES))
        variables = _image_variables() | composed.environment("service")
        enter(stack.service(variables | {"PORT": str(composed.ports["service"])}))
        variables = auth_image.environment() | composed.environment("auth")
        variables["PORT"] = str(composed.ports["auth"])
        enter(stack.process(SERVICES["auth"]["command"], auth_image.folder, variables))
        stack.until_ok(f"http://127.0.0.1:{composed.ports['service']}/health")
        until(lambda: _is_healthy("auth", composed, **variables), "the auth server")
        enter(stack.nginx(folder / "nginx", _configuration(frontend_image, composed)))
        stack.until_ok(composed.origin)
        yield composed


def _image_variables() -> dict[str, str]:
    """Return the variables of the service's Dockerfile, except PATH."""
    [step] = [
        step
        for step in steps((ROOT / "Dockerfile").read_text())
        if step.name == "ENV" and "PORT=" in step.rest
    ]
    pairs = dict(word.split("=", 1) for word in step.rest.split())
    return {name: value for name, value in pairs.items() if name != "PATH"}


def _configuration(image: Image, composed: Composed) -> str:
    """Return nginx's template with only the defined variables filled in, as the image does."""
    template = image.copied["/etc/nginx/templates/default.conf.template"].read_text()
    root = "/usr/share/nginx/html"
    assert root in template
    variables = composed.environment("frontend")
    names = " ".join(f"${{{name}}}" for name in variables)
    filled = subprocess.run(
        [str(shutil.which("envsubst")), names],
        input=template,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return composed.here(filled).replace(root, str(image.copied[root]))


def _is_healthy(name: str, composed: Composed, **variables: str) -> bool:
    """Run the health check of a container, and return whether it passes."""
    kind, *command = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [composed.here(word) for word in command]
    return subprocess.run(command, env=variables, capture_output=True).returncode == 0


def test_every_key_and_service_name_in_compose_is_known() -> None:
    assert COMPOSE.keys() == {"services", "volumes"}
    for service in SERVICES.values():
        assert service.keys() <= KEYS
        assert ("image" in service) != ("build" in service)
        for name, condition in service.get("depends_on", {}).items():
            other = SERVICES[name]
            assert condition["condition"] == "service_healthy"
            file = ROOT / other["build"] / "Dockerfile" if "build" in other else None
            assert "healthcheck" in other or (file and "HEALTHCHECK" in file.read_text())
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_only_the_port_of_the_page_is_published_and_only_to_this_machine() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert published == {"frontend": ["127.0.0.1:8080:8080"]}


def test_the_page_and_both_servers_share_one_origin(composed: Composed) -> None:
    with client(composed.origin) as browser:
        page = browser.get("/")
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
        [script] = re.findall(r'src="(/assets/[^"]+\.js)"', page.text)
        loaded = browser.get(script)
        assert loaded.headers["content-type"].partition(";")[0].endswith("javascript")
        assert "immutable" in loaded.headers["cache-control"]
        assert loaded.headers["content-encoding"] == "gzip"
        assert browser.get("/assets/gone.js").status_code == 404

        signed_up = browser.post("/api/auth/sign-up/email", json=FIELDS)
        assert signed_up.status_code == 200, signed_up.text
        tasks = f"/api/{signed_up.json()['user']['id']}/tasks"
        token = browser.get("/api/auth/token").json()["token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        created = browser.post(tasks, json={"title": "Buy milk"})
        assert created.status_code == 201, created.text
        assert created.headers["location"] == f"{tasks}/{created.json()['id']}"
        assert browser.get(tasks).json()["count"] == 1


def test_nginx_passes_errors_of_the_service_on_unchanged(composed: Composed) -> None:
    with client(composed.origin) as browser:
        refused = browser.get("/api/alice/tasks")
        assert (refused.status_code, refused.json()["code"]) == (401, "NOT_AUTHENTICATED")
        fields = FIELDS | {"email": "bob@example.com"}
        bob = browser.post("/api/auth/sign-up/email", json=fields).json()["user"]["id"]
        token = browser.get("/api/auth/token").json()["token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        large = browser.post(f"/api/{bob}/tasks", json={"title": "x" * 100_000})
        assert (large.status_code, large.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_deleting_the_account_deletes_the_tasks(composed: Composed) -> None:
    with client(composed.origin) as browser:
        fields = FIELDS | {"email": "carol@example.com"}
        carol = browser.post("/api/auth/sign-up/email", json=fields).json()["user"]["id"]
        token = browser.get("/api/auth/token").json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        tasks = f"/api/{carol}/tasks"
        assert browser.post(tasks, json={"title": "Buy milk"}, headers=bearer).status_code == 201
        wrong = browser.post("/api/auth/delete-user", json={"password": "another horse"})
        assert wrong.status_code == 400
        assert browser.get(tasks, headers=bearer).json()["count"] == 1
        deleted = browser.post("/api/auth/delete-user", json={"password": fields["password"]})
        assert deleted.status_code == 200, deleted.text
        assert browser.get(tasks, headers=bearer).json()["count"] == 0
        assert browser.post("/api/auth/sign-in/email", json=fields).status_code == 401
