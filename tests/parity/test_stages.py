"""Our stages at the real widths against values that torch and transformers computed.

The values were written by `make fixtures`; `make parity` does the comparison live.
"""

from functools import cache

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.doctor import STORED, stage_check
from granite_mlx.selftest import stages
from granite_mlx.selftest.random_weights import random_tensor, uniform

ALL_STAGES = [(number, name) for number, (_, some) in enumerate(stages.NETWORKS) for name in some]


@cache
def network(number):
    return stages.build(mx.float32, stages.NETWORKS[number][0])


@pytest.mark.parametrize(("number", "name"), ALL_STAGES)
def test_stage_equals_the_reference(number, name):
    stage = stages.NETWORKS[number][1][name]
    difference = stages.compare(stage(*network(number)), np.load(STORED)[name])
    check = stage_check(name, "float32", difference.largest, difference.relative)
    assert check.passed, check


def test_every_stage_is_stored_and_no_other():
    assert sorted(np.load(STORED).files) == sorted(name for _, name in ALL_STAGES)


def test_random_weights_are_the_same_everywhere():
    # Taken down once: if these change, every stored value is void.
    assert uniform("a", (3,)).tolist() == pytest.approx(
        [0.24076628684997559, 0.9760775566101074, -0.49509143829345703]
    )
    assert random_tensor("x.running_var", (1000,)).min() > 0.5


def test_a_wrong_value_is_noticed():
    stored = np.load(STORED)["decoder"].copy()
    output = stages.STAGES["decoder"](*network(0))
    stored[7] += 0.01
    difference = stages.compare(output, stored)
    assert not stage_check("decoder", "float32", difference.largest, difference.relative).passed


def test_the_live_comparison_sees_every_value():
    reference = np.arange(10_000, dtype=np.float32)
    ours = mx.array(reference)
    wrong = reference.copy()
    wrong[-2] += 1  # one of those that are not stored
    assert stages.compare(ours, stages.thin(wrong)).largest == 0
    assert stages.compare_whole(ours, wrong).largest == 1
