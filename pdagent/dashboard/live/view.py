"""What the person at the keyboard wants to see, and how keys change that: pure."""

from __future__ import annotations

import msgspec

from pdagent.operating.overview import SORTS

_LONGEST_FILTER = 60


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Sorted how, which rows, and where in them; `typing` while a filter is being typed.

    `sorts` are the orders to choose from. `selected` and `top` count rows from 0, in the order of
    `sort` and of all that match.
    """

    sorts: tuple[str, ...] = SORTS
    sort: str = SORTS[0]
    match: str = ""
    typing: bool = False
    help: bool = False
    selected: int = 0
    top: int = 0

    def pressed(self, key: str, page: int, rows: int) -> View | None:
        """The view after a key; None to end. `page` rows of `rows` fit onto the screen.

        Keys have the names that `keyboard` gives them: a character, or `up`, `enter`...
        """
        if key == "interrupt":
            return None
        if self.typing:
            return self._typed(key)
        if self.help:
            return msgspec.structs.replace(self, help=False)
        match key:
            case "q":
                return None
            case "?" | "h":
                return msgspec.structs.replace(self, help=True)
            case "s" | "S":
                step = 1 if key == "s" else -1
                sort = self.sorts[(self.sorts.index(self.sort) + step) % len(self.sorts)]
                return msgspec.structs.replace(self, sort=sort, selected=0, top=0)
            case "/":
                return msgspec.structs.replace(self, typing=True)
            case "escape":
                return msgspec.structs.replace(self, match="", selected=0, top=0)
            case _:
                return self._moved(key, page).within(page, rows)

    def within(self, page: int, rows: int) -> View:
        """With the selected row one of `rows` and on a screen of `page` rows."""
        selected = min(max(0, self.selected), max(0, rows - 1))
        top = min(max(self.top, selected - page + 1), selected)
        return msgspec.structs.replace(self, selected=selected, top=max(0, min(top, rows - page)))

    def _moved(self, key: str, page: int) -> View:
        steps = {"j": 1, "down": 1, "k": -1, "up": -1}
        pages = {"page down": page, " ": page, "page up": -page, "b": -page}
        ends = {"g": -self.selected, "home": -self.selected, "G": 1 << 30, "end": 1 << 30}
        by = (steps | pages | ends).get(key, 0)
        top = self.top + by if key in pages else self.top
        return msgspec.structs.replace(self, selected=self.selected + by, top=max(0, top))

    def _typed(self, key: str) -> View:
        match key:
            case "enter":
                return msgspec.structs.replace(self, typing=False)
            case "escape":
                return View(sorts=self.sorts, sort=self.sort)
            case "backspace":
                return msgspec.structs.replace(self, match=self.match[:-1], selected=0, top=0)
            case "clear":
                return msgspec.structs.replace(self, match="", selected=0, top=0)
            case _ if len(key) == 1 and key.isprintable() and len(self.match) < _LONGEST_FILTER:
                return msgspec.structs.replace(self, match=self.match + key, selected=0, top=0)
        return self
