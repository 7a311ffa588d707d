"""Copies each snippet into the pages that show it: `python docs/include.py`.

A comment above a block names its file. A test compares the two, and runs the file.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN = re.compile(r"^<!-- (?P<source>\S+\.py) -->\n```python\n.*?^```$", re.M | re.S)


def with_snippets(page: str) -> str:
    return SHOWN.sub(lambda block: shown(block["source"]), page)


def shown(source: str) -> str:
    text = (ROOT / source).read_text("utf-8")
    return f"<!-- {source} -->\n```python\n{text}```"


for path in (*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")):
    text = path.read_text("utf-8")
    if (renewed := with_snippets(text)) != text:
        path.write_text(renewed, "utf-8")
        print(path.relative_to(ROOT))
