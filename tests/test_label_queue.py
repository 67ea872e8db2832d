"""The queue: drawn at random within strata, the same for everybody, with probabilities that are true."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.label_queue import (
    IN_A_ROW,
    Text,
    active_batch,
    band_of,
    is_shared,
    random_queue,
)

BANDS = ("0", "1", "2", "3", "4", "none")


def texts(**sizes: int) -> list[Text]:
    """`f_3=7` makes seven texts of facet f in band 3."""
    return [Text(f"{name}-{i}", *name.split("_")) for name, size in sizes.items() for i in range(size)]


MIXED = texts(f_1=3, f_2=7, f_3=20, f_4=30, g_4=11, g_none=5)

populations = st.dictionaries(
    st.tuples(st.sampled_from("fgh"), st.sampled_from(BANDS)), st.integers(1, 30), min_size=1
).map(lambda sizes: [Text(f"{f}{b}{i}", f, b) for (f, b), size in sizes.items() for i in range(size)])


@given(populations, st.integers(0, 5))
def test_every_text_stands_in_the_queue_once_whatever_order_they_came_in(population: list[Text], seed: int) -> None:
    queue = random_queue(population, seed=seed, release="r")
    assert sorted(place.id for place in queue) == sorted(text.id for text in population)
    assert random_queue(population[::-1], seed=seed, release="r") == queue


@given(populations, st.integers(0, 5))
def test_every_beginning_of_a_facet_holds_each_band_in_proportion(population: list[Text], seed: int) -> None:
    band = {text.id: text.band for text in population}
    sizes = Counter((text.facet, text.band) for text in population)
    of_facet = Counter(text.facet for text in population)
    seen: Counter[tuple[str, str]] = Counter()
    count: Counter[str] = Counter()
    for place in random_queue(population, seed=seed, release="r"):
        count[place.facet] += 1
        seen[place.facet, band[place.id]] += 1
        assert place.probability == pytest.approx(count[place.facet] / of_facet[place.facet])
        bands = [key for key in sizes if key[0] == place.facet]
        for key in bands:  # each band is within one of its share; so many roundings can add up in what the rest leave
            exact = count[place.facet] * sizes[key] / of_facet[place.facet]
            assert abs(seen[key] - exact) < len(bands)


def test_a_facet_has_its_own_draw_so_labelling_one_alone_comes_to_the_same_texts() -> None:
    both = [p for p in random_queue(MIXED, seed=3, release="r") if p.facet == "f"]
    assert random_queue([t for t in MIXED if t.facet == "f"], seed=3, release="r") == both


def test_facets_take_turns_of_five() -> None:
    queue = random_queue(texts(f_4=12, g_3=7), seed=1, release="r")
    turns = [(facet, len(list(part))) for facet, part in groupby(queue, key=lambda place: place.facet)]
    assert turns == [("f", IN_A_ROW), ("g", IN_A_ROW), ("f", IN_A_ROW), ("g", 2), ("f", 2)]


def test_another_seed_is_another_order() -> None:
    assert random_queue(MIXED, seed=1, release="r") != random_queue(MIXED, seed=2, release="r")


def test_every_text_has_the_same_chance_to_be_among_the_first() -> None:
    """Over 2,000 seeds; a queue that served small bands first, or big ones, would be far outside."""
    population, first, seeds = texts(f_1=2, f_3=9, f_4=29), 10, 2000
    hits: Counter[str] = Counter()
    for seed in range(seeds):
        hits.update(place.id for place in random_queue(population, seed=seed, release="r")[:first])
    share = first / len(population)
    error = sqrt(share * (1 - share) / seeds)
    for band, size in (("f_1", 2), ("f_3", 9), ("f_4", 29)):
        mean = sum(hits[f"{band}-{i}"] for i in range(size)) / size / seeds
        assert abs(mean - share) < 0.012, (band, mean)
    assert max(abs(hits[text.id] / seeds - share) for text in population) < 5 * error


# Active mode.


def test_a_batch_has_as_many_texts_as_asked_for_none_of_them_labelled_before() -> None:
    said = {f"f_4-{i}": [4] for i in range(10)}
    batch = active_batch(MIXED, said, count=20, seed=1, batch=0, release="r")
    assert len({place.id for place in batch} - set(said)) == len(batch) == 20
    assert {place.drawn for place in batch} == {"active"}


def test_a_batch_is_the_same_for_everybody_and_the_next_is_another() -> None:
    first = active_batch(MIXED, {}, count=9, seed=1, batch=0, release="r")
    assert active_batch(MIXED[::-1], {}, count=9, seed=1, batch=0, release="r") == first
    assert active_batch(MIXED, {}, count=9, seed=1, batch=1, release="r") != first


def test_the_probability_of_an_active_draw_is_its_strata_s_part_of_the_batch() -> None:
    band = {text.id: (text.facet, text.band) for text in MIXED}
    size = Counter(band.values())
    batch = active_batch(MIXED, {}, count=15, seed=1, batch=0, release="r")
    taken = Counter(band[place.id] for place in batch)
    for place in batch:
        assert place.probability == taken[band[place.id]] / size[band[place.id]]


def test_every_stratum_is_met_before_any_is_met_twice() -> None:
    strata = {(text.facet, text.band) for text in MIXED}
    batch = active_batch(MIXED, {}, count=len(strata), seed=1, batch=0, release="r")
    band = {text.id: (text.facet, text.band) for text in MIXED}
    assert {band[place.id] for place in batch} == strata


def test_active_mode_goes_where_the_judge_and_people_are_least_sure() -> None:
    population = texts(f_4=100, f_2=100)
    batch = active_batch(population, {}, count=40, seed=1, batch=0, release="r")
    taken = Counter(place.id.partition("-")[0] for place in batch)
    assert taken["f_2"] > 1.5 * taken["f_4"]  # √(.5 · .5) to √(.9 · .1) is 5 to 3
    # People agree with every 2 and quarrel over every 4: then the fours tell more.
    said = {f"f_2-{i}": [0] for i in range(30)} | {f"f_4-{i}": [i % 2 * 4] for i in range(30)}
    batch = active_batch(population, said, count=40, seed=1, batch=1, release="r")
    taken = Counter(place.id.partition("-")[0] for place in batch)
    assert taken["f_4"] > 2 * taken["f_2"]


def test_the_facet_with_fewer_labels_gets_more_of_the_next_batch() -> None:
    population = texts(f_3=50, g_3=50)
    said = {f"f_3-{i}": [3] for i in range(20)}
    batch = active_batch(population, said, count=20, seed=1, batch=0, release="r")
    assert Counter(place.facet for place in batch)["g"] >= 18


def test_weights_of_active_draws_give_the_true_mean_where_the_plain_mean_does_not() -> None:
    """Horvitz and Thompson (1952) over 400 seeds; the plain mean of an active batch is biased, and seen to be."""
    population = texts(f_1=30, f_2=20, f_4=150)
    truth = {"1": 0.1, "2": 0.5, "4": 0.95}
    good = {t.id: int(t.id.partition("-")[2]) < truth[t.band] * Counter(x.band for x in population)[t.band]
            for t in population}  # fmt: skip
    weighted, plain = [], []
    for seed in range(400):
        batch = active_batch(population, {}, count=40, seed=seed, batch=0, release="r")
        weighted.append(sum(good[p.id] / (p.probability or 0) for p in batch) / len(population))
        plain.append(sum(good[p.id] for p in batch) / len(batch))
    mean = sum(good.values()) / len(population)
    error = sqrt(sum((x - mean) ** 2 for x in weighted) / len(weighted) / len(weighted))
    assert abs(sum(weighted) / len(weighted) - mean) < 4 * error
    assert abs(sum(plain) / len(plain) - mean) > 20 * error


def test_a_batch_larger_than_what_is_left_is_all_that_is_left() -> None:
    said = {text.id: [4] for text in MIXED[:-3]}
    batch = active_batch(MIXED, said, count=50, seed=1, batch=0, release="r")
    assert sorted(place.id for place in batch) == sorted(text.id for text in MIXED[-3:])
    assert {place.probability for place in batch} == {1.0}
    assert active_batch(MIXED, {t.id: [1] for t in MIXED}, count=5, seed=1, batch=0, release="r") == []


# Overlap and bands.


def test_overlap_is_the_share_of_texts_that_are_for_everybody() -> None:
    ids = [f"d-{i}" for i in range(4000)]
    for overlap in (0.0, 0.25, 1.0):
        shared = [draft_id for draft_id in ids if is_shared(draft_id, seed=1, overlap=overlap)]
        assert abs(len(shared) / len(ids) - overlap) < 0.03
    fewer = {i for i in ids if is_shared(i, seed=1, overlap=0.1)}
    assert fewer < {i for i in ids if is_shared(i, seed=1, overlap=0.2)}


@pytest.mark.parametrize(
    ("level", "band"), [(None, "none"), (0.0, "0"), (0.5, "1"), (2.49, "2"), (3.5, "4"), (4.0, "4")]
)
def test_a_band_is_the_judge_s_level_rounded(level: float | None, band: str) -> None:
    assert band_of(level) == band
