"""docs/better-auth.md shows the files that the tests run; this needs no Node."""

import json
import re

from config import ROOT
from tests.better_auth.frontends import HERE, SHOWN

TEXT = (ROOT / "docs/better-auth.md").read_text()


def test_the_documentation_shows_the_files_that_are_tested() -> None:
    blocks = re.findall(r"```ts\n(.*?)```", TEXT, re.DOTALL)
    files = ["key_set/auth.ts", *SHOWN, "shared_secret/auth.ts"]
    assert blocks == [(HERE / name).read_text() for name in files]


def test_the_documentation_names_the_version_that_is_tested() -> None:
    version = json.loads((HERE / "package.json").read_text())["dependencies"]["better-auth"]
    assert f"| Better Auth | {version} |" in TEXT


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (HERE / "package-lock.json").read_text()
