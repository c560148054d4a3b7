"""What can be wrong with a journal. Each message is one line and says what to do next."""

from __future__ import annotations


class JournalError(Exception):
    """Base of all journal errors."""


class JournalUnavailableError(JournalError):
    """The directory is missing, not writable or not ours."""


class JournalMissingError(JournalUnavailableError):
    """There is no journal in the directory."""

    def __init__(self, directory: object) -> None:
        super().__init__(f"there is no journal in {directory}: name its directory with 'database'")


class JournalLockedError(JournalError):
    """Another process has the journal open; `pid` is None if it could not be read."""

    def __init__(self, directory: object, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the journal {directory} is in use by {holder}: "
            "stop it first (pagerduty-agent server stop), or configure another 'database'"
        )
        self.pid = pid


class JournalChangedError(JournalError):
    """An agent wrote the journal while it was being read."""

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"the journal {directory} was written by an agent meanwhile: what was read of it "
            "means nothing; stop the agent, or read a copy that was made while it was stopped"
        )


class JournalNewerError(JournalError):
    """Written by a newer program, which alone can read it."""

    def __init__(self, directory: object, found: str, known: int) -> None:
        super().__init__(
            f"the journal {directory} has format {found}, this program knows up to {known}: "
            "install the newer agent again, nothing was changed"
        )


class SandboxJournalError(JournalError):
    """A journal of the sandbox was opened for an agent in production, or the other way round."""

    def __init__(self, directory: object, *, is_sandbox: bool) -> None:
        if is_sandbox:
            why = "holds trials, which must not reach PagerDuty: start it with 'server --sandbox'"
        else:
            why = "is not the sandbox's: its events would not reach PagerDuty"
        super().__init__(f"the journal {directory} {why}, or configure another 'database'")


class JournalDamagedError(JournalError):
    """A record or the file itself is not what was written; `seq` names the record, if it is one."""

    def __init__(self, what: str, *, directory: object = "", seq: int | None = None) -> None:
        journal = f"the journal {directory}".rstrip()
        self.where = f"record {seq} of {journal}" if seq else journal
        super().__init__(
            f"{self.where} is damaged: {what}. Nothing was changed; "
            "'pagerduty-agent journal verify' lists all damage, "
            "'pagerduty-agent help damaged-journal' says how to go on"
        )
        self.seq = seq
        self.what = what


class JournalFullError(JournalError):
    """No room for new events. Records about accepted events are still taken."""


class JournalDisplacedError(JournalError):
    """The journal is written, but no longer found where it was opened."""

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"the journal {directory} was moved or deleted while the agent runs: put it back, or "
            "restart the agent when nothing waits any more, see 'pagerduty-agent status' "
            "('pagerduty-agent help journal-that-is-moved')"
        )


class CommitFailedError(JournalError):
    """The transaction failed; it isn't known what was persisted."""

    is_about_disk = True
    """Whether room on the disk may help; otherwise the message says what does."""


class JournalBehindError(CommitFailedError):
    """A relay can't write its journal as it does not know the end of the log, or does not own it.

    `recover` may help.
    """

    is_about_disk = False


class EngineSilentError(JournalBehindError):
    """The engine under a relay's log did not confirm a message in time."""

    def __init__(self, seconds: float, why: object) -> None:
        super().__init__(
            f"the engine did not confirm a commit within {seconds:g} s ({why}): start the nodes "
            "that are down, the relay then continues without a restart"
        )


class JournalFencedError(JournalBehindError):
    """Another relay owns the log now. Nothing of this process is stored any more."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"the relay {owner} has taken over: this one becomes a standby")


class JournalForeignError(JournalError):
    """A relay's copy and the log of its engine do not belong together."""


class LogDamagedError(JournalError):
    """A message of a relay's log is not what was written."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(
            f"message {seq} of the engine's log is damaged ({what}): let a relay deliver that has "
            "applied it already; if there is none, give 'engine' another 'name' and send again "
            "what the hosts have kept ('relay resend' on each)"
        )


class LogNewerError(JournalError):
    """A newer version wrote a message of a relay's log."""

    def __init__(self, seq: int, found: int, known: int) -> None:
        super().__init__(
            f"message {seq} of the engine's log has format {found}, this program knows up to "
            f"{known}: install the version that the other relays have"
        )
