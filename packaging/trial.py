"""Tries a release before it is published: `make release-test`.

Builds all twice and compares, signs, verifies, then installs each kind into a fresh Debian as
docs/installing.md says, and delivers an event through it to the sandbox. For root, on Debian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import signing
from artifacts import DIST, SUMS, build
from folder import sources
from source import REPOSITORY, Problem, exit_status, run

_LIMIT = 120.0
"""How long a newcomer may take, in seconds: from the download to the delivered event."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_TOOLS = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "ip": "iproute2", "rpmsign": "rpm"}
_KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
_TRIGGER = f'pagerduty-agent send -k {_KEY} -t trigger -d "This is a test event"'
# With the words of the README: agent and stand-in, then an event from another terminal.
_FIRST_EVENT = f"""
pagerduty-agent server --sandbox >/tmp/sandbox.log 2>&1 &
export PAGERDUTY_AGENT_CONFIG=~/.pagerduty-agent/sandbox/config.yaml
until pagerduty-agent health >/dev/null 2>&1; do sleep 0.1; done
{_TRIGGER}
until grep -q "This is a test event" /tmp/sandbox.log; do sleep 0.1; done
unset PAGERDUTY_AGENT_CONFIG
"""
# The agent of the whole host, as its unit runs it, for there is no systemd in a chroot.
_SERVICE = """
pagerduty-agent sandbox --port 9465 >/tmp/service.log 2>&1 &
printf '%s: http://127.0.0.1:9465\\n' events_url api_url >>/etc/pagerduty-agent.yaml
su -s /bin/sh pagerduty-agent -c 'exec pagerduty-agent --config /etc/pagerduty-agent.yaml server' &
until pagerduty-agent health >/dev/null 2>&1; do sleep 0.1; done
TRIGGER
until grep -q "This is a test event" /tmp/service.log; do sleep 0.1; done
pagerduty-agent server stop
test -s /var/lib/pagerduty-agent/journal/data.mdb
""".replace("TRIGGER", _TRIGGER)
# Enabled, and none in /etc, where `init --system` has its own without a package.
_UNIT = """
cd /etc/systemd/system; test ! -e pagerduty-agent.service
test -L multi-user.target.wants/pagerduty-agent.service
"""
_DATA, _CONFIG = "/var/lib/pagerduty-agent/journal/data.mdb", "/etc/pagerduty-agent.yaml"
_KEPT = f"""
test ! -e /usr/bin/pagerduty-agent
test ! -e /usr/lib/pagerduty-agent
test -s {_DATA}
grep -q ^events_url: {_CONFIG}
"""
_GONE = """
left=$(find /etc /usr /var /run -name '*pagerduty-agent*' -not -path '/var/lib/dpkg/*')
test -z "$left" || { echo "left: $left"; exit 1; }
"""
_WHEEL = """\
python3 -m venv ~/.venvs/pagerduty-agent
~/.venvs/pagerduty-agent/bin/pip install ./pdagent-*.whl
"""
_ACTIVATE = ". ~/.venvs/pagerduty-agent/bin/activate\n"
_FOLDER = """\
mkdir /opt/pagerduty-agent
tar -xzf pagerduty-agent-*-linux-x86_64.tar.gz -C /opt/pagerduty-agent --strip-components=1
ln -s /opt/pagerduty-agent/bin/pagerduty-agent /usr/local/bin/
"""
_DEB = "apt install ./pagerduty-agent_*.py311_amd64.deb"
_PURGE_RPM = """\
rm -r /var/lib/pagerduty-agent /var/spool/pagerduty-agent
rm -r /etc/pagerduty-agent /etc/pagerduty-agent.yaml
"""


class Debian:
    """Fresh roots of Debian's releases, made once each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def root(self, suite: str) -> Iterator[Path]:
        """A root with nothing but the essential packages and apt."""
        archive = self._folder / f"{suite}.tar"
        if not archive.exists():
            options = ("--quiet", "--variant=minbase", '--aptopt=APT::Get::Assume-Yes "true"')
            run("mmdebstrap", *options, suite, archive, *sources(suite))
        root = Path(tempfile.mkdtemp(prefix=f"{suite}-", dir=self._folder))
        try:
            run("tar", "-x", "-f", archive, "-C", root)
            yield root
        finally:
            shutil.rmtree(root)


def in_root(root: Path, script: str, *, online: bool = False) -> None:
    """Run a shell script in `root`, with no network but loopback unless it is `online`."""
    network = () if online else ("--net",)
    enter = 'mount -t proc proc "$1/proc"; ip link set lo up; exec chroot "$1" sh -ec "cd; $2"'
    environment = {"PATH": _PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/root/wheels"}
    process = subprocess.Popen(
        [*_APART, *network, "sh", "-ec", enter, "sh", str(root), script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        said, _ = process.communicate(timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        raise Problem(f"took more than {_LIMIT:.0f} s:\n{script}\n{said}") from None
    if process.returncode:
        raise Problem(f"failed with {process.returncode}:\n{script}\n{said}")


def documented(script: str) -> str:
    """`script`, each of whose lines must stand in docs/installing.md."""
    page = (REPOSITORY / "docs/installing.md").read_text("utf-8")
    for line in script.strip().splitlines():
        if line.strip() not in page:
            raise Problem(f"docs/installing.md does not say: {line.strip()}")
    return script


def trials(debian: Debian) -> Iterator[str]:
    """Try each artifact in dist/; yields what was tried and how long it took."""
    with debian.root("bookworm") as root:
        _download_libraries(root / "root/wheels")
        in_root(root, "apt-get update; apt-get install python3-venv", online=True)
        yield f"wheel on Debian 12: {_first_event(root, documented(_WHEEL))}"
    for suite, name in (("bookworm", "Debian 12"), ("bullseye", "Debian 11")):
        with debian.root(suite) as root:
            yield f"folder on {name} without Python: {_first_event(root, documented(_FOLDER))}"
    for suite, name, python in (("bookworm", "Debian 12", "311"), ("trixie", "Debian 13", "313")):
        with debian.root(suite) as root:
            install = documented(_DEB).replace("py311", f"py{python}")
            package = install.split()[-1]
            in_root(root, "apt-get update", online=True)
            in_root(root, "ln -s /bin/false /usr/local/bin/systemctl")  # a host with systemd
            took = _first_event(root, install, online=True)
            yield f".deb on {name}: {took}"
            in_root(root, _UNIT)
            in_root(root, _SERVICE)
            in_root(root, f"dpkg -i {package}; test -s {_DATA}; grep -q ^events_url: {_CONFIG}")
            in_root(root, documented("apt remove pagerduty-agent") + _KEPT)
            in_root(root, f"dpkg -i {package} ./pagerduty-agent-compat_*_all.deb; pd-send --help")
            in_root(root, documented("apt purge pagerduty-agent") + _GONE)
            yield f"service, upgrade, removal and purge on {name}"
    with debian.root("bookworm") as root:
        in_root(root, "apt-get update; apt-get install rpm python3", online=True)
        package = "pagerduty-agent-*.py311.x86_64.rpm"
        took = _first_event(root, f"rpm --install --nodeps {package}")
        yield f".rpm, unpacked by Debian's rpm: {took}"
        in_root(root, _SERVICE)
        in_root(root, f"rpm --upgrade --force --nodeps {package}; test -s {_DATA}")
        in_root(root, "rpm --erase pagerduty-agent" + _KEPT)
        in_root(root, documented(_PURGE_RPM) + _GONE)
        yield "service, upgrade and removal of the .rpm"


def _first_event(root: Path, install: str, *, online: bool = False) -> str:
    """Install what lies in the home directory, and deliver an event; the time that both took."""
    for file in DIST.iterdir():
        shutil.copy(file, root / "root")
    begun = time.monotonic()
    in_root(root, install, online=online)
    in_root(root, (_ACTIVATE if install == _WHEEL else "") + _FIRST_EVENT)
    took = time.monotonic() - begun
    if took > _LIMIT:
        raise Problem(f"from {install.strip()!r} to the first event took {took:.0f} s")
    return f"{took:.0f} s"


def _download_libraries(directory: Path) -> None:
    """What pip would download, for a root without a network."""
    for_python = ("--python-version=3.11", "--only-binary=:all:")
    locked = f"--requirement={REPOSITORY}/packaging/requirements.txt"
    pip = (sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes")
    run(*pip, *for_python, f"--dest={directory}", locked)


def try_release() -> None:
    """Build, compare, sign, verify, try."""
    _check_host()
    fingerprint = signing.key()
    build(DIST)
    with tempfile.TemporaryDirectory(prefix="pdagent-trial-") as folder:
        again = Path(folder) / "dist"
        build(again)
        if (again / SUMS).read_text() != (DIST / SUMS).read_text():
            second = shutil.copy(again / SUMS, DIST / f"{SUMS}.second")
            raise Problem(f"two builds of this commit differ: diff {DIST / SUMS} {second}")
        print("Two builds are identical")
        if fingerprint is None:
            signing.verify_sums(DIST)
            print("Checksums are right; UNSIGNED=1: no signatures")
        else:
            signing.sign(DIST, fingerprint)
            print(f"{signing.verify(DIST, fingerprint)} signatures are good")
        for tried in trials(Debian(Path(folder))):
            print(tried, flush=True)


def _check_host() -> None:
    if os.geteuid() != 0:
        raise Problem("the installations need root: run it as root, with GNUPGHOME for your key")
    if missing := [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]:
        raise Problem(f"a tool is missing: apt install {' '.join(missing)}")


if __name__ == "__main__":
    sys.exit(exit_status(try_release))
