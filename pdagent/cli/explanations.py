"""What it means for a person that a call to the agent failed, and what to do next."""

from __future__ import annotations

from pdagent.cli.failures import CommandFailed, ExitCode
from pdagent.config_loading import Loaded
from pdagent.localclient import AgentError, NoAnswer, Refused, Unreachable

_UNAUTHORIZED = 401
_FOR_NOW = (429, 503)
_ABOUT_WHAT_IS_NAMED = (404, 409)
_INVALID = (400, 413, 422)


def explained(error: AgentError, loaded: Loaded, undone: str) -> CommandFailed:
    """`error` for the person at the command line, who may know nothing of HTTP.

    `undone` says what was not done, where the agent did nothing.
    """
    address = loaded.config.address
    match error:
        case Unreachable():
            return CommandFailed(
                f"no agent answers at {address} ({error}): {undone}; "
                "'pagerduty-agent server' starts it",
                ExitCode.UNREACHABLE,
            )
        case NoAnswer():
            return CommandFailed(
                f"the agent at {address} gave no answer ({error}): it isn't known whether it did "
                "what was asked; 'pagerduty-agent health' tells how it is"
            )
        case Refused(status=status) if status == _UNAUTHORIZED:
            return CommandFailed(_wrong_secret(loaded))
        case Refused(status=status) if status in _FOR_NOW:
            wait = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
            return CommandFailed(
                f"the agent takes nothing for now: {error}; {undone}, try again {wait}",
                ExitCode.REFUSED_FOR_NOW,
            )
        case Refused(status=status) if status in _ABOUT_WHAT_IS_NAMED:
            return CommandFailed(str(error))
        case Refused(status=status):
            code = ExitCode.USAGE if status in _INVALID else ExitCode.FAILED
            return CommandFailed(f"the agent refused this: {error}", code)
        case _:
            return CommandFailed(f"{error}: set its address with --address or in the config")


def _wrong_secret(loaded: Loaded) -> str:
    head = f"the agent at {loaded.config.address} "
    if not loaded.config.secret:
        where = f"'secret' in {loaded.file}" if loaded.file else "'secret' in a config file"
        return f"{head}asks for a secret and none is set: set {where}, or --secret"
    return (
        f"{head}does not accept the secret from {loaded.origins['secret']}: "
        "use the one that the agent was started with (restart it after a change of its config)"
    )
