"""Draws the images that the demo uploads: hills in the sun, each its own."""

import math
from io import BytesIO

from PIL import Image, ImageDraw

SIZE = (1600, 1067)
_SKIES = (("#f6d6ad", "#e8825d"), ("#cfe6f2", "#5b9bc4"), ("#efd7ea", "#8667a8"), ("#e9efc9", "#6f9f63"))


def landscape(number: int) -> bytes:
    """A JPEG of its own for each number."""
    light, deep = _SKIES[number % len(_SKIES)]
    picture = Image.new("RGB", SIZE, light)
    draw = ImageDraw.Draw(picture)
    _sun(draw, number)
    for ridge in range(5):
        draw.polygon(_ridge(number, ridge), fill=_mixed(light, deep, (ridge + 1) / 5))
    content = BytesIO()
    picture.save(content, "JPEG", quality=88)
    return content.getvalue()


def _sun(draw: ImageDraw.ImageDraw, number: int) -> None:
    x, y, radius = 300 + 330 * (number % 4), 260, 120
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#fff6dc")


def _ridge(number: int, ridge: int) -> list[tuple[float, float]]:
    width, height = SIZE
    base = height * (0.42 + 0.13 * ridge)
    crest = [
        (
            x,
            base
            + 90 * math.sin(x / (310 - 30 * ridge) + number * 1.7 + ridge * 2.3)
            + 24 * math.sin(x / 61 + ridge),
        )
        for x in range(0, width + 9, 8)
    ]
    return [(0.0, float(height)), *crest, (float(width), float(height))]


def _mixed(light: str, deep: str, share: float) -> tuple[int, int, int]:
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (light, deep)]
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(*ends, strict=True))
    return red, green, blue
