"""Compare the CPU time of uvicorn's protocol classes and of our own.

`uv run --group bench benchmarks/protocols.py [--quick]` takes a minute. Each class serves
the same ASGI application, which returns 200 at once. wrk sends GET, or POST with a JSON body, on 64
connections. The classes take turns, round by round. Needs wrk.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import process

ROOT = Path(__file__).resolve().parent.parent
PROTOCOLS = {
    "service": "serving.protocol:Protocol",
    "uvicorn, httptools": "httptools",
    "uvicorn, h11": "h11",
}
ROUNDS, SECONDS, CONNECTIONS = 7, 1, 64
SERVER = """
import sys
import uvicorn

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})

uvicorn.run(app, http=sys.argv[1], fd=int(sys.argv[2]), loop="uvloop", log_level="critical")
"""
SCRIPTS = {
    "GET": 'wrk.method = "GET"',
    "POST": """
        wrk.method = "POST"
        wrk.body = '{"title": "Buy milk", "description": "Two litres"}'
        wrk.headers["Content-Type"] = "application/json"
    """,
}
# Similar to the headers of a browser.
HEADERS = {
    "Authorization": "Bearer " + "e" * 220,
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36",
    "Origin": "https://app.example.com",
}


@contextmanager
def serving(protocol: str) -> Iterator[tuple[int, int]]:
    """Start a server with `protocol`, and return its process id and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", SERVER, protocol, str(listener.fileno())]
        server = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()])
        try:
            port = listener.getsockname()[1]
            with urlopen(f"http://127.0.0.1:{port}", timeout=30):  # wait for the start
                yield server.pid, port
        finally:
            server.terminate()
            server.wait(10)


def microseconds(pid: int, port: int, method: str, folder: Path) -> float:
    """Return the CPU time of the server for one request."""
    script = folder / f"{method}.lua"
    script.write_text(SCRIPTS[method])
    headers = [part for pair in HEADERS.items() for part in ("-H", ": ".join(pair))]
    before = process.cpu_seconds(pid)
    url = f"http://127.0.0.1:{port}/api/user_123/tasks?limit=5"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), *headers, url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output, output
    requests = int(output.partition(" requests in")[0].split()[-1])
    return (process.cpu_seconds(pid) - before) / requests * 1e6


def main() -> None:
    """Print the median of each class, and its ratio to ours in the same round."""
    rounds_to_run = 1 if "--quick" in sys.argv else ROUNDS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {name: stack.enter_context(serving(http)) for name, http in PROTOCOLS.items()}
        for method in SCRIPTS:
            for server in servers.values():  # to warm up
                microseconds(*server, method, folder)
            rounds = [
                {name: microseconds(*server, method, folder) for name, server in servers.items()}
                for _ in range(rounds_to_run)
            ]
            for name in servers:
                cost = median(each[name] for each in rounds)
                ratio = median(each[name] / each["service"] for each in rounds)
                print(f"{method:5} {name:20} {cost:6.1f} µs   {ratio:4.2f} of the service's")


if __name__ == "__main__":
    main()
