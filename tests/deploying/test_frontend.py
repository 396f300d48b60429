"""The three deployments of docs/deploying-the-frontend.md, with its nginx, TLS and Chromium."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import trustme
from sqlalchemy.engine import URL

from config import ROOT
from examples import node
from tests.deploying import stack
from tests.deploying.steps import Image
from tests.parts.browser import PREVIEWS
from tests.parts.browser import chromium as launched
from tests.support.processes import free_port
from tests.support.services import database_of_its_own
from tests.support.serving import SECRET

pytestmark = pytest.mark.parts

PAGE = (ROOT / "docs/deploying-the-frontend.md").read_text()
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.M | re.S))
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]
WAYS = {"one origin": 1, "the API elsewhere": 2, "the login elsewhere too": 3}

# Run in the page, this sends the requests of its scripts: sign up, get a token, create a task,
# change it.
WORK = """async ({login, api}) => {
    const json = {"Content-Type": "application/json"}
    const at = (path, options) => fetch(login + path, {credentials: "include", ...options})
    const fields = {email: `${Math.random()}@example.com`, password: "correct horse", name: "alice"}
    const signUp = await at("/sign-up/email", {
        method: "POST", headers: json, body: JSON.stringify(fields)})
    const {user} = await signUp.json()
    const {token} = await (await at("/token")).json()
    const headers = {...json, Authorization: `Bearer ${token}`}
    const tasks = `${api}/${user.id}/tasks`
    const created = await fetch(tasks, {
        method: "POST", headers: {...headers, "Idempotency-Key": user.id},
        body: JSON.stringify({title: "Buy milk"})})
    const {id} = await created.json()
    const changed = await fetch(`${tasks}/${id}`, {
        method: "PATCH", headers: {...headers, "If-Match": created.headers.get("ETag")},
        body: JSON.stringify({completed: true})})
    return [created.status, changed.status, (await changed.json()).completed]
}"""


def row(name: str) -> list[str]:
    [found] = [cells for cells in ROWS if cells[0].startswith(name)]
    return found


class Way(NamedTuple):
    """One column of the table: its addresses, and nginx's access log."""

    page: str
    api: str
    login: str
    log: Path

    def preflights(self) -> set[str]:
        """Return the origins that received a preflight, and empty the log."""
        seen = set(re.findall(r"^OPTIONS (https://[^/]+)", self.log.read_text(), re.M))
        self.log.write_text("")
        return seen


class Here:
    """The documentation's hosts and ports, mapped to this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.service, self.auth = free_port(), free_port(), free_port()
        certificate = trustme.CA().issue_cert(f"*.{PREVIEWS}")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "pem")

    def text(self, shown: str) -> str:
        """Return a text of the documentation with the hosts and ports of this machine."""
        shown = re.sub(r"(https://\w+)\.example\.com", rf"\1.{PREVIEWS}:{self.port}", shown)
        shown = re.sub(r"\b(app|api|auth)\.example\.com", rf"\1.{PREVIEWS}", shown)
        shown = re.sub(r"/etc/ssl/example\.com\.\w+", str(self.folder / "pem"), shown)
        places = {
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.service}",
            "127.0.0.1:3001": f"127.0.0.1:{self.auth}",
        }
        return stack.replaced(shown, places)

    def cell(self, name: str, column: int) -> str:
        """Return a cell of the table: a URL, or an empty string for "not set"."""
        value = row(name)[column].strip("`")
        return "" if value == "not set" else self.text(value)

    def page_server(self, image: Image) -> str:
        """Return the frontend's nginx configuration with TLS, changed as the documentation says."""
        template = image.copied["/etc/nginx/templates/default.conf.template"].read_text()
        tls = BLOCKS["tls.conf"]
        changes = {
            "${SERVICE}": "127.0.0.1:8000",
            "${AUTH}": "127.0.0.1:3001",
            "upstream service": "upstream service_of_page",
            "upstream auth": "upstream auth_of_page",
            "http://service;": "http://service_of_page;",
            "http://auth;": "http://auth_of_page;",
            "    listen 8080;\n": tls,
            "/usr/share/nginx/html": str(image.copied["/usr/share/nginx/html"]),
            "default-src 'self';": f"default-src 'self'; {connect_src()};",
        }
        assert all(change in template for change in changes)
        return self.text(stack.replaced(template, changes))


def connect_src() -> str:
    [found] = re.findall(r"`(connect-src [^`]+)`", PAGE)
    return str(found)


@contextmanager
def served(way: int, here: Here, database: URL, auth: Image, frontend: Image) -> Iterator[Way]:
    """Run the service in production, the auth server and nginx with the settings of a column."""
    issuer = here.cell("`BETTER_AUTH_URL`", way)
    for_service = {
        "ENVIRONMENT": "production",
        "HOST": "127.0.0.1",
        "PORT": str(here.service),
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "BETTER_AUTH_URL": issuer,
        "JWKS_URL": f"http://127.0.0.1:{here.auth}/api/auth/jwks",
        "ALLOWED_ORIGINS": here.cell("`ALLOWED_ORIGINS`", way),
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
    }
    for_auth = auth.environment() | {
        "HOST": "127.0.0.1",
        "PORT": str(here.auth),
        "DATABASE_URL": node.database_url(database),
        "BETTER_AUTH_URL": issuer,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_TELEMETRY": "0",
        "BETTER_AUTH_TRUSTED_ORIGINS": here.cell("`BETTER_AUTH_TRUSTED_ORIGINS`", way),
    }
    tsx = node.command("--import", "tsx")
    servers = [
        here.page_server(frontend),
        *map(here.text, (BLOCKS["api.conf"], BLOCKS["auth.conf"])),
    ]
    with ExitStack() as processes:
        subprocess.run([*tsx, "migrate.ts"], cwd=auth.folder, env=for_auth, check=True)
        processes.enter_context(stack.service(for_service))
        processes.enter_context(stack.process([*tsx, "server.ts"], auth.folder, for_auth))
        stack.until_ok(f"http://127.0.0.1:{here.service}/health")
        stack.until_ok(f"http://127.0.0.1:{here.auth}/api/auth/ok")
        nginx = here.folder / f"nginx-{way}"
        processes.enter_context(stack.nginx(nginx, "\n".join(servers)))
        page, api, login = (here.cell(name, way) for name in ("the page", "the API", "the login"))
        yield Way(page, api, login, nginx / "access")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    return Here(tmp_path_factory.mktemp("deployment"))


@pytest.fixture(scope="module")
def database(postgres: URL) -> Iterator[URL]:
    with database_of_its_own(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.mark.parametrize("name", WAYS)
def test_the_page_works_in_each_deployment_with_the_documented_cookie_and_preflights(
    name: str, here: Here, database: URL, auth_image: Image, frontend_image: Image, chromium: Any
) -> None:
    column = WAYS[name]
    with served(column, here, database, auth_image, frontend_image) as way:
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(way.page, wait_until="networkidle")
        assert page.locator("input[type=email]").is_visible()
        assert not said
        assert way.preflights() == set()

        assert page.evaluate(WORK, {"login": way.login, "api": way.api}) == [201, 200, True]
        hosts = {url.removesuffix("/api").removesuffix("/api/auth") for url in (way.api, way.login)}
        assert way.preflights() == hosts - {way.page}

        [cookie] = context.cookies()
        assert cookie["name"] == "__Secure-better-auth.session_token"
        host = httpx.URL(way.login).host
        assert (cookie["domain"], cookie["path"], cookie["sameSite"]) == (host, "/", "Lax")
        assert cookie["secure"]
        assert cookie["httpOnly"]
        context.close()
        assert refuses_another_page(here.auth)


def refuses_another_page(port: int) -> bool:
    """Return whether the auth server refuses a sign-in from an unknown origin."""
    url = f"http://127.0.0.1:{port}/api/auth/sign-in/email"
    fields = {"email": "alice@example.com", "password": "correct horse"}
    response = httpx.post(url, json=fields, headers={"Origin": "https://other.example"})
    return (response.status_code, response.json()["code"]) == (403, "INVALID_ORIGIN")


def test_the_platforms_rules_put_the_login_before_the_api() -> None:
    for block in ("vercel.json", "_redirects"):
        rules = re.findall(r"/api/\S*", BLOCKS[block])
        assert rules[0].startswith("/api/auth/")
        assert rules[2].startswith(("/api/:path*", "/api/*"))
