import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audioforge.reward_functions.curves import eased, ramp

ENDS = st.floats(-1e6, 1e6)


@given(st.floats(allow_nan=True), ENDS, ENDS)
def test_an_eased_ramp_is_bounded_for_any_number_and_meets_the_ramp_at_its_ends_and_middle(x, a, b):
    assume(abs(a - b) >= 1e-3)
    assert 0 <= eased(x, a, b) <= 1
    for at in (a, (a + b) / 2, b):
        assert eased(at, a, b) == pytest.approx(ramp(at, a, b), abs=1e-6)


def test_an_eased_ramp_is_monotone_and_level_at_both_ends():
    x = np.linspace(-0.5, 1.5, 401)
    values = np.array([eased(float(v), 1.0, 0.0) for v in x])
    assert (np.diff(values) <= 0).all()
    assert np.abs(np.diff(values, 2)).max() < 3e-4
    assert eased(math.nan, 0, 1) == 0
    assert eased(math.inf, 0, 1) == 1
