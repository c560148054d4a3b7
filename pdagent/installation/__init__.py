"""The agent of a whole host: its user and group, its directories, its files and its systemd unit.

What is missing is made, and what is there is left as it is: `install` can be repeated.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pdagent.config.loading import SYSTEM_FILE, load
from pdagent.config.template import (
    NewFile,
    as_yaml,
    config_text,
    new_secret,
    tls_files,
    tls_pair,
    tls_settings,
    write_new,
)

if TYPE_CHECKING:
    from pdagent.migration.old_configs import Converted

ACCOUNT = "pagerduty-agent"
"""The name of user, group and service."""

_CREDENTIALS = Path("/etc/pagerduty-agent")
SECRET_FILE = _CREDENTIALS / "secret"
ROUTING_KEYS_FILE = _CREDENTIALS / "routing-keys.yaml"
SOCKET = Path("/run/pagerduty-agent/agent.sock")
UNIT = Path("/etc/systemd/system/pagerduty-agent.service")
_PACKAGED_UNIT = Path("/usr/lib/systemd/system") / UNIT.name
_TEMPLATES = ("pagerduty-onfailure@.service", "pagerduty-onsuccess@.service")

_STATE = Path("/var/lib/pagerduty-agent")
_SPOOL = Path("/var/spool/pagerduty-agent")
_SETTINGS = {
    "socket": SOCKET,
    "secret_file": SECRET_FILE,
    "database": _STATE / "journal",
    "pidfile": SOCKET.with_name("pidfile"),
    "spool": _SPOOL,
    "routing_keys_file": ROUTING_KEYS_FILE,
}
_ROUTING_KEYS = """\
# Names for routing keys, for 'pagerduty-agent send -k @NAME': lines of the form 'name: key'.
# The users of the group pagerduty-agent can read them. Restart the agent after a change.
# database: 0123456789abcdef0123456789abcdef
"""
_PROGRAM_IN_UNIT = "/usr/local/bin/pagerduty-agent"


class CannotInstall(Exception):
    """Something can't be made; the text is one line and says what to do."""


class _Owner(NamedTuple):
    user: int
    group: int


def install(tls_names: Sequence[str] | None, old: Converted | None = None) -> Iterator[str]:
    """Make what is missing; yields a line about each thing. For root only.

    With `tls_names`, which may be empty, the agent speaks https, as with `write_config`. The config
    takes over the settings of an `old` one.

    Raises:
        CannotInstall: The user or the group can't be made.
        ConfigError: A file can't be written.
        OSError: A directory can't be made.
    """
    yield from _account()
    root, agent = _Owner(0, 0), _Owner(_user(), _group())
    for path, owner, mode in (
        (_CREDENTIALS, root, 0o755),
        (_STATE, agent, 0o700),
        (_STATE / "journal", agent, 0o700),
        # Users of the group put files there, which get its group.
        (_SPOOL, agent, 0o2770),
        (SOCKET.parent, agent, 0o755),
    ):
        yield _directory(path, owner, mode)
    settings = {name: str(path) for name, path in _SETTINGS.items()}
    taken = dict(old.settings) if old else {}
    secret = taken.pop("secret", "") or new_secret()
    yield _new({SECRET_FILE: NewFile(f"{secret}\n".encode(), 0o600, agent)})
    for_senders = _Owner(0, agent.group)
    yield _new({ROUTING_KEYS_FILE: NewFile(_ROUTING_KEYS.encode(), 0o640, for_senders)})
    if tls_names is not None:
        pair = tls_pair(SYSTEM_FILE, tls_names)
        key = tls_files(SYSTEM_FILE).key
        yield _new({**pair, key: pair[key]._replace(owner=agent)})
        settings |= tls_settings(SYSTEM_FILE)
    # After the files that it names.
    text = config_text({**as_yaml(taken), **settings}, old.notes() if old else ())
    yield _new({SYSTEM_FILE: NewFile(text.encode(), 0o644, root)})
    if _PACKAGED_UNIT.exists():
        if UNIT.exists():
            yield f"Warning: {UNIT} replaces the package's {_PACKAGED_UNIT}: remove it."
    elif _has_systemd():
        for name in (UNIT.name, *_TEMPLATES):
            yield _new({UNIT.with_name(name): NewFile(_unit(name).encode(), 0o644, root)})
    yield from _missing(settings)
    yield from _hidden_from_the_service()


def next_steps() -> str:
    """What root does after the installation."""
    start = f"systemctl enable --now {ACCOUNT}" if _has_systemd() else service_command("start")
    return (
        f"Next:\n"
        f"  {start}\n"
        f"      starts the agent.\n"
        f"  usermod -aG {ACCOUNT} nagios\n"
        f"      lets the user nagios send events; then restart what runs as that user.\n"
        f"  {ACCOUNT} send -k KEY -t trigger -d 'Test'\n"
        f"      pages somebody, as each user of the group. For '-k @NAME', give KEY a name in\n"
        f"      {ROUTING_KEYS_FILE} and restart the agent."
    )


def service_command(verb: Literal["start", "stop"]) -> str:
    """What root runs to start or stop the agent of the whole host."""
    if _has_systemd():
        return f"systemctl {verb} {ACCOUNT}"
    server = f"{ACCOUNT} server"
    return f"{server} stop" if verb == "stop" else f'su -s /bin/sh {ACCOUNT} -c "{server}"'


def _has_systemd() -> bool:
    return shutil.which("systemctl") is not None


def _user() -> int:
    return pwd.getpwnam(ACCOUNT).pw_uid


def _group() -> int:
    return grp.getgrnam(ACCOUNT).gr_gid


def _account() -> Iterator[str]:
    nologin = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
    home = ("--home-dir", str(_STATE), "--no-create-home", "--shell", nologin)
    for kind, find, command in (
        ("group", _group, ("groupadd", "--system", ACCOUNT)),
        ("user", _user, ("useradd", "--system", "--gid", ACCOUNT, *home, ACCOUNT)),
    ):
        try:
            find()
        except KeyError:
            _run(command, f"make the system {kind} {ACCOUNT} by hand, then run this again")
            yield f"Made the system {kind} {ACCOUNT}."
        else:
            yield f"The {kind} {ACCOUNT} exists already."


def _run(command: tuple[str, ...], otherwise: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotInstall(f"can't run {command[0]} ({error.strerror}): {otherwise}") from None
    if done.returncode:
        raise CannotInstall(f"{command[0]} failed ({done.stderr.strip()}): {otherwise}")


def _directory(path: Path, owner: _Owner, mode: int) -> str:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.stat()
        if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (*owner, mode):
            return f"{path} exists already."
        needed = f"chown {owner.user}:{owner.group} {path} && chmod {mode:o} {path}"
        return (
            f"Warning: {path} exists already, with another owner or mode, and was left as it is: "
            f"run '{needed}'."
        )
    # Not by the name: the agent's user, in whose directory it may be, could make it a link.
    made = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(made, *owner)
        os.fchmod(made, mode)  # after chown, which takes the setgid bit away
    finally:
        os.close(made)
    return f"Made {path}."


def _new(made: Mapping[Path, NewFile]) -> str:
    try:
        write_new(made)
    except FileExistsError as error:
        return f"{error.filename} exists already and was left as it is."
    return f"Wrote {' and '.join(map(str, made))}."


def _unit(name: str) -> str:
    text = (files(__name__) / name).read_text("utf-8")
    return text.replace(_PROGRAM_IN_UNIT, str(_program()))


def _program() -> Path:
    installed = Path(sys.executable).parent.resolve() / ACCOUNT
    return installed if os.access(installed, os.X_OK) else Path(_PROGRAM_IN_UNIT)


def _missing(settings: Mapping[str, str]) -> Iterator[str]:
    """Warn of a config file that was there before."""
    if not SYSTEM_FILE.stat().st_mode & stat.S_IROTH:
        yield (
            f"Warning: {SYSTEM_FILE} can't be read by the users who send: move credentials in it "
            f"into files of their own, then run 'chmod 644 {SYSTEM_FILE}'."
        )
    config = load({}, {}, config_file=str(SYSTEM_FILE)).config
    for name, value in settings.items():
        if getattr(config, name) != SYSTEM_FILE.parent / value:
            yield f"Warning: {SYSTEM_FILE} does not say '{name}: {value}': change that line of it."


def _hidden_from_the_service() -> Iterator[str]:
    for path in (_program(), Path(sys.base_prefix)):
        if path.resolve().parts[1:2] in (("home",), ("root",)):
            yield (
                f"Warning: the service can't use {path}, below /home or /root: install the program "
                "elsewhere ('pagerduty-agent help docs/systemd.md')."
            )
            return
