"""A command and an e-mail when PagerDuty could not be reached for long, and when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from actors.slots import LinkStatus
from pdagent.httpapi.agent import Agent
from pdagent.operating.names import QueueNames
from pdagent.operating.overview import oldest
from pdagent.wording import counted, duration, one_line

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds
_SHOWN_QUEUES = 10
_CHILD_SECONDS = 60.0
# A process that the command leaves behind may hold its output open for ever.
_LINGER_SECONDS = 0.5
_SENDMAIL = "/usr/sbin/sendmail"
_PIECE = 1 << 16  # bytes
_OUTPUT_SHOWN = 300
# Any pipe takes so much at once.
_MOST_TEXT = 4096

News = Literal["unreachable", "reachable", "test"]


class OutageWatch:
    """Says once that an outage has lasted `after` seconds, and once that it is over.

    `reported`: an earlier process has said the first of the two.
    """

    def __init__(self, after: float, *, reported: bool = False) -> None:
        self._after = after
        self._reported = reported

    def news(self, link: LinkStatus) -> News | None:
        """What is new in the state of the link to PagerDuty."""
        if link.outage is not None and not self._reported and link.outage >= self._after:
            self._reported = True
            return "unreachable"
        if link.state == "reachable" and self._reported:
            self._reported = False
            return "reachable"
        return None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What people are to read."""

    news: News
    host: str
    subject: str
    text: str


class OutageNotices:
    """Runs `command` and sends mail to `email` (each may be empty), never in the way of events.

    The file `told` is there while people have been told of an outage that is not over: it has the
    time when that began. So a restart in the middle neither repeats nor forgets a notice.
    """

    def __init__(
        self, agent: Agent, host: str, *, command: str, email: str, after: float, told: Path
    ) -> None:
        self._agent = agent
        self._host = host
        self._command = shlex.split(command)
        self._email = email
        self._told = told
        self._began = _time_in(told)
        self._watch = OutageWatch(after, reported=self._began is not None)

    async def send_for_ever(self) -> None:
        """Look every second."""
        while True:
            link = self._agent.system.link()
            news = self._watch.news(link)
            if news is not None:
                if news == "unreachable":
                    self._began = time.time() - (link.outage or 0.0)
                try:
                    await self._tell(news)
                except Exception:  # a mistake here must not be the end of looking
                    logger.exception("notify: nobody could be told that PagerDuty is %s", news)
            await asyncio.sleep(_LOOK_EVERY)

    async def _tell(self, news: News) -> None:
        for channel, failure in (await self.send(self._notice(news))).items():
            if failure is None:
                logger.info("notify: %s was told that PagerDuty is %s", channel, news)
            else:
                logger.error("notify: %s failed: %s", channel, failure)
        try:
            await asyncio.to_thread(self._note, news)  # the disk may hang
        except OSError as error:
            logger.error("notify: can't write %s (%s)", self._told, error.strerror)

    def _note(self, news: News) -> None:
        if news == "unreachable":
            self._told.write_text(f"{self._began:.0f}\n")
        else:
            self._told.unlink(missing_ok=True)

    async def test(self) -> dict[str, str | None]:
        """Use each channel once, with a text that says it is a test."""
        return await self.send(self._notice("test"))

    async def send(self, notice: Notice) -> dict[str, str | None]:
        """By channel that is configured, why it failed, None if it did not."""
        found: dict[str, str | None] = {}
        if self._command:
            environment = {
                "PAGERDUTY_AGENT_NEWS": notice.news,
                "PAGERDUTY_AGENT_HOST": notice.host,
                "PAGERDUTY_AGENT_SUBJECT": notice.subject,
            }
            found["command"] = await run(self._command, notice.text, environment)
        if self._email:
            program = shutil.which("sendmail") or _SENDMAIL
            found["email"] = await run([program, "-i", "-t"], mail(notice, self._email), {})
        return found

    def _notice(self, news: News) -> Notice:
        link, system = self._agent.system.link(), self._agent.system
        who = self._agent.config.delivers_to
        who = who[0].upper() + who[1:]
        subjects = {
            "unreachable": f"{who} is {link.state} from {self._host}: pages wait",
            "reachable": f"{who} is reachable again from {self._host}",
            "test": f"Test of pagerduty-agent on {self._host}: nothing is wrong",
        }
        lines = [subjects[news] + "."]
        if news == "unreachable":
            lines.append(f"For {duration(link.outage or 0.0)}; the last error: {link.last_error}")
        elif news == "reachable" and self._began is not None:
            lines.append(f"The outage took {duration(max(0.0, time.time() - self._began))}.")
        names = QueueNames(self._agent.config.routing_keys).of
        queues = [entry for entry in system.directory.figures.notable() if entry.state.waiting]
        queues.sort(key=lambda entry: -len(entry.state.waiting))
        waiting = sum(len(entry.state.waiting) for entry in queues)
        lines.append(f"{counted(waiting, 'event')} in {counted(len(queues), 'queue')} now wait.")
        for entry in queues[:_SHOWN_QUEUES]:
            since = oldest(entry.state)
            when = (
                "" if since is None else f", since {datetime.fromtimestamp(since, UTC):%F %T} UTC"
            )
            lines.append(f"  {names(entry.routing_key)}: {len(entry.state.waiting)}{when}")
        if len(queues) > _SHOWN_QUEUES:
            lines.append(f"  and {counted(len(queues) - _SHOWN_QUEUES, 'more queue')}")
        lines.append("See 'pagerduty-agent status' on this host.")
        text = "".join(f"{one_line(line)}\n" for line in lines)
        return Notice(news=news, host=self._host, subject=one_line(subjects[news]), text=text)


def mail(notice: Notice, to: str) -> str:
    """The message for sendmail's standard input."""
    return (
        f"To: {to}\nSubject: {notice.subject}\nAuto-Submitted: auto-generated\n"
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
        f"Content-Transfer-Encoding: 8bit\n\n{notice.text}"
    )


async def run(command: Sequence[str], text: str, environment: Mapping[str, str]) -> str | None:
    """Run a program with `text` as its standard input; why it failed, None if it did not.

    It gets a minute and its own process group, and none of the agent's settings: they may hold
    credentials. Of `text` it gets 4 KiB at most.
    """
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("PAGERDUTY_AGENT_")}
    try:
        # Not asyncio's pipe: uvloop complains of one that closes early. No file: disks get full.
        standard_input, write = os.pipe()
        try:
            os.write(write, text.encode()[:_MOST_TEXT])
            os.close(write)
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=standard_input,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**inherited, **environment},
                start_new_session=True,
            )
        finally:
            os.close(standard_input)
    except (OSError, ValueError) as error:
        return f"{command[0]} can't be started: {getattr(error, 'strerror', None) or error}"
    output = bytearray()
    reading = asyncio.create_task(_keep_the_end(child.stdout, output))
    try:
        async with asyncio.timeout(_CHILD_SECONDS):
            await child.wait()
            await asyncio.wait([reading], timeout=_LINGER_SECONDS)
    except TimeoutError:
        return f"{command[0]} took longer than {_CHILD_SECONDS:.0f} s and was ended"
    finally:
        reading.cancel()
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode == 0:
        return None
    said = one_line(output.decode(errors="replace").strip())[-_OUTPUT_SHOWN:]
    return f"{command[0]} ended with status {child.returncode}" + (f": {said}" if said else "")


async def _keep_the_end(stream: asyncio.StreamReader | None, output: bytearray) -> None:
    while stream is not None and (piece := await stream.read(_PIECE)):
        output += piece
        del output[: -4 * _OUTPUT_SHOWN]


def _time_in(file: Path) -> float | None:
    try:
        return float(file.read_text("ascii"))
    except (OSError, ValueError):
        return None
