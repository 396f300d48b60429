"""Run programs of the npm packages in tests/clients."""

import os
import subprocess
from pathlib import Path

QUIET = {
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    "NO_UPDATE_NOTIFIER": "1",
}


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one of the packages' programs, or `node`."""
    program = folder / "node_modules/.bin" / command[0]
    return subprocess.run(
        [program if program.exists() else command[0], *command[1:]],
        cwd=folder,
        env={**os.environ, **QUIET, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def succeeds(folder: Path, *command: str, **variables: str) -> str:
    done = run(folder, *command, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
