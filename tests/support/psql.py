"""Run the SQL scripts in `migrations/` as their first lines say."""

import shutil
import subprocess

from sqlalchemy.engine import URL

from config import ROOT


def run_script(url: URL, name: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script with psql. Each of `variables` has the form `name=value`."""
    psql = shutil.which("psql")
    assert psql, "psql is missing: apt-get install postgresql-client"
    settings = [word for each in ("ON_ERROR_STOP=1", *variables) for word in ("--set", each)]
    place = [f"--host={url.query['host']}", "--username=postgres", f"--dbname={url.database}"]
    script = ["--single-transaction", "--file", str(ROOT / "migrations" / name)]
    return subprocess.run([psql, "-X", *place, *settings, *script], capture_output=True, text=True)
