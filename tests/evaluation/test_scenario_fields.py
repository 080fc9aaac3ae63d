"""Fields of a scenario as they are written on the command line."""

from __future__ import annotations

import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.scenario_fields import read_fields


def test_values_have_the_types_of_the_fields():
    assert dict(read_fields("Crowd", ["people=4", "duration_s=10", "reward=sparse"])) == {
        "people": 4,
        "duration_s": 10.0,
        "reward": "sparse",
    }
    assert read_fields("Warehouse", ["intruder=none"]) == (("intruder", "none"),)
    assert read_fields("DoorsAndDrawers", ['kinds=["drawer"]']) == (("kinds", ("drawer",)),)


@pytest.mark.parametrize(
    ("scenario", "written", "error", "says"),
    [
        ("Crowd", "peple=4", UnknownNameError, "unknown field of scenario Crowd 'peple'. Did you mean 'people'"),
        ("Crowd", "people", ConfigurationError, "expected FIELD=VALUE"),
        ("Crowd", "people=many", ConfigurationError, "expected a whole number; it is 8 unless set"),
        ("Crowd", "people=2.5", ConfigurationError, "expected a whole number"),
        ("Crowd", "duration_s=1 min", ConfigurationError, "expected a number"),
        ("Crowd", "people=99", ConfigurationError, "expected 0 to 24"),
        ("Crowd", "reward=dens", UnknownNameError, "Did you mean 'dense'"),
        ("Crwd", "people=4", UnknownNameError, "unknown scenario 'Crwd'. Did you mean 'Crowd'"),
    ],
)
def test_a_field_that_cannot_be_set_is_an_error_that_says_what_to_write(scenario, written, error, says):
    with pytest.raises(error, match=says):
        read_fields(scenario, [written])
