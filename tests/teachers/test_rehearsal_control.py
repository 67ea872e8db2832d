"""Where a value is not called for, rehearsal asks and answers something ordinary, and its judge sees no value in it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thousandfold import gen

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "respect"


def test_control_texts_show_no_value_and_give_their_reason(tmp_path: Path) -> None:
    run = gen.run(EXAMPLE, size=60, out=tmp_path / "out")
    assert run.release is not None
    contexts = pl.read_parquet(run.release / "tables" / "contexts.parquet")
    drafts = pl.read_parquet(run.release / "tables" / "drafts.parquet")
    own = drafts.join(contexts.filter(pl.col("set") == "ctrl").select(context_id="id", facet="facet"), on="context_id")
    assert own.height
    for messages, because in own.select("messages", "because").iter_rows():
        assert because in messages[-1]["content"]
        assert "sorry" not in messages[-1]["content"].lower()
    scored = gen.judge(own.select("messages"), EXAMPLE / "values" / "honest_apology.toml", judge="rehearsal")
    assert scored["level"].to_list() == [0.0] * own.height
