"""Run the SQL scripts in `migrations/` as their first lines say."""

import shutil
import subprocess

from sqlalchemy.engine import URL

from tests.support.migrations import MIGRATIONS


def run_script(url: URL, name: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script with psql. Each of `variables` has the form `name=value`."""
    settings = [word for each in ("ON_ERROR_STOP=1", *variables) for word in ("--set", each)]
    return _psql(url, *settings, "--single-transaction", "--file", str(MIGRATIONS / name))


def run_script_without_options(url: URL, name: str) -> subprocess.CompletedProcess[str]:
    """Run a script with psql, but without the options that its first lines ask for."""
    return _psql(url, "--file", str(MIGRATIONS / name))


def _psql(url: URL, *arguments: str) -> subprocess.CompletedProcess[str]:
    psql = shutil.which("psql")
    assert psql, "psql is missing: apt-get install postgresql-client"
    place = [
        f"--host={url.query['host']}",
        f"--username={url.username or 'postgres'}",
        f"--dbname={url.database}",
    ]
    return subprocess.run([psql, "-X", *place, *arguments], capture_output=True, text=True)
