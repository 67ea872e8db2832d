"""A recipe small enough to read at a glance, written to disk, that the tests of rooms change file by file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESPECT = ROOT / "examples" / "respect"

RECIPE = 'name = "small"\nsize = 20\n'
AXES = """
[domain.levels]
law = "rules that bind"
farm = "fields and beasts"
school = "lessons and marks"
[tone.levels]
calm = "at ease"
angry = "cross"
"""


def rubric(facet: str = "candour") -> str:
    return f"""
facet = "{facet}"
definition = "Says what is so, of {facet}."
[levels]
0 = "not at all"
1 = "a little"
2 = "half"
3 = "mostly"
4 = "fully"
[evidence]
says_so = "says what is so"
"""


def seed(facet: str = "candour", *, words: str = "the fence", front: str = "") -> str:
    return f"""---
facet: {facet}
{front}---
## user
What do I do about {words}?
## assistant
Mend {words} first, because what is broken grows.
"""


FILES = {
    "recipe.toml": RECIPE,
    "axes.toml": AXES,
    "values/candour.toml": rubric(),
    "seeds/fence.md": seed(),
    "seeds/gate.md": seed(words="the gate"),
}


def small_recipe(folder: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Path:
    """Writes the small recipe to `folder`; `changes` maps a path to its content, or to None to leave it out."""
    for name, content in {**FILES, **(changes or {})}.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
