"""Compare our workers with uvicorn's and gunicorn's: memory, and what a kill leaves.

`uv run --with gunicorn benchmarks/worker_models.py [--quick]`: about six minutes. Needs Linux, wrk
and Postgres' programs.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import process
from postgres_server import Server, find_binaries

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = "64"
QUICK = "--quick" in sys.argv  # to try the program; the figures mean nothing
SECONDS = "1" if QUICK else "5"
ROUNDS = 1 if QUICK else 3
UVICORN = [
    "--loop", "uvloop", "--http", "serving.protocol:Protocol", "--ws", "none", "--no-server-header",
    "--no-proxy-headers",
]  # fmt: skip
# uvicorn's worker class for gunicorn, with our protocol class and loop.
GUNICORN_WORKER = """
from uvicorn.workers import UvicornWorker

class Worker(UvicornWorker):
    CONFIG_KWARGS = {
        "loop": "uvloop", "http": "serving.protocol:Protocol", "ws": "none",
        "server_header": False, "proxy_headers": False,
    }
"""


# What server.py does before it forks.
GUNICORN_FREEZE = """
import gc

from memory import trim_memory

def when_ready(server):
    trim_memory()
    gc.freeze()
"""


def commands(port: int) -> dict[str, list[str]]:
    """Return Python's arguments for each way to serve."""
    uvicorn = ["-m", "uvicorn", "main:app", "--port", str(port), *UVICORN]
    gunicorn = ["-W", "ignore", "-m", "gunicorn", "main:app", "-b", f"127.0.0.1:{port}"]
    worker = ["-k", "gunicorn_worker.Worker", "-w", "2"]
    return {
        "ours, 1": ["main.py"],
        "ours, 2": ["main.py"],
        "uvicorn, 1": uvicorn,
        "uvicorn, 2": [*uvicorn, "--workers", "2"],
        "gunicorn, 2": [*gunicorn, *worker],
        "gunicorn, 2, preload": [*gunicorn, *worker, "--preload"],
        "gunicorn, 2, preload, freeze": [
            *gunicorn,
            *worker,
            "--preload",
            "-c",
            "python:gunicorn_freeze",
        ],
    }


@contextmanager
def served(name: str, url: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the service in one of these ways, and return it with its port."""
    port = process.free_port()
    environment = os.environ | {
        "ENVIRONMENT": "production",
        "DATABASE_URL": url,
        "BETTER_AUTH_SECRET": secrets.token_urlsafe(32),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": name.partition(", ")[2][:1] if name.startswith("ours") else "1",
        "LOG_LEVEL": "critical",
        "PYTHONPATH": str(folder),
    }
    running = subprocess.Popen(
        [sys.executable, *commands(port)[name]],
        cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield running, port
    finally:
        process.stop(running)


def wait(port: int, seconds: float = 30) -> float:
    """Wait for /health/live, and return the seconds."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        with suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5).read()
            return time.monotonic() - began
        time.sleep(0.02)
    raise SystemExit("The service did not start.")


def measure(name: str, url: str, folder: Path) -> tuple[float, process.Memory, process.Memory]:
    """Return the seconds to start, and the memory when idle and at its peak under load."""
    with served(name, url, folder) as (running, port):
        started = wait(port)
        time.sleep(2)
        idle = process.memory(running.pid)
        with process.PeakMemory(running.pid) as sampled:
            target = f"http://127.0.0.1:{port}/health"
            subprocess.run(
                ["wrk", "-t1", "-c", CONNECTIONS, "-d", SECONDS, target],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        return started, idle, sampled.peak


def children(pid: int) -> set[int]:
    """Return the workers, which are the children with much memory."""
    found = {int(line) for line in subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()}  # fmt: skip
    return {child for child in found if process.memory(child).rss_mb > 40}


def kill_parent(name: str, url: str, folder: Path) -> str:
    """Return what is left 10 seconds after the parent is killed with SIGKILL."""
    with served(name, url, folder) as (running, port):
        wait(port)
        time.sleep(2)
        workers = children(running.pid)
        running.send_signal(signal.SIGKILL)
        running.wait()
        time.sleep(10)
        left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        return f"{len(left)} of {len(workers)} workers still running"


def main() -> None:
    """Measure all ways in turns, and print the medians."""
    with (
        tempfile.TemporaryDirectory() as name,
        Server(find_binaries(None)) as server,
    ):
        folder = Path(name)
        (folder / "gunicorn_worker.py").write_text(GUNICORN_WORKER)
        (folder / "gunicorn_freeze.py").write_text(GUNICORN_FREEZE)
        url = server.url("postgres")
        names = list(commands(0))[:2] if QUICK else list(commands(0))
        rounds = [{name: measure(name, url, folder) for name in names} for _ in range(ROUNDS)]
        for name in names:
            figures = [each[name] for each in rounds]
            start = sorted(figure[0] for figure in figures)[ROUNDS // 2]
            idle = sorted(figure[1].pss_mb for figure in figures)[ROUNDS // 2]
            peak = sorted(figure[2].pss_mb for figure in figures)[ROUNDS // 2]
            resident = sorted(figure[2].rss_mb for figure in figures)[ROUNDS // 2]
            line = f"{name:28} start {start:.2f} s  PSS idle {idle:.0f}  peak {peak:.0f}"
            left = kill_parent(name, url, folder) if not name.endswith("1") else ""
            print(f"{line}  RSS peak {resident:.0f} MB  {left}", flush=True)


if __name__ == "__main__":
    main()
