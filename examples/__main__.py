"""Start the example frontend with everything that it needs, and stop all of it with Ctrl+C.

The service, its Postgres, the auth server and the frontend's dev server run on this machine. The
auth server has a database of its own in the same Postgres. `--help` lists the ports.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from http.client import HTTPConnection, HTTPException

from sqlalchemy.engine import URL

from config import ROOT, Settings, get_settings
from development.data_dir import kept_secret
from development.database import database_url
from examples import node, ports
from examples.database import auth_database
from examples.output import say
from examples.processes import Processes

AUTH = ROOT / "examples/auth"
FRONTEND = ROOT / "examples/frontend"
READY_TIMEOUT = 120  # seconds

Variables = dict[str, str]


def main() -> None:
    """Run everything until a signal arrives or one of the processes ends."""
    given = arguments()
    os.environ.update(variables_of_service(given))  # before the settings are read
    settings = get_settings()
    node.check()
    ports.check(given.api_port, given.auth_port, given.frontend_port)
    with Processes() as processes:
        for folder in (AUTH, FRONTEND):
            node.install(folder, processes)
        say("Starting Postgres, the service, the auth server and the frontend")
        # This process uses the database too, so Postgres stops last even if the service crashes.
        with database_url(settings) as database, processes.stopped_at_exit():
            start(processes, given, auth_variables(given, settings, database))
            wait_for_all(processes, given)
            say(f"open {origin(given)}")
            processes.wait_for_end()


def arguments() -> Namespace:
    """Return the ports that were chosen."""
    parser = ArgumentParser("uv run -m examples", description=__doc__)
    parser.add_argument("--api-port", type=int, default=8000, help="the service's, %(default)s")
    parser.add_argument("--auth-port", type=int, default=3001, help="Better Auth's, %(default)s")
    parser.add_argument("--frontend-port", type=int, default=5173, help="Vite's, %(default)s")
    return parser.parse_args()


def origin(given: Namespace) -> str:
    """Return the origin of the page. Its dev server passes requests on to the other two."""
    return f"http://localhost:{given.frontend_port}"


def variables_of_service(given: Namespace) -> Variables:
    """Return the settings that the example needs. They override those in `.env`."""
    return {
        "ENVIRONMENT": "development",
        "PORT": str(given.api_port),
        "HOST": "127.0.0.1",
        "BETTER_AUTH_URL": origin(given),
        "JWKS_URL": f"http://127.0.0.1:{given.auth_port}/api/auth/jwks",
        "ALLOWED_ORIGINS": origin(given),
    }


def auth_variables(given: Namespace, settings: Settings, database: URL) -> Variables:
    """Return the environment of the auth server, whose database is created if necessary."""
    return {
        "PORT": str(given.auth_port),
        "API_URL": f"http://127.0.0.1:{given.api_port}",
        "BETTER_AUTH_URL": origin(given),
        "BETTER_AUTH_SECRET": kept_secret(settings.data_dir / "example-auth-secret"),
        "BETTER_AUTH_TELEMETRY": "0",
        "DATABASE_URL": node.database_url(auth_database(database)),
    }


def start(processes: Processes, given: Namespace, auth: Variables) -> None:
    """Start the three processes. The service migrates its database itself."""
    processes.start("service", [sys.executable, "main.py"], ROOT, {})
    processes.run("auth", node.command("--import", "tsx", "migrate.ts"), AUTH, auth)
    processes.start("auth", node.command("--import", "tsx", "server.ts"), AUTH, auth)
    frontend = {
        "PORT": str(given.frontend_port),
        "API_URL": auth["API_URL"],
        "AUTH_URL": f"http://127.0.0.1:{given.auth_port}",
    }
    vite = node.command("node_modules/vite/bin/vite.js")
    processes.start("frontend", vite, FRONTEND, frontend)


def wait_for_all(processes: Processes, given: Namespace) -> None:
    """Wait until all three serve requests. The service is healthy once its tables exist."""
    for name, port, path in (
        ("The service", given.api_port, "/health"),
        ("The auth server", given.auth_port, "/api/auth/ok"),
        ("The frontend", given.frontend_port, "/"),
    ):
        processes.wait_until(partial(responds, port, path), name, READY_TIMEOUT)


def responds(port: int, path: str) -> bool:
    """Return whether a GET has the status 200."""
    connection = HTTPConnection("localhost", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
