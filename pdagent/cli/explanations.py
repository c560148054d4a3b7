"""What it means for a person that a call to the agent failed, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdagent.cli.failures import LOOKED, CommandFailed, ExitCode
from pdagent.config.loading import Loaded
from pdagent.localclient import (
    AgentError,
    BadCertificate,
    NoAnswer,
    OtherScheme,
    Refused,
    Unreachable,
)

if TYPE_CHECKING:
    from pdagent.cli.session import Session

_UNAUTHORIZED = 401
_FOR_NOW = (429, 503)
_ABOUT_WHAT_IS_NAMED = (404, 409)
_INVALID = (400, 413, 422)


def explained(error: AgentError, session: Session, undone: str) -> CommandFailed:
    """`error` for the person at the command line, who may know nothing of HTTP.

    `undone` says what was not done, where the agent did nothing.
    """
    loaded = session.loaded
    address, told = loaded.config.address, session.with_options(str(error))
    match error:
        case BadCertificate():
            return CommandFailed(f"{told}: {undone}")
        case OtherScheme():
            return CommandFailed(f"{told}; {undone}", ExitCode.UNREACHABLE)
        case Unreachable():
            return CommandFailed(
                f"no agent answers at {address} ({told}): {undone}; "
                f"'{session.command('server')}' starts it",
                ExitCode.UNREACHABLE,
            )
        case NoAnswer():
            known = undone if undone == LOOKED else "it isn't known whether it did what was asked"
            return CommandFailed(
                f"the agent at {address} gave no answer ({told}): {known}; "
                f"'{session.command('health')}' tells how it is"
            )
        case Refused(status=status) if status == _UNAUTHORIZED:
            return CommandFailed(_wrong_secret(loaded))
        case Refused(status=status) if status in _FOR_NOW:
            told = told.removesuffix("; retry later")
            wait = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
            return CommandFailed(
                f"the agent takes nothing for now: {told}; {undone}, try again {wait}",
                ExitCode.REFUSED_FOR_NOW,
            )
        case Refused(status=status) if status in _ABOUT_WHAT_IS_NAMED:
            return CommandFailed(told)
        case Refused(status=status):
            code = ExitCode.USAGE if status in _INVALID else ExitCode.FAILED
            return CommandFailed(f"the agent refused this: {told}", code)
        case _:
            return CommandFailed(f"{told}: set its address with --address or in the config")


def without_answer(error: NoAnswer, session: Session, key: str) -> CommandFailed:
    """The agent may have stored an event that was sent with Idempotency-Key `key`, or not."""
    return CommandFailed(
        f"the agent at {session.loaded.config.address} did not confirm the event ({error}): it "
        "isn't known whether the event is stored; send the same again with "
        f"--idempotency-key '{key}', and nothing is stored twice"
    )


def _wrong_secret(loaded: Loaded) -> str:
    head = f"the agent at {loaded.config.address} "
    if not loaded.config.secret:
        where = f"'secret' in {loaded.file}" if loaded.file else "'secret' in a config file"
        return f"{head}asks for a secret and none is set: set {where}, or --secret"
    return (
        f"{head}does not accept the secret from {loaded.origins['secret']}: "
        "use the one that the agent was started with (restart it after a change of its config)"
    )
