"""Schemes, entities and the two scores."""

from __future__ import annotations

import numpy as np
import pytest

from src.metrics import entity_report, tag_report
from src.model_utils.runtime import UserError
from src.tagging import FORBIDDEN, Entity, constraints, detect_scheme, entities, illegal_step


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
def test_scheme_is_found_from_the_tags(tags, scheme):
    assert detect_scheme(tags.split()) == scheme


def test_prefixes_of_different_schemes_are_refused():
    with pytest.raises(UserError, match="of no scheme"):
        detect_scheme(["B-A", "M-A", "I-A"])


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


def test_the_two_scores_by_hand():
    gold = [["B-X", "E-X", "O", "S-Y"], ["O", "O", "B-X", "E-X"]]
    found = [["B-X", "E-X", "O", "S-X"], ["B-X", "E-X", "O", "O"]]
    tags = tag_report(gold, found)
    # B-X: 1 of 2 predicted, 1 of 2 gold; E-X the same; O: 1 of 3 predicted, 1 of 3 gold; S-Y: nothing
    assert tags["precision"] == pytest.approx((2 * 0.5 + 2 * 0.5 + 3 / 3 + 0) / 8)
    assert tags["recall"] == pytest.approx(3 / 8)
    report = entity_report(gold, found, "BMES")
    assert (report["precision"], report["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert report["types"]["X"]["gold"] == 2 and report["types"]["X"]["predicted"] == 3
    assert report["errors"] == {"type": 1, "boundary": 0, "both": 0, "spurious": 1, "missed": 1}


def test_boundary_errors():
    gold, found = [["B-X", "M-X", "E-X", "O"]], [["O", "B-X", "E-X", "O"]]
    assert entity_report(gold, found, "BMES")["errors"]["boundary"] == 1
