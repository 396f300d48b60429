"""Start the service in each set-up, and write a table of what it says to docs/setups.md.

Folders of other releases may be given; each becomes a column of its own, before this release's.
With `--only` the rows are printed, and the page stays as it is.
"""

import argparse
import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from config import ROOT
from tests.setups.servers import PASSWORD, Server, server
from tests.setups.service import Client, run
from tests.setups.setup import Setup, prepare
from tests.setups.table import SETUPS
from tests.support.processes import free_port
from tests.support.services import database_of_its_own, sql
from tests.support.serving import SECRET

REPORT = ROOT / "docs/setups.md"
HEAD = """# Set-ups that go wrong

The messages of the service in each set-up, written by `scripts/setups`. In some, the service does
not start, and the message says why. For the others, the table has the warnings and errors of the
log, then the responses of `/health`, of a list of tasks and, if that is a 200, of creating and
completing a task. Ports and folders are left out.
"""
COMPARED = """
The columns on the left are other releases, named after the folders given to the script.
"""


def said(setup: Setup, release: Path, server: Server, port: int) -> str:
    """Return what a release says in a set-up, as a cell of the table. It listens on `port`."""
    place = server.place
    sql(server.superuser, f"DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    with database_of_its_own(server.superuser, tables=False) as database:
        prepare(setup, database)
        name = str(database.database)
        settings = {
            key: value.replace("{url}", server.url)
            .replace("{place}", place)
            .replace("{name}", name)
            for key, value in (_defaults(port) | {**setup.settings}).items()
        }
        client = Client(f"http://{server.client}:{port}", setup.claims)
        text = "<br>".join(run(release, setup.prefix, settings, client))
        sql(database, "DROP OWNED BY app")
    shown = {place: "HOST", name: "tasks", str(port): "PORT", str(release): "…"}
    for private, public in shown.items():
        text = text.replace(private, public)
    assert PASSWORD not in text, text
    return text


def _defaults(port: int) -> dict[str, str]:
    return {
        "ENVIRONMENT": "production",
        "DATABASE_URL": "{url}",
        "BETTER_AUTH_SECRET": SECRET,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "LOG_LEVEL": "warning",
    }


def row(setup: Setup, releases: Iterable[Path], shared: Server) -> str:
    """Return a row of the table. A set-up with a server of its own doesn't use the shared one."""
    port = free_port()  # before this thread moves to another network
    with ExitStack() as stack:
        own = shared if setup.server is server else stack.enter_context(setup.server())
        cells = [said(setup, release, own, port) for release in releases]
    return f"| {setup.title} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--only", default="", help="set-ups whose title matches this expression")
    options = parser.parse_args()
    releases = {each.name: each.resolve() for each in options.releases}
    releases["this release"] = ROOT
    rows = [f"| set-up | {' | '.join(releases)} |", "| --- " * (len(releases) + 1) + "|"]
    with server() as shared:
        for setup in (each for each in SETUPS if re.search(options.only, each.title)):
            rows.append(row(setup, releases.values(), shared))
            print(rows[-1], flush=True)  # noqa: T201
    if not options.only:
        head = HEAD + COMPARED * (len(releases) > 1)
        REPORT.write_text(head + "\n" + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
