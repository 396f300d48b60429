"""Build a Dockerfile step by step, without a container engine.

An image is a folder that each step changes: an overlay on this machine's Debian, with this Python
and without the programs that the slim image lacks. Steps run in it by chroot, in a mount namespace
that ends with the test. This requires root on Linux.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import NamedTuple

from docker.utils.build import exclude_paths  # type: ignore[import-untyped]

STEP_LIMIT = 300  # seconds
PYTHON = re.compile(r"python:3\.11-slim(@sha256:[0-9a-f]{64})?")
UV = re.compile(r"ghcr\.io/astral-sh/uv:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}")
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN = "bin|boot|dev|etc|lib*|proc|run|sbin|sys|usr|var"  # the image has no other folders
ABSENT = "uv uvx curl wget git gcc cc g++ make node npm psql"  # programs missing in the slim image
BASE = f"""
set -eu; cd "$1"; mkdir changes work local local-work root
mount -t overlay -o lowerdir=/,upperdir=changes,workdir=work overlay root
mount -t overlay -o "lowerdir=$2,upperdir=local,workdir=local-work" overlay root/usr/local
mount --rbind /dev root/dev; mount --rbind /proc root/proc
for folder in root/* root/var/tmp; do
    case ${{folder#root/}} in {DEBIAN}) continue; esac
    if [ -d "$folder" ]; then mount -t tmpfs -o mode=1777 tmpfs "$folder"; fi
done
for program in {ABSENT}; do rm -f root/usr/bin/$program root/usr/local/bin/$program; done
chroot root ldconfig
"""


class Step(NamedTuple):
    """An instruction of a Dockerfile, with its options (`--name=value`) parsed."""

    name: str
    options: dict[str, str]
    rest: str


def steps(dockerfile: str) -> list[Step]:
    """Parse a Dockerfile. Only the syntax that our Dockerfiles use is supported."""
    lines = [line for line in dockerfile.splitlines() if not line.startswith("#")]
    parsed = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, rest = line.split(None, 1)
            options = {}
            while option := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
                options[option[1]] = option[2]
                rest = rest[option.end() :]
            parsed.append(Step(name, options, rest.strip()))
    return parsed


class Namespace:
    """A mount namespace, with a scratch folder that is visible only inside it."""

    def __init__(self, process: subprocess.Popen[str], scratch: Path) -> None:
        self.scratch = scratch
        self._enter = ["nsenter", f"--target={process.pid}", "--mount", "--"]

    def command(self, *words: str) -> list[str]:
        return [*self._enter, *words]

    def run(self, *words: str, given: bytes = b"") -> None:
        """Run a command. Raises CalledProcessError, with its output, if it fails."""
        subprocess.run(
            self.command(*words), input=given, capture_output=True, check=True, timeout=STEP_LIMIT
        )


@contextmanager
def namespace(scratch: Path) -> Iterator[Namespace]:
    """Keep a `Namespace` with its folder at `scratch` while the context is open."""
    script = 'mount -t tmpfs tmpfs "$0" && echo ready && exec sleep infinity'
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(scratch)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield Namespace(process, scratch)
        finally:
            process.kill()


class Image:
    """An image in its state after the steps so far."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self.environment = {"PATH": PATH}
        self.folder = "/"
        self.user = "root"
        self.command: list[str] = []
        self.health_check: list[str] = []
        self._namespace = namespace
        scratch = namespace.scratch / name
        self.root = scratch / "root"
        namespace.run("mkdir", str(scratch))
        namespace.run("sh", "-c", BASE, "sh", str(scratch), sys.base_prefix)

    def inside(
        self, words: list[str], settings: dict[str, object], prefix: tuple[str, ...] = ()
    ) -> list[str]:
        """Return the command that runs `words` in the image with its user and environment."""
        values = self.environment | {name.upper(): str(value) for name, value in settings.items()}
        return self._namespace.command(
            *prefix,
            *("chroot", f"--userspec={self.user}", str(self.root)),
            *("/usr/bin/env", "--ignore-environment", f"--chdir={self.folder}"),
            *(f"{name}={value}" for name, value in values.items()),
            *words,
        )

    def run(self, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command in the image and wait for its end."""
        command = self.inside(list(words), settings)
        return subprocess.run(command, capture_output=True, text=True, timeout=STEP_LIMIT)

    def start(self, **settings: object) -> subprocess.Popen[bytes]:
        """Start the image's command as the first process of a PID namespace, as an engine does.

        The kernel does not deliver a signal to such a process unless it has a handler for it.
        """
        alone = ("unshare", "--pid", "--fork", f"--mount-proc={self.root}/proc")
        return subprocess.Popen(self.inside(self.command, settings, alone))

    def env(self, step: Step) -> None:
        new = (word.split("=", 1) for word in shlex.split(step.rest))
        self.environment |= {k: Template(v).substitute(self.environment) for k, v in new}

    def workdir(self, step: Step) -> None:
        self.folder = step.rest
        self._namespace.run("mkdir", "-p", f"{self.root}{self.folder}")

    def run_step(self, step: Step) -> None:
        if "mount" in step.options:
            cache = dict(part.split("=") for part in step.options["mount"].split(","))
            assert cache["type"] == "cache", "an unknown kind of mount"
            ours = subprocess.check_output([uv(), "cache", "dir"], text=True).strip()
            theirs = f"{self.root}{cache['target']}"
            self._namespace.run("mkdir", "-p", theirs)
            self._namespace.run("mount", "--bind", ours, theirs)
        done = self.run("/bin/sh", "-c", step.rest)
        assert done.returncode == 0, f"{step.rest}\n{done.stdout}{done.stderr}"

    def copy(self, source: Path, names: list[str], target: str) -> None:
        """Copy the files `names` from `source`. A folder's contents are copied, not the folder."""
        to = self.root / (Path(self.folder) / target).relative_to("/")
        self._namespace.run("mkdir", "-p", str(to))
        for name in names:
            script = 'if [ -d "$0" ]; then cp -a "$0/." "$1"; else cp -a "$0" "$1"; fi'
            self._namespace.run("sh", "-c", script, str(source / name.lstrip("/")), str(to))


def uv() -> str:
    """Return the path of the uv that runs these tests."""
    found = os.environ.get("UV") or shutil.which("uv")
    assert found, "uv is not installed"
    return found


def build(dockerfile: str, context: Path, within: Namespace) -> Image:
    """Build the image of the last stage. Raises AssertionError at the first step that fails."""
    images: list[Image] = []
    names: dict[str, Image] = {}
    sent = within.scratch / "context"
    _send(context, sent, within)
    for step in steps(dockerfile):
        if step.name == "FROM":
            base, *stage = step.rest.split(" AS ")
            assert PYTHON.fullmatch(base), f"an unknown image: {base}"
            images.append(Image(within, f"stage-{len(images)}"))
            names |= dict.fromkeys(stage, images[-1])
        elif step.name == "COPY":
            *sources, target = step.rest.split()
            origin = step.options.get("from")
            if origin and UV.fullmatch(origin):
                assert sources == ["/uv"]
                images[-1].copy(Path(uv()).parent, sources, target)
            else:
                images[-1].copy(names[origin].root if origin else sent, sources, target)
        else:
            _do(step, images[-1])
    return images[-1]


def _do(step: Step, image: Image) -> None:
    match step.name:
        case "ENV":
            image.env(step)
        case "WORKDIR":
            image.workdir(step)
        case "RUN":
            image.run_step(step)
        case "USER":
            image.user = step.rest
        case "HEALTHCHECK":
            image.health_check = json.loads(step.rest.removeprefix("CMD"))
        case "CMD":
            image.command = json.loads(step.rest)
        case "EXPOSE":
            assert step.rest == image.environment["PORT"]
        case _:
            raise AssertionError(f"an unknown instruction: {step.name}")


def _send(context: Path, to: Path, within: Namespace) -> None:
    """Copy the files that .dockerignore does not exclude, as an engine's client does."""
    patterns = (context / ".dockerignore").read_text().splitlines()
    names = exclude_paths(str(context), patterns) - {"Dockerfile", ".dockerignore"}
    files = [name for name in names if (context / name).is_file()]
    within.run("mkdir", str(to))
    script = 'tar --create --directory "$0" --files-from=- | tar --extract --directory "$1"'
    within.run("sh", "-c", script, str(context), str(to), given="\n".join(files).encode())
