"""One line of training walked back to its seed: scores, verdicts, asks, context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.text import Text

from .errors import OutputError
from .expansion import asks_of, prompt_files
from .ledger import Ledger
from .output import Output
from .release import read_manifest, read_table
from .report import conversation_lines
from .tables import BY_PEOPLE
from .text import on_screen


def descent(output: Output, draft_id: str) -> dict[str, Any]:
    """One draft walked back to its seed: selection, judgement, verdicts, prompts, context, seed.

    Looked up in the newest release first. Raises OutputError for an id that no release holds.
    """
    latest = output.latest()
    releases = sorted(output.releases(), key=lambda p: (p == latest, p.name), reverse=True)
    for release in releases:
        found = _row_of(release, "drafts", "id", draft_id)
        if found is not None:
            return _descent_in(output, release, found)
    raise OutputError(
        what=f"no release in {str(output.path)!r} holds the id {draft_id!r}",
        why="ids are those of drafts: the `id` of a line in train/sft.jsonl, or one from tables/drafts.parquet",
        do=f"copy one from {latest / 'train' / 'sft.jsonl' if latest else 'a release'}",
    )


def _descent_in(output: Output, release: Path, draft: Mapping[str, Any]) -> dict[str, Any]:
    context = _row_of(release, "contexts", "id", draft["context_id"]) or {}
    judgement = _row_of(release, "judgements", "id", draft["id"])
    pair = _row_of(release, "pairs", "id", draft["id"]) if (release / "tables" / "pairs.parquet").exists() else None
    writing = asks_of(draft) | ({"hollow": pair["ask_id"]} if pair else {})
    ids = [*writing.items(), *_judging(judgement)]
    with output.ledger(read_only=True) as ledger:
        asks = {
            name: {"ask": ask_id, "model": sent[0], "messages": sent[1]["messages"]}
            for name, ask_id in writing.items()
            if ask_id and (sent := ledger.request(ask_id))
        }
        unreadable = [found for name, ask_id in ids if ask_id for found in _unreadable(ledger, name, ask_id)]
    verdicts = read_table(release, "verdicts").filter(pl.col("id") == draft["id"]).to_dicts()
    manifest = read_manifest(release)
    switches, control = manifest["settings"].get("expansion", {}), context.get("set") == "ctrl"
    for name, ask in asks.items():
        ask["prompts"] = prompt_files(switches, name, control=control)
    is_by_people = context.get("set") == BY_PEOPLE
    return {
        "release": release.name,
        "id": draft["id"],
        **({"people": _row_of(release, "people", "id", draft["id"])} if is_by_people else {}),
        "selection": _row_of(release, "selection", "id", draft["id"]),
        "judgement": judgement,
        "verdicts": verdicts,
        "draft": dict(draft),
        "pair": pair,
        "asks": asks,
        "unreadable": unreadable,
        "context": context,
        "seed": _row_of(release, "seeds", "id", context.get("seed_id", "")),
        "prompts": manifest["prompts"],
    }


def _judging(judgement: Mapping[str, Any] | None) -> list[tuple[str, str | None]]:
    """(question, ask) of all that any judge was asked of a text."""
    if judgement is None:
        return []
    words = judgement.get("by_judge")
    if words is None:  # an old release
        return [("level", judgement["level_ask_id"]), ("evidence", judgement["evidence_ask_id"])]
    levels = [("level", ask_id) for word in words for ask_id in word["level_ask_ids"]]
    return [*levels, *(("evidence", word["evidence_ask_id"]) for word in words)]


def _unreadable(ledger: Ledger, name: str, first: str) -> list[dict[str, str]]:
    """The replies to an ask, and to what it was asked again, that could not be read, in order."""
    chain = [first, *ledger.follow_ups([first]).get(first, [])]
    reasons = ledger.unreadable(chain)
    replies = ledger.get_many(list(reasons))
    return [
        {"question": name, "ask": ask_id, "reason": reasons[ask_id], "reply": replies[ask_id].text or ""}
        for ask_id in chain
        if ask_id in reasons
    ]


def _row_of(release: Path, table: str, column: str, value: str) -> dict[str, Any] | None:
    rows = read_table(release, table).filter(pl.col(column) == value)
    return rows.row(0, named=True) if rows.height else None


def descent_report(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """`descent` for a person, from the training line down to the seed."""
    draft, context, seed = found["draft"], found["context"], found["seed"] or {}
    selection, judgement = found["selection"], found["judgement"]
    yield Text(f"{found['id']} in release {found['release']}", style="bold")
    if selection and selection["selected"]:
        yield _line("selection", f"rank {selection['rank']}, gain {selection['gain']:.3f}: {selection['reason']}")
    else:
        yield _line("selection", "not selected" if selection else "not in the pool")
    if judgement:
        level = judgement["state"] if judgement["level"] is None else f"level {judgement['level']:g} of 4"
        yield _line("judgement", f"{level} by {judgement['judge']}: {judgement['reason'] or 'no remark'}")
        words = judgement.get("by_judge") or []
        for word in words if len(words) > 1 else []:
            own = "none" if word["level"] is None else f"{word['level']:g} by {word['method']}"
            yield _line("", f"{word['judge']}: level {own}{': ' + word['note'] if word['note'] else ''}")
        for span in judgement["spans"]:
            yield _line("", f"{span['item']}: “{span['span']}”")
    for verdict in found["verdicts"]:
        said = "kept" if verdict["kept"] else f"dropped: {verdict['reason']}"
        twin = f", twin {verdict['twin']}" if verdict["twin"] else ""
        measured = "" if verdict["measured"] is None else f" (measured {verdict['measured']:g}"
        limit = "" if verdict["limit"] is None else f", limit {verdict['limit']:g}"
        yield _line("verdict", f"{verdict['filter']}: {said}{measured}{limit}{')' if measured else ''}{twin}")
    yield from _origin_lines(found)
    for name, ask in found["asks"].items():
        files = [f"{file}.md (sha256 {found['prompts'].get(file, '')[:12]}…)" for file in ask["prompts"]]
        yield _line("ask", f"{name}: {ask['ask']} to {ask['model']}, prompt {', '.join(files)}")
    for one in found["unreadable"]:
        yield _line("unreadable", f"{one['question']}: {one['ask']}: {one['reason']}; the reply: {one['reply'][:200]}")
    if found["pair"]:
        yield from _pair_lines(found["pair"])
    levels = " · ".join(
        f"{k}: {v}"
        for k, v in context.items()
        if k not in ("id", "seed_id", "position", "repeat") and v is not None  # nobody said it
    )
    yield _line("context", f"{context.get('id')}: {levels}")
    if seed:
        yield _line("seed", f"{seed.get('id')} by {seed.get('author')}: {seed.get('reason') or seed.get('source')}")
    yield Text("")
    yield from conversation_lines(draft["messages"] or [], draft["because"])


def _origin_lines(found: Mapping[str, Any]) -> Iterator[Text]:
    """Who wrote it: a teacher, for a situation; or people, from which source and under which licence."""
    draft, person = found["draft"], found.get("people")
    if person is None:
        yield _line("draft", f"draw {draft['draw']} in round {draft['round']} by {draft['teacher']}")
        yield _line("situation", draft["scenario"])
        return
    named = f", there called {person['given_id']}" if person["given_id"] else ""
    yield _line("draft", f"written by people, brought with {person['file']}{named}")
    yield _line("source", f"{person['source']}, licence {person['licence'] or 'unknown'}")


def _pair_lines(pair: Mapping[str, Any]) -> Iterator[Text]:
    """The hollow twin of a draft, and whether the two make a pair."""
    limit = "" if pair["limit"] is None else f" (measured {pair['measured']:.3g}, limit {pair['limit']:g})"
    why = f"left out: {pair['reason']}{limit}" + (f": {pair['detail']}" if pair["detail"] else "")
    yield _line("pair", "kept" if pair["kept"] else why)
    if pair["rejected"] is not None:
        yield _line("rejected", f"{pair['rejected_words']} words, chosen {pair['chosen_words']}: {pair['rejected']}")


def _line(name: str, text: str) -> Text:
    return Text(f"{name:<10} ", style="dim") + Text(on_screen(text, width=2000), style="none")
