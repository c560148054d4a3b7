"""What can go wrong with a call to the agent on this host."""

from __future__ import annotations

FOR_NOW = (429, 503)
"""HTTP codes of a refusal that is temporary."""


class AgentError(Exception):
    """A call to the agent failed. The text is one line and holds no credential."""


class Unreachable(AgentError):
    """The connection could not be made: the agent has seen nothing of the request."""


class WrongTls(Unreachable):
    """`tls_cert` of the config can't be used, or is not what the other side speaks with."""


class NotPermitted(AgentError):
    """This user may not use the agent's socket: the agent has seen nothing of the request."""


class NoAnswer(AgentError):
    """The connection timed out: whether the agent acted on the request isn't known."""


class Broken(NoAnswer):
    """The connection ended early, or the agent isn't sure: an immediate retry may succeed."""


class NotUnderstood(AgentError):
    """Something answered, but not as the agent does."""


class Refused(AgentError):
    """The agent refused the request.

    `status` is the HTTP code, `errors` the agent's reasons, `retry_after` seconds to wait, None if
    the agent named none.
    """

    def __init__(self, status: int, errors: tuple[str, ...], retry_after: float | None) -> None:
        super().__init__("; ".join(errors) or f"HTTP {status}")
        self.status = status
        self.errors = errors
        self.retry_after = retry_after

    @property
    def for_now(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in FOR_NOW
