"""Run the server: `python -m mcp_server` on stdin and stdout, `python -m mcp_server http`."""

import asyncio
import signal
import sys

from mcp_server import settings
from mcp_server.loop import Loop
from mcp_server.remote import serve
from mcp_server.server import stdio_server


def main(arguments: list[str]) -> None:
    """Serve until the client disconnects or a signal arrives. A wrong setting ends the process."""
    if arguments == ["http"]:
        serve(settings.read(settings.HttpSettings))
    elif not arguments:
        server = stdio_server(settings.read(settings.StdioSettings))
        # asyncio would wait for the thread that reads stdin, until the client disconnects.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(server.run_stdio_async())
    else:
        raise SystemExit("Usage: python -m mcp_server [http]")


if __name__ == "__main__":
    main(sys.argv[1:])
