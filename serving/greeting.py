"""Log lines at the start: the mode, the URL of the documentation, and how to get a token."""

import os

from config import Settings
from observability.logs import logger

ANY_OR_LOCAL = ("127.0.0.1", "0.0.0.0", "::1", "::")  # noqa: S104


MODE = "Starting in %s mode (ENVIRONMENT)"
PUBLIC_DEVELOPMENT = (
    "ENVIRONMENT is development, and other machines may reach HOST %s. Set ENVIRONMENT=production "
    "if others use the service, or leave HOST out."
)


def log_mode(settings: Settings) -> None:
    """Log the mode of the service, and a warning if the address does not suit it."""
    logger.info(MODE, settings.environment)
    if settings.environment == "development" and settings.is_public:
        logger.warning(PUBLIC_DEVELOPMENT, settings.listen_host)


class Greeting:
    """The log lines for when clients can reach the service. Only the first worker writes them.

    A restarted worker does not repeat them.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._turn, turn = os.pipe()  # only one process can read the byte
        os.write(turn, b"1")
        os.close(turn)

    def __call__(self) -> None:
        """Log the lines, unless another worker has done so."""
        if not os.read(self._turn, 1):
            return
        url = f"http://{self._address()}:{self._port}"
        if self._settings.docs_enabled:
            logger.info("Documentation: %s/docs", url)
        else:
            logger.info("Serving %s", url)
        if self._settings.environment == "development":
            logger.info("Get a token to try it with: uv run auth.py user_123")

    def _address(self) -> str:
        host = self._settings.listen_host
        return "localhost" if host in ANY_OR_LOCAL else f"[{host}]" if ":" in host else host
