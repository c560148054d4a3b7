"""What PagerDuty would show: alerts by routing key and dedup key, from open to resolved."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from typing import Literal

import msgspec

from pdagent.masking import mask

AlertStatus = Literal["open", "acknowledged", "resolved"]
Effect = Literal["opened", "repeated", "acknowledged", "resolved", "dropped", "noted"]


class Alert(msgspec.Struct, kw_only=True):
    """One alert. Times are seconds since the epoch; `triggers` counts the triggers it took in."""

    id: int
    routing_key: str
    dedup_key: str
    summary: str
    opened_at: float
    status: AlertStatus = "open"
    acknowledged_at: float | None = None
    resolved_at: float | None = None
    triggers: int = 1

    def __repr__(self) -> str:
        return f"Alert(id={self.id}, key={mask(self.routing_key)}, status={self.status!r})"


class AlertBook:
    """All alerts, at most `keep` live and `keep` resolved ones (the oldest go first; 0: all)."""

    def __init__(self, keep: int = 0) -> None:
        self._keep = keep
        self._live: dict[tuple[str, str], Alert] = {}
        self._resolved: deque[Alert] = deque(maxlen=keep or None)
        self.counts: dict[str, int] = dict.fromkeys(
            ("opened", "repeated", "acknowledged", "resolved", "dropped"), 0
        )

    def apply(
        self, routing_key: str, dedup_key: str, action: str, *, summary: str, at: float
    ) -> Effect:
        """Let a valid trigger, acknowledge or resolve take effect; returns what it did.

        As at PagerDuty, a trigger joins the alert that is open and opens a new one after a resolve;
        acknowledge and resolve of an alert that isn't open are dropped.
        """
        alert = self._live.get((routing_key, dedup_key))
        effect: Effect
        match action, alert:
            case "trigger", None:
                self._open(routing_key, dedup_key, summary, at)
                effect = "opened"
            case "trigger", Alert():
                alert.triggers += 1
                effect = "repeated"
            case "acknowledge", Alert():
                alert.status = "acknowledged"
                alert.acknowledged_at = at
                effect = "acknowledged"
            case "resolve", Alert():
                self._resolve(alert, at)
                effect = "resolved"
            case _:
                effect = "dropped"
        self.counts[effect] += 1
        return effect

    def list(self, routing_key: str | None = None, status: str | None = None) -> list[Alert]:
        """Alerts in the order in which they opened, all or those of one key or status."""
        everything = sorted(chain(self._resolved, self._live.values()), key=lambda alert: alert.id)
        return [
            alert
            for alert in everything
            if routing_key in (None, alert.routing_key) and status in (None, alert.status)
        ]

    def totals(self) -> dict[str, int]:
        """How many alerts are live now, and how often each effect came about ever."""
        acknowledged = sum(alert.status == "acknowledged" for alert in self._live.values())
        return {
            "open_now": len(self._live) - acknowledged,
            "acknowledged_now": acknowledged,
            **self.counts,
        }

    def _open(self, routing_key: str, dedup_key: str, summary: str, at: float) -> None:
        if self._keep and len(self._live) >= self._keep:
            del self._live[next(islice(self._live, 1))]
        self._live[routing_key, dedup_key] = Alert(
            id=self.counts["opened"] + 1,
            routing_key=routing_key,
            dedup_key=dedup_key,
            summary=summary,
            opened_at=at,
        )

    def _resolve(self, alert: Alert, at: float) -> None:
        del self._live[alert.routing_key, alert.dedup_key]
        alert.status = "resolved"
        alert.resolved_at = at
        self._resolved.append(alert)
