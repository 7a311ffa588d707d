"""The demo's pages, filled in. The words and the looks are in the files beside this one."""

from collections.abc import Iterable
from pathlib import Path
from string import Template

_HERE = Path(__file__).parent


def start(*, reports: Iterable[Path], images: Iterable[Path]) -> str:
    """The start page, with what was made so far."""
    return _filled("start.html", reports=_links(reports), images=_pictures(images))


def report(**parts: str) -> str:
    """A page that stands alone: the style is inside."""
    return _filled("report.html", **parts)


def _filled(name: str, **parts: str) -> str:
    style = (_HERE / "style.css").read_text()
    return Template((_HERE / name).read_text()).substitute(parts, style=style)


def _links(reports: Iterable[Path]) -> str:
    made = [f'<li><a href="/reports/{page.stem}"><code>{page.stem}</code></a></li>' for page in reports]
    return "\n".join(made) or "<li>None yet.</li>"


def _pictures(images: Iterable[Path]) -> str:
    made = [
        f'<a href="/images/{image.parent.name}?size=480"><img src="/images/{image.parent.name}" alt=""></a>'
        for image in images
    ]
    return "\n".join(made) or "<p>None yet.</p>"
