"""Hands the events of `--batch`, one a line, over to the agent, or to the spool while none runs."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pdagent.cli.output import CommandFailed, ExitCode, abandon_output, echo_json, say
from pdagent.cli.parameters import opened
from pdagent.cli.portions import (
    LONGEST_LINE,
    NotLines,
    Portion,
    named_key,
    portions,
    with_key,
    with_member,
)
from pdagent.cli.progress import Progress
from pdagent.cli.session import Session
from pdagent.cli.submission import RECEIPTS, spooled
from pdagent.events.kinds import KEY_NAMES
from pdagent.localclient.answers import LineResult
from pdagent.localclient.errors import FOR_NOW, AgentError, NoAnswer, Unreachable
from pdagent.wording import counted, ranges

if TYPE_CHECKING:
    from pdagent.events import EventKind
    from pdagent.localclient import LocalClient


class HandOver:
    """Hands over the events of a file, and says for each line what became of it.

    `kind` is that of all lines; `routing_key` is for lines without one.
    """

    def __init__(
        self,
        session: Session,
        kind: EventKind,
        *,
        routing_key: str | None,
        idempotency_key: str | None,
        receipt: str | None,
    ) -> None:
        self._session = session
        self._kind = kind
        self._routing_key = None if routing_key is None else session.routing_key(routing_key)
        self._key = idempotency_key or str(uuid.uuid4())
        self._receipt = receipt
        self._quiet = receipt == "quiet"
        self._stored = 0
        self._invalid: list[int] = []
        self._why = ""
        self._next = 1
        self._unsent = 0

    def hand_over(self, file: str) -> None:
        """Take all of `file`, `-` being standard input.

        Raises:
            CommandFailed: Some lines were invalid, or the agent takes nothing more; it says where.
        """
        printing = not self._quiet
        with opened(file) as stream, Progress("Sending", beside_output=printing) as progress:
            reading = portions(stream.fileno())
            status = os.fstat(stream.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else None
            try:
                with self._session.agent() as client:
                    while (portion := self._read(reading, file)) is not None:
                        self._take(client, portion)
                        place = os.lseek(stream.fileno(), 0, os.SEEK_CUR) if size else 0
                        progress.reached(place, size, counted(self._stored, "event"))
            except KeyboardInterrupt:
                say("note", self._rest(f"perhaps {_on(self._next)}"))
                raise
            finally:
                if progress.on_terminal:
                    self._sum_up(reading if size else ())
        if count := len(self._invalid):
            was = "is invalid: it was" if count == 1 else "are invalid: they were"
            events = counted(count + self._stored, "event")
            # Without a line for each: which they are, and what is wrong with the first.
            which = f" ({ranges(self._invalid)}); {self._why}" if self._quiet else ""
            raise CommandFailed(f"{count:,} of {events} {was} not stored{which}", ExitCode.USAGE)

    def _sum_up(self, unread: Iterable[Portion]) -> None:
        """Tell how many lines were stored, refused for good, and not sent."""
        unsent = self._unsent
        with suppress(NotLines, OSError):
            unsent += sum(len(portion.filled) for portion in unread)
        refused = len(self._invalid)
        say("note", f"{self._stored:,} accepted, {refused:,} refused, {unsent:,} not sent")

    def _read(self, reading: Iterator[Portion], file: str) -> Portion | None:
        try:
            return next(reading, None)
        except NotLines as error:
            raise click.UsageError(f"--batch: {error}") from None
        except OSError as error:
            problem = f"can't read {file}: {error.strerror}"
            if self._stored:
                raise CommandFailed(f"{problem}; {self._rest(_on(self._next))}") from None
            raise click.UsageError(f"--batch: {problem}") from None

    def _take(self, client: LocalClient, portion: Portion) -> None:
        refused = []
        self._unsent = len(portion.filled)
        for result in self._results(client, portion):
            self._tell(result)
            if result.status in FOR_NOW:
                refused.append(result)
        self._next, self._unsent = portion.first + len(portion.lines), len(refused)
        if refused:
            # What follows would overtake: its turn comes when everything is sent again.
            numbers = ranges([result.line for result in refused])
            if any(result.may_have_been_stored for result in refused):
                numbers = f"perhaps {numbers}"
            rest = self._rest(f"{numbers} and all after line {self._next - 1}")
            raise CommandFailed(
                f"the agent takes nothing for now: {'; '.join(refused[0].errors)}; {rest}",
                ExitCode.REFUSED_FOR_NOW,
            )

    def _results(self, client: LocalClient, portion: Portion) -> list[LineResult]:
        results = [
            LineResult(line=n, status=413, errors=(f"is longer than {LONGEST_LINE} bytes",))
            for n in portion.too_long
        ]
        lines = []
        for number, line in enumerate(portion.lines, portion.first):
            try:
                lines.append(self._with_its_key(line))
            except click.UsageError as error:
                lines.append(b"")
                results.append(LineResult(line=number, status=400, errors=(error.message,)))
        portion = portion._replace(lines=lines)
        if portion.filled:
            try:
                results += client.send_batch(
                    self._kind, portion.lines, first=portion.first, idempotency_key=self._key
                )
            except Unreachable:
                if self._session.loaded.config.spool is not None:
                    results += self._spooled(portion)
                elif self._stored:
                    message = "the agent can't be reached any more"
                    raise CommandFailed(f"{message}; {self._rest(_on(portion.first))}") from None
                else:
                    raise
            except AgentError as error:
                if isinstance(error, NoAnswer):
                    say("note", self._rest(f"perhaps {_on(portion.first)}"))
                elif self._stored:
                    say("note", self._rest(_on(portion.first)))
                raise
        return sorted(results, key=lambda result: result.line)

    def _with_its_key(self, line: bytes) -> bytes:
        """`line` with the key that it names by `@NAME`, or that `-k` gave.

        Raises:
            click.UsageError: The config has no such name.
        """
        if self._routing_key is not None:
            line = with_key(line, KEY_NAMES[self._kind], self._routing_key)
        named = named_key(line)
        if named is None:
            return line
        return with_member(line, named[0], self._session.routing_key(named[1]))

    def _spooled(self, portion: Portion) -> Iterator[LineResult]:
        for number in portion.filled:
            body = portion.lines[number - portion.first]
            try:
                # As the agent would know this line.
                receipt = spooled(self._session, self._kind, body, f"{self._key}\n{number}")
            except CommandFailed as failure:
                if failure.exit_code is not ExitCode.USAGE:
                    if self._stored or number > portion.filled[0]:
                        say("note", self._rest(_on(number)))
                    raise
                yield LineResult(line=number, status=400, errors=(str(failure),))
            else:
                yield LineResult(line=number, **receipt._asdict())

    def _tell(self, result: LineResult) -> None:
        if result.status is None:
            self._stored += 1
        elif result.status not in FOR_NOW:
            self._invalid.append(result.line)
            self._why = self._why or f"line {result.line}: {'; '.join(result.errors)}"
        if self._receipt == "json":
            self._print(echo_json, result)
        elif result.status is None and self._receipt is None:
            receipt = RECEIPTS[self._kind].format(result.incident_key or result.dedup_key)
            self._print(click.echo, receipt)
        if self._quiet:
            return
        for warning in result.warnings:
            say("warning", f"line {result.line}: {warning}")
        if result.status is not None and result.status not in FOR_NOW:
            say("error", f"line {result.line}: {'; '.join(result.errors)}")

    def _print(self, echo: Callable[[Any], None], receipt: object) -> None:
        try:
            echo(receipt)
        except OSError as error:
            # What was read is to be stored, whether or not somebody reads the receipts.
            abandon_output()
            say("warning", f"receipts can't be printed any more: {error.strerror}")

    def _rest(self, lines: str) -> str:
        return (
            f"not stored: {lines}; send the same again with --idempotency-key '{self._key}', and "
            "nothing is stored twice"
        )


def _on(line: int) -> str:
    return f"line {line} and all after it"
