"""A request that nobody can meet is named by its row; odd but valid ones are taken."""

import io

import pandas as pd
import pytest

from workflow_scripts.common.files import UserError
from workflow_scripts.synthesis.request_table import check_own_requests, check_requests

HEAD = "volume_ml,centroid_x_mm,centroid_y_mm,centroid_z_mm"
GOOD = "30,-20,10,30"


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


BAD = {
    "no rows": (HEAD, "no rows"),
    "no volume": ("centroid_x_mm,centroid_y_mm,centroid_z_mm\n1,2,3", "volume_ml are missing"),
    "a volume in words": (f"{HEAD}\n{GOOD}\nlarge,1,2,3", "row 2: volume_ml is no number"),
    "an empty volume": (f"{HEAD}\n{GOOD}\n,1,2,3", "row 2: volume_ml is no number"),
    "no volume at all": (f"{HEAD}\n{GOOD}\n0,1,2,3", "row 2: volume_ml must be above 0"),
    "less than nothing": (f"{HEAD}\n-3,1,2,3", "row 1: volume_ml must be above 0"),
    "an infinite place": (f"{HEAD}\n{GOOD}\n5,inf,2,3", "row 2: centroid_x_mm is no number"),
    "a mistyped column": (f"{HEAD},spericity\n{GOOD},1", "'spericity' is unknown; is 'sphericity'"),
    "a sphericity above 1": (f"{HEAD},sphericity\n{GOOD},1.2", "row 1: sphericity must lie"),
    "a seed with a fraction": (f"{HEAD},seed\n{GOOD},1.5", "row 1: seed must be a whole number"),
    "a share above 1": (f"{HEAD},core_share\n{GOOD},30", "row 1: core_share must lie"),
    "more enhances than is core": (
        f"{HEAD},core_share,enhancing_share\n{GOOD},0.2,0.3", "enhancing_share is a part of core"
    ),
    "two of one name": (f"{HEAD},patient_id\n{GOOD},a\n{GOOD},a", "'a' occurs twice"),
    "a name with a folder": (f"{HEAD},patient_id\n{GOOD},../a", "row 1: patient_id '../a'"),
    "an anatomy that is none": (f"{HEAD},anatomy\n{GOOD},/nowhere", "row 1: anatomy '/nowhere'"),
    "a box without a side": (
        f"{HEAD},box_x_mm,box_y_mm,box_z_mm\n{GOOD},0,40,40", "row 1: box_x_mm must be above 0"
    ),
    "a tumour larger than its box": (
        f"{HEAD},box_x_mm,box_y_mm,box_z_mm\n{GOOD},20,20,20", "30 is more than its box of 8 mL"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_request_that_nobody_can_meet_is_named(case):
    text, words = BAD[case]
    with pytest.raises(UserError, match=rf"requests: .*{words}"):
        check_own_requests(table(text))


def test_the_workflow_s_own_requests_are_not_refused_for_their_box():
    """Ragged training tumours fill little of their box, tiny ones all of it, but for rounding."""
    text = f"{HEAD},box_x_mm,box_y_mm,box_z_mm\n1,1,2,3,90,60,50\n0.0270000001,1,2,3,3,3,3"
    check_requests(table(text))
    check_own_requests(table(text))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD},note\n{GOOD},first",
        f"{HEAD},box_x_mm,box_y_mm,box_z_mm\n{GOOD},40,40,40\n{GOOD},,,",
        f"{HEAD},core_share\n{GOOD},\n{GOOD},0.5",
        f"{HEAD},anatomy\n{GOOD},phantom",
        f"{HEAD}\n1e1,-20.5,1E1,+3",
    ],
)
def test_an_odd_but_valid_request_is_taken(text):
    check_own_requests(table(text))
