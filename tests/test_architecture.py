"""Who may import whom, held to one small table; and the shape that every module keeps.

The table is a building: a module may import from the floors below its own, never from its own floor and never from
above. So a room cannot import a room, and no circle can close. Every import counts, also one inside a function or under
TYPE_CHECKING.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("filters", "gen", "prompts")
MOST_LINES = 350

# From the ground up. `filters`, `prompts`, `gen.errors` and `gen.tables` import nothing of ours but, inside a package,
# its own lower floors; FOREIGN below says so.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "filters.backend",
        "filters.characters",
        "filters.languages",
        "filters.secret_numbers",
        "filters.signs",
        "filters.teachers_voice",
        "filters.verdict",
    ),
    (
        "filters.columns",
        "filters.kernels",
        "filters.letters",
        "filters.portable_text",
        "filters.secret_shapes",
        "filters.statistics",
        "filters.texts",
        "filters.tics_words",
    ),
    (
        "filters.detection",
        "filters.embed",
        "filters.mask_kernel",
        "filters.ngrams",
        "filters.portable_sets",
        "filters.secrets",
        "filters.shingles",
        "filters.sketching",
        "filters.tics_families",
        "filters.tics_ngrams",
    ),
    (
        "filters.contamination",
        "filters.form_words",
        "filters.masks",
        "filters.matching",
        "filters.minhash",
        "filters.portable",
        "filters.shelf",
        "filters.tics_corpus",
        "filters.tics_phrases",
        "filters.tics_skeletons",
        "filters.tics_twosample",
        "filters.vectors",
    ),
    (
        "filters.compiled",
        "filters.form_views",
        "filters.groups",
        "filters.index",
        "filters.leaks",
        "filters.meaning",
        "filters.tics_leakage",
        "filters.tics_parts",
        "filters.tics_rates",
    ),
    (
        "filters.duplicates",
        "filters.form_checks",
        "filters.tics_summary",
        "filters.tics_table",
    ),
    (
        "filters.form",
        "filters.tics",
    ),
    ("filters",),
    ("prompts",),
    (
        "gen.charges",
        "gen.deficits",
        "gen.drill_kinds",
        "gen.errors",
        "gen.events",
        "gen.expression",
        "gen.greedy_kernels",
        "gen.lineages",
        "gen.neighbours",
        "gen.novelty",
        "gen.quoting",
        "gen.stopping",
        "gen.tables",
        "gen.teachers.adaptive",
        "gen.teachers.base",
        "gen.teachers.families",
        "gen.teachers.rehearsal.draws",
        "gen.teachers.rehearsal.phrases",
        "gen.teachers.rehearsal.slip_words",
        "gen.variations",
    ),
    (
        "gen.agreement",
        "gen.calibration",
        "gen.constraints",
        "gen.content",
        "gen.filling",
        "gen.grouped",
        "gen.ledger_schema",
        "gen.objective",
        "gen.selection_checks",
        "gen.settings",
        "gen.teachers.abilities",
        "gen.teachers.pace",
        "gen.teachers.rates",
        "gen.teachers.readings",
        "gen.teachers.rehearsal.journal",
        "gen.teachers.rehearsal.judge_faults",
        "gen.teachers.rehearsal.questions",
        "gen.teachers.troubles",
        "gen.teachers.wire",
        "gen.text",
        "gen.variety",
    ),
    (
        "gen.acceptance_report",
        "gen.dice",
        "gen.expansion",
        "gen.feasibility",
        "gen.greedy",
        "gen.guarantees",
        "gen.kernels",
        "gen.ledger_rows",
        "gen.prices",
        "gen.probe",
        "gen.recipe_files",
        "gen.recorded_files",
        "gen.replies",
        "gen.sealed",
        "gen.staff",
        "gen.teachers.causes",
        "gen.teachers.rehearsal.collapse",
        "gen.teachers.rehearsal.scenes",
        "gen.teachers.rehearsal.weather",
        "gen.tuples",
    ),
    (
        "gen.breadth",
        "gen.exchange",
        "gen.kernels_covering",
        "gen.ledger",
        "gen.probe_style",
        "gen.prose",
        "gen.recipe",
        "gen.recorded_rows",
        "gen.teachers.rehearsal.faults",
        "gen.teachers.rehearsal.rungs",
        "gen.teachers.rehearsal.writer",
        "gen.validity",
    ),
    (
        "gen.budget",
        "gen.conversations",
        "gen.expression_report",
        "gen.judge_replies",
        "gen.label_evidence",
        "gen.label_screen",
        "gen.memory",
        "gen.options",
        "gen.output",
        "gen.peoplebook",
        "gen.planner",
        "gen.probe_report",
        "gen.promise_check",
        "gen.roster",
        "gen.teachers.chatmodel",
        "gen.teachers.completions",
        "gen.teachers.engine",
        "gen.teachers.rehearsal.composed",
        "gen.teachers.rehearsal.critic",
        "gen.teachers.rehearsal.flaws",
        "gen.teachers.rehearsal.plain",
        "gen.telling",
    ),
    (
        "gen.covering",
        "gen.forecast",
        "gen.labelbook",
        "gen.pairs_report",
        "gen.people",
        "gen.references",
        "gen.sending",
        "gen.teachers.endpoint",
        "gen.teachers.rehearsal.copies",
        "gen.teachers.rehearsal.judge",
    ),
    (
        "gen.acceptance",
        "gen.asking",
        "gen.audit_book",
        "gen.label_queue",
        "gen.label_sheet",
        "gen.teachers.rehearsal.disclosures",
        "gen.teachers.rehearsal.slips",
        "gen.tics",
    ),
    (
        "gen.audit_result",
        "gen.commands",
        "gen.reasking",
        "gen.teachers.rehearsal.planting",
        "gen.waiting",
    ),
    (
        "gen.audit_report",
        "gen.import_command",
        "gen.judges",
        "gen.takeover",
        "gen.teachers.rehearsal.reply",
    ),
    (
        "gen.drafting",
        "gen.ladders",
        "gen.teachers.rehearsal.teacher",
    ),
    # The rooms: one floor, so that none knows another.
    (
        "gen.contexts",
        "gen.drafts",
        "gen.drill_rows",
        "gen.judgements",
        "gen.pairs",
        "gen.release",
        "gen.seeds",
        "gen.selection",
        "gen.teachers.rehearsal",
        "gen.teachers.rehearsal.server",
        "gen.verdicts",
    ),
    (
        "gen.breadth_report",
        "gen.bringing",
        "gen.frozen",
        "gen.init",
        "gen.judge_marks",
        "gen.judge_trust",
        "gen.label_desk",
        "gen.teachers",
        "gen.tics_report",
        "gen.twins",
    ),
    (
        "gen.audit_desk",
        "gen.judge_audit",
        "gen.judge_trust_report",
        "gen.label_exchange",
        "gen.labelling",
        "gen.models",
    ),
    (
        "gen.checkup",
        "gen.frame_judging",
        "gen.label_command",
        "gen.paths",
        "gen.state",
    ),
    (
        "gen.judge_facts",
        "gen.people_report",
        "gen.rounds",
    ),
    (
        "gen.card",
        "gen.measured",
    ),
    (
        "gen.pipeline",
        "gen.report",
    ),
    (
        "gen.ahead",
        "gen.api",
        "gen.descent",
        "gen.drilling",
        "gen.judge_texts",
        "gen.standing",
        "gen.view",
    ),
    (
        "gen.drill_report",
        "gen.judgings",
        "gen.refresh",
    ),
    ("gen.validity_tests",),
    ("gen.judge_check",),
    (
        "gen",
        "gen.judge_check_report",
    ),
    ("gen.judge_command",),
    ("gen.cli",),
)

# Modules that may import nothing of ours outside their own package, whatever floor lies below.
SELF_CONTAINED = ("filters", "prompts")
ALONE = ("gen.errors", "gen.tables")

# What each room makes of what: its docstring opens with this arrow.
ARROWS = {
    "gen.seeds": "files → seeds: ",
    "gen.contexts": "seeds → contexts: ",
    "gen.drafts": "contexts → drafts: ",
    "gen.verdicts": "drafts → verdicts: ",
    "gen.judgements": "verdicts → judgements: ",
    "gen.selection": "judgements → selection: ",
    "gen.release": "selection → release: ",
}


def modules() -> dict[str, Path]:
    """Module name (without `thousandfold.`) → file, for every module that is shipped."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def imported(name: str, tree: ast.AST, known: frozenset[str]) -> set[str]:
    """Our modules that module `name` imports anywhere in `tree`; `from package import module` means the module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {ours(alias.name, known) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = base_of(name, node, known)
            for alias in node.names:
                inner = f"{source}.{alias.name}".removeprefix("thousandfold.")
                found.add(inner if inner in known else ours(source, known))
    return found - {""}


def base_of(name: str, node: ast.ImportFrom, known: frozenset[str]) -> str:
    """The absolute name that `from … import` starts at."""
    if not node.level:
        return node.module or ""
    is_package = any(other.startswith(f"{name}.") for other in known) or name in PACKAGES
    parts = f"thousandfold.{name}".split(".")
    up = node.level - (1 if is_package else 0)
    return ".".join(parts[: len(parts) - up] + ([node.module] if node.module else []))


def ours(dotted: str, known: frozenset[str]) -> str:
    """`thousandfold.gen.x` → `gen.x`; "" for what is not ours. A bare `gen` is ours too: it is never right."""
    if dotted.partition(".")[0] in PACKAGES:
        return f"the folder {dotted}, which is not installed under that name"
    inner = dotted.removeprefix("thousandfold.")
    return inner if inner != dotted and (inner in known or inner.partition(".")[0] in PACKAGES) else ""


def complaints(name: str, wanted: set[str], floor_of: dict[str, int]) -> list[str]:
    """What is wrong with module `name` importing `wanted`, a sentence each."""
    package = name.partition(".")[0]
    said = []
    for other in sorted(wanted):
        if name in ALONE or (package in SELF_CONTAINED and other.partition(".")[0] != package):
            said.append(f"{name} imports {other}, but it stands alone: move what it needs down, or pass it in")
        elif floor_of.get(other, len(FLOORS)) >= floor_of[name]:
            said.append(f"{name} imports {other}, not on a floor below it: let who may know both join them")
    return said


def test_every_module_has_its_place_in_the_table() -> None:
    missing = sorted(set(MODULES) - set(FLOOR_OF))
    assert missing == [], f"put {missing} into FLOORS, as low as their imports allow; a room goes to the rooms' floor"
    stale = sorted(set(FLOOR_OF) - set(MODULES))
    assert stale == [], f"take {stale} out of FLOORS: there is no such module"
    assert len(FLOOR_OF) == sum(map(len, FLOORS)), "a module stands on two floors of FLOORS"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_from_floors_below_its_own(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert complaints(name, imported(name, tree, frozenset(MODULES)), FLOOR_OF) == []


@pytest.mark.parametrize(
    ("name", "line", "seen"),
    [
        ("gen.drafts", "from .verdicts import give_verdicts", "gen.verdicts"),
        ("gen.drafts", "from . import verdicts", "gen.verdicts"),
        ("gen.drafts", "def late():\n    from thousandfold.gen.verdicts import give_verdicts", "gen.verdicts"),
        ("gen.drafts", "if TYPE_CHECKING:\n    import thousandfold.gen.release", "gen.release"),
        ("gen.drafts", "from thousandfold.gen import pipeline", "gen.pipeline"),
        ("gen.drafts", "import gen.tables", "the folder gen.tables, which is not installed under that name"),
        ("gen.teachers", "from ..pipeline import run", "gen.pipeline"),
        ("filters.form", "from thousandfold import prompts", "prompts"),
        ("filters.form", "from thousandfold.gen.errors import RecipeError", "gen.errors"),
        ("prompts", "from thousandfold.filters import near_duplicates", "filters"),
        ("gen.tables", "from .errors import RecipeError", "gen.errors"),
    ],
)
def test_a_forbidden_import_is_seen_wherever_it_stands(name: str, line: str, seen: str) -> None:
    found = imported(name, ast.parse(line), frozenset(MODULES))
    assert found == {seen}
    assert [sentence.split(",")[0] for sentence in complaints(name, found, FLOOR_OF)] == [
        f"{name} imports {seen}".split(",")[0]
    ]


def test_what_is_not_ours_is_nobodys_business_here() -> None:
    lines = "import os.path\nfrom collections import abc\nimport polars as pl\nfrom openai import AsyncOpenAI"
    assert imported("gen.drafts", ast.parse(lines), frozenset(MODULES)) == set()


@pytest.mark.parametrize("name", sorted(ARROWS))
def test_a_room_opens_with_its_arrow(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8"))) or ""
    assert docstring[: len(ARROWS[name])] == ARROWS[name]


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    too_long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES}
    assert too_long == {}, f"split these at a joint of their own; {MOST_LINES} lines are the most"
