"""The code in the documentation is well-formed: reflowing a page once broke a unit of systemd."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from tests.documentation.files import repository_files

FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
# A section, a comment or a setting. The value of a setting may be empty.
INI_LINE = re.compile(r"\[[\w ]+\]|[#;].*|[\w.@*-]+ ?=.*|")
# The beginning or the end of a block, a comment, or a directive.
NGINX_LINE = re.compile(r"[^#;{}]*\{(?: [^{}]*\})?(?: *#.*)?|\}|#.*|[^#{}]+;(?: *#.*)?|")
SETTING = re.compile(r"\s[A-Z]\w+=")


class Block(NamedTuple):
    """A fenced block of a page."""

    path: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} {self.language} {self.number}"


def blocks_of(path: Path, text: str) -> list[Block]:
    found = enumerate(FENCE.finditer(text), 1)
    return [Block(path, number, match[2], dedent(match[3])) for number, match in found]


BLOCKS = [
    block
    for path, text in repository_files()
    if path.suffix == ".md"
    for block in blocks_of(path, text)
]
UNITS = [block for block in BLOCKS if "[Unit]" in block.text]


def check_lines(pattern: re.Pattern[str], text: str) -> None:
    for line in text.splitlines():
        assert pattern.fullmatch(line.strip()), line


def check_shell(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


CHECKS: dict[str, Callable[[str], object]] = {
    "ini": lambda text: check_lines(INI_LINE, text),
    "nginx": lambda text: check_lines(NGINX_LINE, text),
    "json": json.loads,
    "python": ast.parse,
    "sh": check_shell,
}
COMPILED = {"ts", "tsx", "js"}  # by other tests
FREE = {"text"}


def test_the_kinds_of_code_are_known() -> None:
    assert {block.language for block in BLOCKS} == CHECKS.keys() | COMPILED | FREE
    assert UNITS


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language in CHECKS], ids=str)
def test_a_block_is_well_formed(block: Block) -> None:
    CHECKS[block.language](block.text)


def test_a_reflowed_unit_is_found() -> None:
    with pytest.raises(AssertionError):
        CHECKS["ini"]("[Service] User=tasks WorkingDirectory=/srv/tasks/%i")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_systemd_accepts_a_unit(unit: Block, tmp_path: Path) -> None:
    """The program that the unit starts does not exist here."""
    path = tmp_path / ("tasks@.service" if "%i" in unit.text else "tasks.service")
    path.write_text(unit.text)
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    said = subprocess.run(command, text=True, capture_output=True).stderr
    own = [line for line in said.splitlines() if path.stem.rstrip("@") in line]
    assert [line for line in own if "is not executable" not in line] == []
