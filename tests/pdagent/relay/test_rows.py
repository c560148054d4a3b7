"""Which standbys are there: relays' clocks may differ by any amount."""

from __future__ import annotations

import pytest

from pdagent.relay.rows import GONE_AFTER, RelayRow, Standbys
from store.log import Row

_NOW = 1_790_000_000.0


def names(standbys: Standbys, after: float, *rows: tuple[int, RelayRow]) -> list[str]:
    """The standbys that are there `after` seconds, where the table has these revisions."""
    table = {row.name: Row(revision, row.written()) for revision, row in rows}
    return [row.name for row in standbys.present(table, 100.0 + after, _NOW + after)]


@pytest.mark.parametrize("wrong_by", [-3_600.0, 0.0, 3_600.0])
def test_a_standby_is_there_while_its_row_changes(wrong_by: float) -> None:
    standbys = Standbys()
    row = RelayRow(name="b", at=_NOW + wrong_by)
    names(standbys, 0, (1, row))
    assert names(standbys, 3, (2, row)) == ["b"]
    assert names(standbys, 3 + GONE_AFTER, (2, row)) == ["b"]
    assert names(standbys, 4 + GONE_AFTER, (2, row)) == []
    assert names(standbys, 5 + GONE_AFTER, (3, row)) == ["b"]


def test_the_row_of_a_standby_that_ended_long_ago_is_none_at_the_first_look() -> None:
    ended = RelayRow(name="b", at=_NOW - GONE_AFTER - 1)
    assert names(Standbys(), 0, (1, ended), (2, RelayRow(name="c", at=_NOW))) == ["c"]
