"""Power cuts: file systems that are shut down without a flush, as when their machine loses power.

What was written and not synced is gone afterwards. SIGKILL alone does not test that: the kernel
still writes what a killed process has left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

_SHUT_DOWN = 0x8004587D  # ioctl of ext4 and xfs
_WITHOUT_FLUSH = struct.pack("I", 2)
_BYTES = 2 << 30
"""The image is a file with holes: it takes what is written."""


class FileSystem:
    """An ext4 of its own in a file, mounted at `place` while it is entered."""

    def __init__(self, image: Path, place: Path) -> None:
        self._image = image
        self._place = place

    def __enter__(self) -> FileSystem:
        self._image.parent.mkdir(parents=True, exist_ok=True)
        self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._image.open("wb") as image:
            image.truncate(_BYTES)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self._mount()
        (self._place / "lost+found").rmdir()
        self._place.chmod(0o700)
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", self._place)
        self._image.unlink()

    def cut(self) -> None:
        """From now on nothing gets to the disk, and every call on the file system fails."""
        place = os.open(self._place, os.O_RDONLY)
        try:
            fcntl.ioctl(place, _SHUT_DOWN, _WITHOUT_FLUSH)
        finally:
            os.close(place)

    def come_back(self) -> None:
        """As after the restart of the machine. No process may use it."""
        _run("umount", self._place)
        # A copy: where a mount namespace has the image mounted as well, as tests of whole hosts do
        # meanwhile, a mount of the image itself would be the one that was shut down.
        copy = self._image.with_suffix(".copy")
        _run("cp", "--sparse=always", self._image, copy)
        copy.replace(self._image)
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", self._image, self._place)


def why_not() -> str | None:
    """Why there can be no power cuts here; None if there can."""
    if os.geteuid():
        return "power cuts need root: file systems are mounted for them"
    if shutil.which("mkfs.ext4") is None:
        return "power cuts need mkfs.ext4"
    with tempfile.TemporaryDirectory() as name:
        try:
            with FileSystem(Path(name) / "image", Path(name) / "place") as trial:
                trial.cut()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"power cuts need loop mounts: {getattr(error, 'stderr', None) or error}".strip()
    return None


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
