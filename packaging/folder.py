"""The self-contained folder: the program with a Python, and with the C library that this needs.

All of it comes from Debian's packages, so that its users get Debian's security fixes with each
release. The loader of the folder's own C library starts Python: the host's C library does not
matter, and no variable changes how the programs behave that the agent starts.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
from pathlib import Path

from dependencies import install, launcher
from source import Problem, Source, run

_SUITE = "trixie"
_PACKAGES = "python3-minimal,libpython3-stdlib"
# Their libraries are used by modules of Python that the program doesn't use, or by no module.
_UNUSED = re.compile(
    r"lib(acl|anl|BrokenLocale|c_malloc_debug|db-|expatw|form|history|md|memusage|menu|mvec|ncurses"
    r"|nsl|nss_hesiod|panel|pcprofile|pcre2|readline|selinux|sqlite3|thread_db|tic|tinfo)"
)
_UNUSED_MODULES = (
    *(
        "__phello__",
        "_pyrepl",
        "curses",
        "dbm",
        "idlelib",
        "pydoc_data",
        "sqlite3",
        "test",
        "turtle.py",
    ),
    *("unittest", "venv", "sitecustomize.py", "EXTERNALLY-MANAGED"),
    *(
        f"lib-dynload/{name}.*"
        for name in ("_curses*", "_dbm", "_sqlite3", "*test*", "readline", "xx*")
    ),
)
# The program's own path may be a link to this script, for example in /usr/local/bin.
_START = """\
#!/bin/sh
self=$0
if [ -L "$self" ]; then self=$(readlink -f "$self"); fi
home=${self%/*}/..
exec "$home/lib/ld.so" --argv0 "$home/bin/python3" --library-path "$home/lib" "$home/lib/python" """


def build(source: Source, wheel: Path, work: Path, target: Path) -> tuple[Path, dict[str, str]]:
    """Make the archive in `target`; `work` is an empty directory.

    Returns the archive, and the versions of Debian's source packages in it.
    """
    home = work / f"pagerduty-agent-{source.version}-linux-x86_64"
    debian = work / "debian"
    _unpack(debian)
    [interpreter] = (debian / "usr/bin").glob("python3.*[0-9]")
    python = interpreter.name.removeprefix("python")
    shutil.copytree(debian / f"usr/lib/python{python}", home / f"lib/python{python}", symlinks=True)
    shutil.copy(interpreter, home / "lib/python")
    _libraries(debian / "usr/lib/x86_64-linux-gnu", home / "lib")
    for pattern in _UNUSED_MODULES:
        for path in (home / f"lib/python{python}").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _licences(debian, home / "licenses")
    shutil.copy(source.tree / "LICENSE", home / "LICENSE")
    install(source, wheel, home / "lib/python3/dist-packages", python)
    _programs(source, home)
    # An installed file is never changed, so none has to be compared with what it was made of.
    options = ("-q", "--invalidation-mode=unchecked-hash", "-s", home, "-p", "/opt/pagerduty-agent")
    compiled = (home / "lib/python3", home / f"lib/python{python}")
    # -B: what compileall itself imports would be compiled with its path in the build.
    compileall = (home / "bin/python3", "-B", "-m", "compileall", "-f")
    run(*compileall, *options, *compiled, PYTHONHASHSEED="0")
    return _archive(home, target, source.epoch), _versions(debian)


def sources(suite: str) -> list[str]:
    """The lines of sources.list with which this machine gets a suite and its security fixes.

    The environment's DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR override what apt-get knows.
    """
    sites = _sites()
    if "Debian" not in sites:
        raise Problem("set DEBIAN_MIRROR to the URL of a mirror of Debian: apt-get knows none here")
    lines = [f"deb {sites['Debian']} {suite} main"]
    if security := sites.get("Debian-Security"):
        lines.append(f"deb {security} {suite}-security main")
    return lines


def _sites() -> dict[str, str]:
    given = {"Debian": "DEBIAN_MIRROR", "Debian-Security": "DEBIAN_SECURITY_MIRROR"}
    sites = {label: os.environ[name] for label, name in given.items() if name in os.environ}
    asked = ["apt-get", "indextargets", "--format", "$(LABEL) $(SITE)", "Created-By: Packages"]
    for line in "" if sites else run(*asked).splitlines():
        label, _, site = line.partition(" ")
        sites.setdefault(label, site)
    return sites


def _unpack(root: Path) -> None:
    # Only unpacks: nothing of it runs.
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={_PACKAGES}"]
    run(*command, _SUITE, root, *sources(_SUITE))


def _libraries(found: Path, lib: Path) -> None:
    for library in found.glob("lib*.so.*[0-9]"):
        if not _UNUSED.match(library.name) and library.name == _soname(library):
            shutil.copy(library, lib / library.name)
    shutil.copy(found / "ld-linux-x86-64.so.2", lib / "ld.so")


def _soname(library: Path) -> str:
    found = re.search(r"SONAME +(\S+)", run("objdump", "-p", library))
    return found[1] if found else library.name


def _versions(debian: Path) -> dict[str, str]:
    """By the newest entry of each changelog, for example `openssl (3.5.9-1) trixie; ...`."""
    versions = {}
    for path in sorted((debian / "usr/share/doc").glob("*/changelog.Debian.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as changelog:
            name, version = changelog.readline().split()[:2]
        versions[name] = version.strip("()")
    return versions


def _licences(debian: Path, directory: Path) -> None:
    directory.mkdir()
    for path in (debian / "usr/share/doc").glob("*/copyright"):
        shutil.copy(path, directory / path.parent.name)


def _programs(source: Source, home: Path) -> None:
    (home / "bin").mkdir()
    texts = {"python3": f'{_START}"$@"\n'}
    for name, function in source.scripts.items():
        (home / f"lib/{name}.py").write_text(launcher(function))
        texts[name] = f'{_START}-I "$home/lib/{name}.py" "$@"\n'
    for name, text in texts.items():
        path = home / "bin" / name
        path.write_text(text)
        path.chmod(0o755)


def _archive(home: Path, target: Path, epoch: int) -> Path:
    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = epoch
        return entry

    path = target / f"{home.name}.tar.gz"
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        archive.add(home, home.name, filter=plain)  # sorts what is in a directory
    return path
