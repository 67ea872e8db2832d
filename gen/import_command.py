"""`thousandfold judge import`: what people and a judge said of texts of any origin, and what may be promised of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .commands import common_options, guarded_command, print_json
from .errors import OutputError, RecipeError

if TYPE_CHECKING:
    from .promise_check import HeldOut, PeopleAndJudge
    from .recorded_rows import Recorded


@click.command("import")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option("--score", required=True, metavar="COLUMN", help="What the judge said.")
@click.option("--label", required=True, multiple=True, metavar="COLUMN", help="What a person said; again for more.")
@click.option("--rater", metavar="COLUMN", help="Who gave the label, where each label has a row of its own.")
@click.option("--id", metavar="COLUMN", help="Which rows are of one text; joins several files.")
@click.option("--text", multiple=True, metavar="COLUMN", help="The text, kept by its hash only; again for more.")
@click.option("--pairwise", is_flag=True, help="Verdicts on two texts: 1, 2 or tie, as 1, 0 and 1/2.")
@click.option("--map", "words", multiple=True, metavar="WORD=NUMBER", help="What a word means; again for more.")
@click.option("--good-from", type=float, metavar="LABEL", help="Good from this label on; default: above the middle.")
@click.option("--split", type=float, default=0.5, show_default=True, metavar="SHARE", help="To calibrate on.")
@click.option("--alpha", type=float, default=0.1, show_default=True, metavar="SHARE", help="Bad ones, on average.")
@click.option("--target", type=float, default=0.9, show_default=True, metavar="SHARE", help="Good ones, at least.")
@click.option("--delta", type=float, default=0.1, show_default=True, metavar="SHARE", help="Chance to miss the target.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Draws the halves.")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="Keep hashes, labels and scores as CSV.")
@common_options("json")
@guarded_command
def import_judgements(
    files: tuple[Path, ...], to: Path | None, words: tuple[str, ...], json: bool, **options: Any
) -> None:
    """Read recorded labels and scores, calibrate on one half, and check the promise on the other.

    CSV, TSV, JSON or JSON lines, in columns of any names; no model is asked, and no OUT is needed.
    """
    from .promise_check import held_out, people_and_judge
    from .recorded_rows import recorded

    limits = {name: options.pop(name) for name in ("split", "alpha", "target", "delta", "seed")}
    rows = recorded(files, words=_mapped(words), **options)
    agreement = people_and_judge(rows)
    checked, missing = None, None
    try:
        checked = held_out(rows.scores, rows.good, **limits)
    except RecipeError as error:
        if error.what.partition(" ")[0] in limits:
            raise  # an option that cannot be, and not too few labels
        missing = f"{error.what}: {error.do}"
    if to is not None:
        _keep(rows, to)
    if json:
        print_json(_as_dict(rows, agreement, checked, missing))
        return
    from .text import on_screen

    for line in _lines(rows, agreement, checked, missing):
        click.echo(on_screen(line))


def _mapped(words: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for given in words:
        word, sign, number = given.rpartition("=")
        try:
            found[word.strip()] = float(number)
        except ValueError:
            sign = ""
        if not sign or not word.strip():
            raise RecipeError(
                what=f"--map {given!r} is no word and number",
                why="it says which number a word stands for",
                do="write it as --map refusal=1",
            )
    return found


def _as_dict(rows: Recorded, agreement: PeopleAndJudge, checked: HeldOut | None, missing: str | None) -> dict[str, Any]:
    return {
        "texts": len(rows.ids),
        "scored": int(rows.scored.sum()),
        "unscored": dict(rows.unscored),
        "raters": rows.raters,
        "good": int(rows.good.sum()),
        "good_is": rows.good_words,
        "notes": list(rows.notes),
        "agreement": agreement.as_dict(),
        "held_out": None if checked is None else checked.as_dict(),
        "missing": missing,
    }


def _lines(rows: Recorded, agreement: PeopleAndJudge, checked: HeldOut | None, missing: str | None) -> Iterator[str]:
    unscored = ", ".join(f"{name} {count}" for name, count in rows.unscored.items())
    count = len(rows.raters)
    yield f"{len(rows.ids)} texts, {int(rows.scored.sum())} with a score" + (
        f" (unscored: {unscored})" if unscored else ""
    )
    people = f"{count} {'person' if count == 1 else 'people'}"
    yield f"labels of {people}; good: {rows.good_words}, {int(rows.good.sum())} texts"
    yield from rows.notes
    for one, other, texts, kappa in agreement.pairs:
        yield f"{one} and {other}: {_kappa(kappa)} on {texts} texts"
    if agreement.alpha is not None:
        yield f"all people: Krippendorff's alpha {agreement.alpha:.3f}"
    if rows.pairwise:
        share = agreement.same / agreement.compared if agreement.compared else 0.0
        yield (
            f"judge and majority: the same verdict on {agreement.same} of {agreement.compared} ({share:.4f}); "
            f"at least {agreement.bound:.4f} (exact, one-sided 95 %)"
        )
    if agreement.kappa is not None:
        yield f"judge and people: kappa {agreement.kappa:.3f} (quadratic weights)"
    else:
        yield "judge and people: no kappa, the scores are not levels of the labels' scale, or one of both never varies"
    if missing is not None:
        yield f"no calibration: {missing}"
    if checked is None:
        return
    yield (
        f"calibrated on {checked.learnt_from} of {checked.labels} texts: AUC {checked.auc:.2f} there; "
        f"on the rest ECE {checked.ece:.3f}, Brier {checked.brier:.3f}"
    )
    for promise in checked.promises:
        yield from _promise_lines(vars(promise))


def _kappa(value: float | None) -> str:
    return "no kappa" if value is None else f"kappa {value:.3f} (unweighted)"


def _promise_lines(promise: Mapping[str, Any]) -> Iterator[str]:
    yield promise["rule"]
    if promise["accepted"]:
        yield (
            f"  on the rest: {promise['accepted']} of {promise['texts']} accepted, {promise['good']} of them good; "
            f"at least {promise['bound']:.1%} (exact, one-sided 95 %)"
        )
    else:
        yield f"  on the rest: none of {promise['texts']} accepted"
    if promise["missed"] is None:
        held = f"{promise['mean_bad']:.1%} bad on average"
    else:
        held = f"fewer good among the accepted than the target in {promise['missed']:.1%}"
    yield f"  over {promise['splits']} such splits: {held}, {promise['mean_share']:.0%} accepted"
    if promise["mean_share"] < 0.2:
        yield "  this judge is too weak for that target, or the labels are too few"


def _keep(rows: Recorded, path: Path) -> None:
    """A CSV file that `judge import` reads again: `id, sha256, score` and a column for each person."""
    import csv

    from .label_sheet import cell

    def told(value: float) -> str:
        return "" if value != value else f"{value:.12g}"  # NaN: nothing was said

    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            sheet = csv.writer(file)
            sheet.writerow(["id", "sha256", "score", *(cell(name) for name in rows.raters)])
            for place, draft_id in enumerate(rows.ids):
                said = [told(float(value)) for value in rows.ratings[:, place]]
                sheet.writerow([cell(draft_id), rows.sums[place], told(float(rows.scores[place])), *said])
    except OSError as error:
        raise OutputError(
            what=f"{str(path)!r} cannot be written: {error.strerror}",
            why="labels and scores are kept there, and no file is written over",
            do="give another path with --to",
        ) from error
