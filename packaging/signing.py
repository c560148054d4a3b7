"""Signatures by the caller's GPG key: of the packages themselves, and beside every file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from artifacts import SUMS, write_sums
from source import Problem, run

_HOW_TO_MAKE_A_KEY = """\
There is no GPG key to sign with.
  gpg --list-secret-keys      shows your keys; GPG_KEY=FINGERPRINT chooses one of them
  gpg --full-generate-key     makes one (RSA, 4096 bits)
  UNSIGNED=1                  in front of the command goes on without signatures"""
# A package of Debian is an archive of ar: members, each after a header of 60 bytes.
_AR = b"!<arch>\n"
_HEADER = 60
_SIGNATURE = "_gpgorigin"


def key() -> str | None:
    """The fingerprint of the key to sign with; None if UNSIGNED=1 says to go on without one."""
    if os.environ.get("UNSIGNED") == "1":
        return None
    wanted = [chosen] if (chosen := os.environ.get("GPG_KEY")) else []
    try:
        listed = run("gpg", "--list-secret-keys", "--with-colons", *wanted)
    except Problem as problem:  # there is no such key, or no gpg
        raise Problem(f"{problem}\n{_HOW_TO_MAKE_A_KEY}") from None
    for line in listed.splitlines():
        if line.startswith("fpr:"):
            return line.split(":")[9]
    raise Problem(_HOW_TO_MAKE_A_KEY)


def sign(target: Path, fingerprint: str) -> None:
    """Sign the packages in `target`, then write SHA256SUMS anew and a signature of each file."""
    # rpm looks for another name of it.
    program = ("--define", f"__gpg {shutil.which('gpg')}", "--define", f"_gpg_name {fingerprint}")
    for package in target.glob("*.rpm"):
        run("rpmsign", *program, "--addsign", package)
    for package in target.glob("*.deb"):
        _sign_deb(package, fingerprint)
    write_sums(target)
    for file in sorted(target.iterdir()):
        run("gpg", "--local-user", fingerprint, "--armor", "--detach-sign", file)


def verify(target: Path, fingerprint: str) -> int:
    """Verify all checksums and signatures with nothing but the public key; how many there were."""
    verify_sums(target)
    number = 0
    with tempfile.TemporaryDirectory(prefix="pdagent-gpg-") as folder:
        home, public = Path(folder), Path(folder) / "public.asc"
        run("gpg", "--armor", "--output", public, "--export", fingerprint)
        gpg = ("gpg", "--homedir", home, "--batch", "--no-autostart")
        run(*gpg, "--import", public)
        files = sorted(file for file in target.iterdir() if file.suffix != ".asc")
        for file in files:
            run(*gpg, "--verify", f"{file}.asc", file)
            number += 1
        for package in (file for file in files if file.suffix == ".deb"):
            signed, signature = home / "signed", home / "signature"
            parts = dict(_members(package))
            signature.write_bytes(parts.pop(_SIGNATURE))
            signed.write_bytes(b"".join(parts.values()))
            run(*gpg, "--verify", signature, signed)
            number += 1
        for package in target.glob("*.rpm"):
            run("rpmkeys", "--dbpath", home / "rpm", "--import", public)
            said = run("rpmkeys", "--dbpath", home / "rpm", "--checksig", package)
            if "signatures OK" not in said:
                raise Problem(f"no good signature: {said.strip()}")
            number += 1
    return number


def verify_sums(target: Path) -> None:
    """Verify SHA256SUMS."""
    run("sha256sum", "--quiet", "--check", SUMS, cwd=target)


def _sign_deb(package: Path, fingerprint: str) -> None:
    """Append the member that debsig-verify reads: a signature of all others."""
    signed = b"".join(content for _, content in _members(package))
    with tempfile.TemporaryDirectory(prefix="pdagent-gpg-") as folder:
        file = Path(folder) / "signed"
        file.write_bytes(signed)
        run("gpg", "--local-user", fingerprint, "--detach-sign", file)
        signature = file.with_suffix(".sig").read_bytes()
    header = f"{_SIGNATURE:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(signature):<10}`\n"
    with package.open("ab") as writer:
        writer.write(header.encode() + signature + b"\n" * (len(signature) % 2))


def _members(package: Path) -> Iterator[tuple[str, bytes]]:
    rest = package.read_bytes().removeprefix(_AR)
    while rest:
        name, size = rest[:16].decode().strip().rstrip("/"), int(rest[48:58])
        yield name, rest[_HEADER : _HEADER + size]
        rest = rest[_HEADER + size + size % 2 :]
