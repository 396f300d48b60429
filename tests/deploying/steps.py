"""Execute the steps of the example's Dockerfiles in a folder, without a container engine.

The steps use this machine's Node.js and nginx, so these tests do not show whether the base images
have what a step needs.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from docker.utils.build import exclude_paths  # type: ignore[import-untyped]

from tests.container.image import Step, steps
from tests.parts.parts import need
from tests.support.processes import PATIENCE

DIGEST = "@sha256:[0-9a-f]{64}"
BASES = re.compile(rf"node:\d+-slim{DIGEST}( AS build)?|nginx:[\d.]+-alpine{DIGEST}")
KEPT = ("PATH", "HOME", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


class Image:
    """The result of the last stage of a Dockerfile: its folder, variables and copied files."""

    def __init__(self, context: Path, scratch: Path) -> None:
        need("Node.js")
        self.context = context
        self.scratch = scratch
        self.variables: dict[str, str] = {}
        self.folder = scratch
        self.copied: dict[str, Path] = {}  # the source of each file or folder, by its target
        for step in steps((context / "Dockerfile").read_text()):
            self._carry_out(step)

    def environment(self) -> dict[str, str]:
        """Return the variables of the image, and those that this machine needs."""
        return {name: os.environ[name] for name in KEPT if name in os.environ} | self.variables

    def _carry_out(self, step: Step) -> None:
        match step.name:
            case "FROM":
                assert BASES.fullmatch(step.rest), f"an unknown image: {step.rest}"
                self.variables = {}
                self.folder = self.scratch / f"stage-{len(list(self.scratch.iterdir()))}"
                self.folder.mkdir()
            case "ENV":
                self.variables |= dict(word.split("=", 1) for word in step.rest.split())
            case "RUN":
                self._run(step.rest)
            case "COPY" if "from" in step.options:
                source, target = step.rest.split()
                self.copied[target] = self.scratch / "stage-0" / Path(source).relative_to("/app")
                assert self.copied[target].exists()
            case "COPY":
                *sources, target = step.rest.split()
                self._copy(sources, target)
            case "WORKDIR":
                assert step.rest == "/app"
            case "USER" | "EXPOSE" | "CMD":
                pass
            case _:
                raise AssertionError(f"an unknown instruction: {step.name}")

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def _copy(self, sources: list[str], target: str) -> None:
        """Copy the files that .dockerignore does not exclude. Any target except `.` is one file."""
        patterns = (self.context / ".dockerignore").read_text().splitlines()
        sent = exclude_paths(str(self.context), patterns)
        for source in sources:
            assert (self.context / source).exists(), f"{source} does not exist"
            if target not in (".", "./"):
                self.copied[target] = self.context / source
                continue
            for name in sent if source == "." else {source} & sent:
                if (self.context / name).is_file():
                    (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(self.context / name, self.folder / name)
