"""What can go wrong with a call to the agent on this host."""

from __future__ import annotations


class AgentError(Exception):
    """A call to the agent failed. The text is one line and holds no credential."""


class Unreachable(AgentError):
    """No connection to the agent came about: it has seen nothing of the request."""


class OtherScheme(Unreachable):
    """Something listens, but not with the TLS (or without the TLS) that the config asks for."""


class BadCertificate(Unreachable):
    """The file of `tls_cert` can't be used."""


class NoAnswer(AgentError):
    """The connection broke or fell silent: whether the agent acted on the request isn't known."""


class Broken(NoAnswer):
    """The connection ended early: unlike with a silent agent, another try may do at once."""


class Unconfirmed(Broken):
    """The agent answered that the event may have been stored."""


class NotUnderstood(AgentError):
    """Something answered, but not as the agent does."""


class Refused(AgentError):
    """The agent said no.

    `status` is the HTTP code, `errors` the agent's reasons, `retry_after` in how many seconds
    another try makes sense, None when the agent didn't say.
    """

    def __init__(self, status: int, errors: tuple[str, ...], retry_after: float | None) -> None:
        super().__init__("; ".join(errors) or f"HTTP {status}")
        self.status = status
        self.errors = errors
        self.retry_after = retry_after
