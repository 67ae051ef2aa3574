"""What the pages name exists: decisions in their index, files and headings behind links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    return (link for link in LINK.findall(CODE.sub("", page.read_text("utf-8"))) if "://" not in link)


def anchors(page: Path) -> set[str]:
    """Names that headings of a page get: lower case, spaces as hyphens, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_links_to_is_there(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_lists_every_decision():
    index = (REPOSITORY / "docs" / "decisions" / "README.md").read_text("utf-8")
    for page in sorted((REPOSITORY / "docs" / "decisions").glob("0*-*.md")):
        number = page.name[:4]
        assert number == "0000" or f"[{number}]({page.name})" in index, page.name
