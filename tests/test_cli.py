"""The command line as a shell or a cron job meets it: options, streams, exit codes, sentences."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest
from click.testing import CliRunner

from thousandfold import gen
from thousandfold.gen.cli import main
from thousandfold.gen.output import Output

from ._runs import RESPECT, Done, command, content, copied, environment, release_in, unmeasured

SIZE = "16"
SUMMARY = {
    "release", "name", "size", "accepted", "asked", "replayed", "paid_usd", "rounds", "funnel", "shortfalls", "exit",
}  # fmt: skip
COMMANDS = {
    "init", "models", "plan", "preview", "drill", "judge", "run", "refresh", "status", "tics", "trace", "verify",
    "label", "rehearse",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def here(*words: str | Path, env: dict[str, str] | None = None) -> Done:
    """The command in this process: quicker, and a bug is raised as itself."""
    found = CliRunner().invoke(main, [str(word) for word in words], env=env, catch_exceptions=False)
    return Done(found.exit_code, found.stdout, found.stderr)


@dataclass(frozen=True)
class Made:
    """A finished run, and what its command said."""

    out: Path
    said: Done

    @property
    def ids(self) -> list[str]:
        lines = (release_in(self.out) / "train" / "sft.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["id"] for line in lines]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    return Made(folder / "out", command("run", RESPECT, "--size", SIZE, "--out", "out", "--json", cwd=folder))


@pytest.fixture
def own(made: Made, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage."""
    return shutil.copytree(made.out, tmp_path / "own")


def listing(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.lstat().st_mtime_ns for path in folder.rglob("*")}


# Help and options.


def test_the_commands_are_those_of_the_contract() -> None:
    assert set(main.commands) == COMMANDS


@pytest.mark.parametrize("name", [None, *sorted(COMMANDS)])
def test_help_tells_what_a_command_does_and_exits_0(name: str | None) -> None:
    words = [name] if name else []
    said = here(*words, "--help")
    assert said.code == 0
    assert said.err == ""
    assert f"Usage: main {name or '[OPTIONS]'}" in said.out
    assert said.out == here(*words, "-h").out


def test_help_of_the_program_names_every_exit_code() -> None:
    said = " ".join(here("--help").out.split())
    for code in ("0 done", "1 failed", "2 recipe", "3 stopped", "4 quotas", "75 another", "130/143 interrupted"):
        assert code in said


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_explained_and_is_an_environment_variable_of_its_name(name: str) -> None:
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            longest = max(parameter.opts, key=len)
            # click makes the variable of the parameter's name.
            assert parameter.name == longest.strip("-").replace("-", "_"), longest


@pytest.mark.parametrize("name", ["plan", "run", "refresh"])
def test_the_common_options_are_there(name: str) -> None:
    options = {word for parameter in main.commands[name].params for word in parameter.opts}
    wanted = "size teacher judge budget budget-tokens out seed concurrency offline json"
    assert {f"--{word}" for word in wanted.split()} <= options


def test_the_version_is_told() -> None:
    assert here("--version").out.startswith("thousandfold, version ")


def test_environment_variables_are_options_and_the_command_line_wins() -> None:
    env = {"THOUSANDFOLD_PLAN_SIZE": "0", "THOUSANDFOLD_PLAN_JSON": "1", "THOUSANDFOLD_RUN_SIZE": "7"}
    assert here("plan", RESPECT, env=env).code == 2
    said = here("plan", RESPECT, "--size", "20", env=env)
    assert said.json["contexts"]["train"] == 26  # 20 x the pool's 1.3


def test_run_takes_size_out_and_json_from_the_environment(tmp_path: Path) -> None:
    env = {"THOUSANDFOLD_RUN_SIZE": "8", "THOUSANDFOLD_RUN_OUT": "from-env", "THOUSANDFOLD_RUN_JSON": "1"}
    said = command("run", RESPECT, cwd=tmp_path, env=env)
    assert (said.code, said.json["size"], said.json["accepted"]) == (0, 8, 8)
    assert Path(said.json["release"]).parts[:2] == ("from-env", "releases")


# What run says, and where.


def test_run_json_is_one_object_with_the_documented_keys_and_talk_goes_to_stderr(made: Made) -> None:
    told = made.said.json
    assert made.said.code == 0
    assert set(told) >= SUMMARY
    assert (told["size"], told["accepted"], told["exit"], told["paid_usd"], told["replayed"]) == (16, 16, 0, 0.0, 0)
    assert made.said.out.count("\n") == 1
    assert made.out.parent / told["release"] == release_in(made.out)
    assert told["name"] == release_in(made.out).name
    assert f"asked {told['asked']}, replayed 0, paid 0.0000 USD" in made.said.err
    assert "not training data" in made.said.err


def test_a_plain_run_prints_the_release_and_nothing_else_on_stdout(own: Path) -> None:
    said = command("run", RESPECT, "--size", SIZE, "--out", own, cwd=own.parent)
    assert (said.code, said.out) == (0, f"{release_in(own)}\n")
    assert "nothing changed: the release that stands holds the same content" in said.err


def test_in_a_log_there_are_plain_lines_without_control_characters(made: Made) -> None:
    assert "round 1: " in made.said.err
    assert [c for c in made.said.err if ord(c) < 32 and c != "\n"] == []


def test_the_default_output_is_outputs_and_the_name_of_the_recipe(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "some-folder", name="my.values", size=8)
    assert here("run", recipe).code == 0
    assert (tmp_path / "outputs" / "my.values" / "LATEST").is_file()


# Exit codes.


def test_offline_without_replies_exits_1_and_says_how_many_are_missing(tmp_path: Path) -> None:
    said = here("run", RESPECT, "--size", SIZE, "--out", "new", "--offline", "--json")
    assert (said.code, said.json["exit"]) == (1, 1)
    assert "--offline was given and 23 of 23 scenario replies are not in the ledger" in said.json["error"]["what"]
    assert not (tmp_path / "new" / "releases").exists()


def test_a_failure_with_json_is_one_object_with_what_why_do_and_exit() -> None:
    said = here("run", "nowhere", "--json")
    assert said.code == 2
    assert said.json == {
        "error": {
            "what": "the recipe 'nowhere' does not exist",
            "why": "a recipe is a directory with recipe.toml, axes.toml, seeds/ and values/",
            "do": "give the path of one, or write a starter with `thousandfold init DIR`",
        },
        "exit": 2,
    }
    assert "error: the recipe 'nowhere' does not exist\n  why: " in said.err


def test_a_budget_that_is_too_small_exits_3_with_what_there_is() -> None:
    said = here("run", RESPECT, "--size", SIZE, "--out", "poor", "--budget-tokens", "60000", "--json")
    told = said.json
    assert (said.code, told["exit"]) == (3, 3)
    assert 0 < told["accepted"] < 16
    assert Path(told["release"]).is_dir()
    assert f"{told['accepted']} of 16 exemplars" in said.err


def test_quotas_that_cannot_be_met_exit_4_and_are_named(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write("\n[selection.quotas.domain]\nlaw = 14\n[run]\nmax_rounds = 1\n")
    said = here("run", recipe, "--size", SIZE, "--out", "short", "--json")
    told = said.json
    assert (said.code, told["exit"], told["accepted"]) == (4, 4, 16)
    (short,) = (s for s in told["shortfalls"] if s["axis"] == "domain")
    assert (short["level"], short["wanted"]) == ("law", 14)
    assert f"short: domain = law: {short['got']} of 14" in said.err


def test_a_directory_that_another_run_holds_exits_75_at_once(own: Path) -> None:
    with Output(own).locked():
        for name in ("run", "refresh"):
            said = command(name, RESPECT, "--size", SIZE, "--out", own, "--json", cwd=own.parent)
            assert (said.code, said.json["exit"]) == (75, 75)
            assert "another run holds" in said.json["error"]["what"]


# Bad input: one clear message, the documented code, nothing written.

BAD = [
    ("run nowhere", 2, "the recipe 'nowhere' does not exist"),
    ("run empty", 2, "the recipe 'empty' holds no recipe.toml"),
    ("run a-file", 2, "the recipe 'a-file' holds no recipe.toml"),
    ("plan nowhere", 2, "the recipe 'nowhere' does not exist"),
    ("preview nowhere", 2, "the recipe 'nowhere' does not exist"),
    ("refresh nowhere", 2, "the recipe 'nowhere' does not exist"),
    ("run RESPECT --size 0", 2, "--size = 0"),
    ("run RESPECT --size -3", 2, "--size = -3"),
    ("run RESPECT --size many", 2, "Invalid value for '--size'"),
    ("plan RESPECT --size 0", 2, "--size = 0"),
    ("refresh RESPECT --size 0", 2, "--size = 0"),
    ("run RESPECT --seed -1", 2, "--seed = -1"),
    ("run RESPECT --concurrency 0", 2, "--concurrency = 0"),
    ("run RESPECT --budget 0", 2, "--budget = 0"),
    ("run RESPECT --budget nan", 2, "--budget = "),
    ("run RESPECT --budget-tokens -1", 2, "--budget-tokens = -1"),
    ("run RESPECT --teacher nonsense", 2, "the model 'nonsense' is of no known form"),
    ("run RESPECT --teacher rehearsal:polish=1", 2, "rehearsal does not understand 'polish=1'"),
    ("run RESPECT --judge nonsense", 2, "the model 'nonsense' is of no known form"),
    ("run RESPECT --judge openai:rehearsal-teacher-9", 2, "are of one family (rehearsal-teacher)"),
    ("run RESPECT --teacher openai:gpt-a --judge openai:gpt-b", 2, "are of one family (gpt)"),
    ("run RESPECT --teacher openai:gpt-a --judge rehearsal", 2, "the rehearsal judge was asked to judge"),
    ("run RESPECT --teacher openai:gpt-a --budget 5", 2, "the price of 'openai:gpt-a' is not known"),
    ("run RESPECT --teacher langchain:no.such.Class:m", 2, "no.such"),
    ("run RESPECT --out a-file", 2, "'a-file' cannot be used as an output directory"),
    ("run RESPECT --out a-file/below", 2, "'a-file/below' cannot be used as an output directory"),
    ("run RESPECT --out not-ours", 2, "'not-ours' is not empty and not ours: it holds 'thesis.txt'"),
    ("preview RESPECT --out not-ours", 2, "'not-ours' is not empty and not ours"),
    ("refresh RESPECT --out not-ours", 2, "'not-ours' is not empty and not ours"),
    ("drill nowhere", 2, "the recipe 'nowhere' does not exist"),
    ("drill RESPECT --clean 1", 2, "Invalid value for '--clean'"),
    ("drill RESPECT --seed -1", 2, "--seed = -1"),
    ("preview RESPECT -n 0", 2, "Invalid value for '-n'"),
    ("plan RESPECT --pilot -1", 2, "Invalid value for '--pilot'"),
    ("status nowhere", 2, "'nowhere' does not exist"),
    ("status empty", 2, "'empty' holds no ledger.sqlite"),
    ("verify a-file", 2, "'a-file' holds no ledger.sqlite"),
    ("trace nowhere d-1", 2, "'nowhere' does not exist"),
    ("label nowhere", 2, "stdin and stderr are no terminal"),
    ("label nowhere --export s.csv", 2, "'nowhere' does not exist"),
    ("label a-file --import s.csv", 2, "'a-file' holds no ledger.sqlite"),
    ("label nowhere --import s.csv --export s.csv", 2, "--import and --export were given together"),
    ("label nowhere --export s.csv --count 0", 2, "Invalid value for '--count'"),
    ("label nowhere --export s.csv --overlap 2", 2, "Invalid value for '--overlap'"),
    ("init not-ours", 2, "'not-ours' exists and is not an empty directory"),
    ("init a-file", 2, "'a-file' exists and is not an empty directory"),
    ("init a-file/below", 2, "'a-file/below' cannot be written"),
    ("rehearse --port 99999", 2, "Invalid value for '--port'"),
    ("rehearse --hollow 2", 2, "Invalid value for '--hollow'"),
    ("rehearse --near-copy 0.6 --cut-off 0.6", 2, ""),
    ("run", 2, "Missing argument 'RECIPE'"),
    ("trace nowhere", 2, "Missing argument 'ID'"),
    ("fold", 2, "No such command 'fold'"),
    ("run RESPECT --sizes 3", 2, "No such option"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), BAD, ids=[words for words, _, _ in BAD])
def test_bad_input_is_one_clear_message_and_leaves_nothing_behind(
    words: str, code: int, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("mine")
    (tmp_path / "not-ours").mkdir()
    (tmp_path / "not-ours" / "thesis.txt").write_text("mine")
    before = listing(tmp_path)
    said = here(*(RESPECT if word == "RESPECT" else word for word in words.split()))
    assert said.code == code
    assert sentence in said.err
    assert said.out == "" or (words.startswith("refresh") and said.json["exit"] == code)
    assert listing(tmp_path) == before
    ours = said.err.startswith("error: ") and said.err.count("\n  why: ") == said.err.count("\n  do:  ") == 1
    assert ours or said.err.startswith("Usage: "), said.err


def test_a_seed_that_is_wrong_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    (recipe / "seeds" / "criticism_coffee_van.md").write_text("## user\nhello\n", encoding="utf-8")
    before = listing(tmp_path)
    for name in ("run", "refresh", "preview", "plan"):
        said = here(name, recipe, *(("--out", "out") if name != "plan" else ()))
        assert said.code == 2
        assert "criticism_coffee_van.md:" in said.err
        assert listing(tmp_path) == before


def test_a_recipe_without_seeds_is_refused(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    shutil.rmtree(recipe / "seeds")
    said = here("run", recipe)
    assert said.code == 2
    assert "holds no seed" in said.err
    assert not (tmp_path / "outputs").exists()


NOT_AS_ROOT = """
import ctypes, os, struct, sys
from thousandfold.gen import cli
if os.geteuid() == 0:  # root may write anywhere, unless it gives its capabilities away (capset, version 3)
    assert ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6)) == 0
cli.main(sys.argv[1:])
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or (os.geteuid() == 0 and sys.platform != "linux"),
    reason="permissions of this kind are POSIX's, and root has them all but on Linux",
)
def test_an_output_directory_that_may_not_be_written_exits_2() -> None:
    with TemporaryDirectory() as scratch:
        closed, missing = Path(scratch) / "closed", Path(scratch) / "missing"
        closed.mkdir()
        for folder in (closed, Path(scratch)):
            folder.chmod(0o555)
        for out in (closed, missing):
            words = [sys.executable, "-c", NOT_AS_ROOT, "run", str(RESPECT), "--out", str(out)]
            said = subprocess.run(words, env=unmeasured(), capture_output=True, text=True, check=False)
            assert said.returncode == 2, said.stderr
            assert f"error: '{out}' cannot be used as an output directory: " in said.stderr
            assert "ermission denied\n" in said.stderr
            assert said.stderr.count("\n") == 3
        assert sorted(path.name for path in Path(scratch).rglob("*")) == ["closed"]
        Path(scratch).chmod(0o755)


def test_a_hosted_model_without_a_key_exits_1_and_says_which_variable(tmp_path: Path) -> None:
    said = here("run", RESPECT, "--size", SIZE, "--teacher", "openai:gpt-a", "--out", "out")
    assert said.code == 1
    assert "OPENAI_API_KEY is not set" in said.err
    assert not (tmp_path / "out" / "releases").exists()


def test_a_server_that_is_not_there_exits_1_and_says_that_the_run_resumes(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    path = recipe / "recipe.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[teacher]", "[teacher]\nattempts = 1"), encoding="utf-8")
    said = here("run", recipe, "--size", SIZE, "--teacher", "openai:gpt-a@http://127.0.0.1:9/v1")
    assert said.code == 1
    assert "did not answer after 1 try" in said.err
    assert "it resumes" in said.err


# plan, preview, status, trace, verify.


def test_plan_spends_nothing_and_makes_nothing(tmp_path: Path) -> None:
    said = here("plan", RESPECT, "--out", "out")
    assert said.code == 0
    assert said.err == ""
    assert "390 contexts for 300 exemplars" in said.out
    assert "every combination of 2 levels" in said.out
    assert list(tmp_path.iterdir()) == []


def test_plan_json_is_one_object_with_contexts_coverage_and_a_forecast() -> None:
    told = here("plan", RESPECT, "--size", "30", "--json").json
    assert told["contexts"]["train"] == 39
    assert sum(told["contexts"].values()) == 39 + 3
    assert set(told["coverage"]) == {"1", "2", "3"}
    low, high = told["forecast"]["asks"]
    asked = here("run", RESPECT, "--size", "30", "--json", "--out", "out").json["asked"]
    assert low <= asked <= high


def test_a_pilot_is_paid_once_and_narrows_the_forecast(tmp_path: Path) -> None:
    wide = here("plan", RESPECT, "--size", "40", "--json", "--out", "out").json["forecast"]
    assert not (tmp_path / "out").exists()
    piloted = here("plan", RESPECT, "--size", "40", "--pilot", "8", "--json", "--out", "out").json["forecast"]
    assert "8" in piloted["basis"]
    assert piloted["tokens"][1] - piloted["tokens"][0] < wide["tokens"][1] - wide["tokens"][0]
    told = here("run", RESPECT, "--size", "40", "--json", "--out", "out").json
    assert told["replayed"] >= 24  # two asks to write and one at least to judge, for each of eight
    assert piloted["asks"][0] <= told["asked"] + told["replayed"] <= piloted["asks"][1]


def test_preview_shows_drafts_and_a_run_replays_them(tmp_path: Path) -> None:
    said = here("preview", RESPECT, "-n", "3", "--out", "out")
    assert said.code == 0
    assert said.out.count("╰") == 3
    assert said.out.count("kept, level ") + said.out.count("dropped: ") == 3
    paid = gen.run(RESPECT, size=16, out=tmp_path / "out").summary["replayed"]
    assert paid >= 9


def test_preview_json_is_one_object_with_every_table() -> None:
    told = here("preview", RESPECT, "-n", "3", "--json", "--out", "out").json
    assert set(told) == {"drafts", "verdicts", "judgements"}
    assert len(told["drafts"]) == 3
    assert {row["id"] for row in told["verdicts"]} == {row["id"] for row in told["drafts"]}
    assert {row["id"] for row in told["judgements"]} <= {row["id"] for row in told["drafts"]}


def test_status_counts_replies_and_releases(made: Made) -> None:
    told = here("status", made.out, "--json").json
    assert told["replies"] == made.said.json["asked"]
    assert (told["latest"], told["unfinished"], told["failures"]) == (made.said.json["name"], None, 0)
    (release,) = told["releases"]
    assert (release["exemplars"], release["exit"], release["teacher"]) == (16, 0, "rehearsal-teacher")
    said = here("status", made.out)
    assert f"{told['replies']} replies in the ledger (0 failed)" in said.out
    assert made.said.json["name"] in said.out
    assert said.err == ""


def test_trace_walks_a_training_line_back_to_its_seed(made: Made) -> None:
    said = here("trace", made.out, made.ids[0])
    assert said.code == 0
    for word in ("selection", "judgement", "verdict", "draft", "situation", "ask", "context", "seed"):
        assert f"\n{word} " in said.out
    assert "rank 0, gain " in said.out
    told = here("trace", made.out, made.ids[0], "--json").json
    assert told["seed"]["id"] == told["context"]["seed_id"]
    assert (RESPECT / "seeds" / f"{told['seed']['id']}.md").is_file()
    assert set(told["asks"]) == {"scenario", "exemplar"}


def test_trace_explains_a_dropped_draft_too(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=16, teacher="rehearsal:cut_off=0.4", out=tmp_path)
    assert run.release is not None
    import polars as pl

    verdicts = pl.read_parquet(run.release / "tables" / "verdicts.parquet").filter(~pl.col("kept"))
    said = here("trace", tmp_path, verdicts["id"][0])
    assert said.code == 0
    assert f"dropped: {verdicts['reason'][0]}" in said.out
    assert "not in the pool" in said.out


def test_an_unknown_id_exits_2_and_says_where_ids_are_found(made: Made) -> None:
    said = here("trace", made.out, "d-\x1b[31m00")
    assert said.code == 2
    assert "\x1b" not in said.err
    assert "train/sft.jsonl" in said.err


def test_verify_of_a_sound_directory_exits_0(made: Made) -> None:
    said = here("verify", made.out)
    assert (said.code, said.out, said.err) == (0, "sound: 1 release and the ledger\n", "")
    assert here("verify", made.out, "--json").json == {
        "releases": [made.said.json["name"]], "damage": [], "exit": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "train/sft.jsonl", "tables/drafts.parquet", "tables/seeds.parquet", "recipe/recipe.toml", "README.md",
        "manifest.json", "manifest.sha256",
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, -1])
def test_verify_finds_one_changed_byte_exits_1_and_names_the_file(name: str, at: int, own: Path) -> None:
    path = release_in(own) / name
    data = bytearray(path.read_bytes())
    data[at] ^= 0x81
    path.write_bytes(data)
    said = here("verify", own)
    assert said.code == 1
    assert said.out.startswith(f"damaged: {release_in(own).name}/")
    assert f"{release_in(own).name}/{name}" in said.out


@pytest.mark.parametrize("pointer", [b"", b"2001-01-01-aaaaaa\n", b"\xff\n", b".\n", b"../releases\n"])
def test_verify_finds_a_pointer_that_names_no_release(pointer: bytes, own: Path) -> None:
    (own / "LATEST").write_bytes(pointer)
    said = here("verify", own)
    assert said.code == 1
    assert "LATEST" in said.out


def test_verify_finds_files_that_are_missing_or_too_many(own: Path) -> None:
    release = release_in(own)
    (release / "heldout" / "id.jsonl").unlink()
    (release / "notes\x1b[31m.txt").write_text("mine")
    (release / os.fsdecode(b"caf\xe9.txt")).write_text("mine")
    said = here("verify", own)
    assert said.code == 1
    assert f"damaged: {release.name}/heldout/id.jsonl: missing\n" in said.out
    assert said.out.count("not in the manifest") == 2
    assert "\x1b" not in said.out


def test_verify_finds_a_damaged_ledger(own: Path) -> None:
    path = own / "ledger.sqlite"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)
    said = here("verify", own)
    assert said.code == 1
    assert "ledger.sqlite" in said.out + said.err


def test_a_release_is_left_alone_by_every_command_that_looks(own: Path) -> None:
    release = release_in(own)
    before = content(own, "releases")
    for words in (("status", own), ("verify", own), ("trace", own, "d-0"), ("preview", RESPECT, "--out", own)):
        here(*words)
    assert content(own, "releases") == before
    assert release_in(own) == release


def test_an_output_directory_may_have_any_name_that_utf_8_can_hold(tmp_path: Path) -> None:
    out = tmp_path / "café\x1b[31m \n{name}"
    assert here("run", RESPECT, "--size", "8", "--out", out, "--json").json["release"].startswith(f"{out}/releases/")
    assert here("verify", out).code == 0
    said = here("run", RESPECT, "--size", "8", "--out", os.fsdecode(b"caf\xe9"))
    assert said.code == 2
    assert "its name is not UTF-8" in said.err
    assert list(tmp_path.iterdir()) == [out]
