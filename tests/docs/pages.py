"""Reads the pages: README and docs/*.md, their headings, blocks, tables and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PAGES = (*READMES, *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^(?:<!-- (?P<source>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_HEADING = re.compile(r"^(#+) (.+)$", re.M)
_LINK = re.compile(r"(?<!!)\[(?P<label>(?:[^\]`]|`[^`]*`)+)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block. `source` is the file that the comment above it names."""

    page: Path
    source: str | None
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.source or self.text.splitlines()[0][:40]}"


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, language: str | None = None) -> Iterator[Block]:
    for found in _BLOCK.finditer(text_of(page)):
        if language in (None, found["language"]):
            yield Block(page, found["source"], found["language"], found["text"])


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", text_of(page))


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and words of each, in order."""
    return [(len(marks), words) for marks, words in _HEADING.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`, by GitHub's rule."""
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for _, words in headings(page)}


def links(page: Path) -> list[tuple[str, str]]:
    """Label and target of each, in order."""
    return [(found["label"], found["target"]) for found in _LINK.finditer(prose(page))]


def table_under(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    under = prose(page).split(f" {heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", under, re.M)
    assert table is not None, f"{page.name}: no table under {heading!r}"
    rows = table[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def bare(cell: str) -> str:
    """The words of a cell that is one code span."""
    return cell.strip("`")
