"""Schemes, entities and the two scores."""

from __future__ import annotations

import numpy as np
import pytest

from src.metrics import entity_report, tag_report
from src.model_utils.runtime import UserError
from src.tagging import (
    FORBIDDEN,
    Entity,
    constraints,
    entities,
    illegal_step,
    iob1_to_bio,
    is_iob1,
    resolve_scheme,
    steps_of,
)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O B-A M-A E-A S-B", "BMES"),
        ("O B-A E-A", "BMES"),
        ("O B-A I-A E-A S-B", "BIOES"),
        ("O B-A I-A", "BIO"),
        ("O", "BIO"),
    ],
)
def test_scheme_is_detected_from_the_tags(tags, scheme):
    assert resolve_scheme(tags.split()) == scheme


def test_prefixes_of_different_schemes_are_refused():
    with pytest.raises(UserError, match="of no scheme"):
        resolve_scheme(["B-A", "M-A", "I-A"])


@pytest.mark.parametrize(
    ("tags", "wanted", "scheme"),
    [
        ("O", "BMES", "BMES"),
        ("B-A E-A", "BIOES", "BIOES"),
        ("B-A I-A", "BIOES", "BIOES"),  # legal prefixes, which the order of the tags then contradicts
        ("B-A I-A E-A", "BMES", "BIOES"),  # training data may have had no I
    ],
)
def test_tags_are_of_the_scheme_of_the_training_file_where_they_fit(tags, wanted, scheme):
    assert resolve_scheme(tags.split(), wanted) == scheme


@pytest.mark.parametrize(("tags", "wanted"), [("B-A I-A", "BMES"), ("B-A M-A E-A", "BIO"), ("S-A", "BIO")])
def test_tags_of_another_scheme_than_the_training_file_are_refused(tags, wanted):
    with pytest.raises(UserError, match=f"those of the training file of {wanted}"):
        resolve_scheme(tags.split(), wanted)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("I-X I-X O", "B-X I-X O"),
        ("I-X B-X I-X", "B-X B-X I-X"),
        ("I-X I-Y", "B-X B-Y"),
        ("O I-X B-X B-X O", "O B-X B-X B-X O"),
    ],
)
def test_iob1_is_recognised_and_converted(tags, expected):
    steps = list(steps_of(tags.split()))
    assert is_iob1(steps) and iob1_to_bio(steps) == expected.split()
    assert not is_iob1(steps_of(expected.split()))


@pytest.mark.parametrize("tags", ["O", "O B-X", "B-X I-X O I-X", "I-X O B-X", "M-X E-X", "I-X E-X"])
def test_other_tags_are_not_iob1(tags):
    assert not is_iob1(steps_of(tags.split()))


@pytest.mark.parametrize(
    ("scheme", "tags", "step"),
    [
        ("BMES", "B-X E-X S-Y O B-X M-X E-X", None),
        ("BMES", "B-X O", 1),
        ("BMES", "B-X E-Y", 1),
        ("BMES", "B-X M-X", 2),
        ("BMES", "M-X E-X", 0),
        ("BMES", "O E-X", 1),
        ("BIOES", "B-X I-X E-X S-X", None),
        ("BIOES", "B-X I-X O", 2),
        ("BIO", "B-X B-X I-X O", None),
        ("BIO", "O I-X", 1),
        ("BIO", "B-X I-Y", 1),
        ("BIO", "I-X", 0),
    ],
)
def test_illegal_sequences_are_found_where_they_break(scheme, tags, step):
    assert illegal_step(tags.split(), scheme) == step


def test_constraints_forbid_what_is_illegal():
    tags = ["B-X", "E-X", "O"]
    transitions, start, end = constraints(tags, "BMES")
    assert (transitions == FORBIDDEN).tolist() == [[True, False, True], [False, True, False], [False, True, False]]
    assert (start == FORBIDDEN).tolist() == [False, True, False]
    assert (end == FORBIDDEN).tolist() == [True, False, False]
    assert transitions.dtype == np.float32


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("BMES", "B-X M-X E-X S-Y O", [(0, 3, "X"), (3, 4, "Y")]),
        ("BMES", "B-X M-X O", []),
        ("BMES", "B-X E-Y B-X E-X", [(2, 4, "X")]),
        ("BMES", "M-X E-X", []),
        ("BIOES", "B-X I-X E-X", [(0, 3, "X")]),
        ("BIO", "B-X I-X B-X I-Y", [(0, 2, "X"), (2, 3, "X")]),
        ("BIO", "O I-X B-Y", [(2, 3, "Y")]),
    ],
)
def test_entities_are_taken_strictly(scheme, tags, expected):
    assert entities(tags.split(), scheme) == [Entity(*one) for one in expected]


def test_tag_and_entity_scores_equal_those_by_hand():
    gold = [["B-X", "E-X", "O", "S-Y"], ["O", "O", "B-X", "E-X"]]
    predicted = [["B-X", "E-X", "O", "S-X"], ["B-X", "E-X", "O", "O"]]
    tags = tag_report(gold, predicted)
    # B-X: 1 of 2 predicted, 1 of 2 gold; E-X the same; O: 1 of 3 predicted, 1 of 3 gold; S-Y: nothing
    assert tags["precision"] == pytest.approx((2 * 0.5 + 2 * 0.5 + 3 / 3 + 0) / 8)
    assert tags["recall"] == pytest.approx(3 / 8)
    report = entity_report(gold, predicted, "BMES")
    assert (report["precision"], report["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert report["types"]["X"]["gold"] == 2 and report["types"]["X"]["predicted"] == 3
    assert report["errors"] == {"type": 1, "boundary": 0, "both": 0, "spurious": 1, "missed": 1}


def test_an_overlapping_entity_of_the_right_type_is_a_boundary_error():
    gold, predicted = [["B-X", "M-X", "E-X", "O"]], [["O", "B-X", "E-X", "O"]]
    assert entity_report(gold, predicted, "BMES")["errors"]["boundary"] == 1
