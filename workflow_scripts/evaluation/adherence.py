"""Agreement of synthetic tumours with their requests."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from workflow_scripts.common.attributes import AXES, SHARES

# Units of the comparison: "ratio", or the unit of the difference.
UNITS = {
    "volume_ml": "ratio",
    **{f"centroid_{axis}_mm": "mm" for axis in AXES},
    "sphericity": "1",
    **dict.fromkeys(SHARES, "1"),
}
# Volumes of small tumours (mL), which have separate rows: the attribute ``SMALL``.
SMALL, SMALL_ML = "small_volume_ml", (3.0, 10.0)
DISTANCE, MET = "centroid_distance_mm", "met"
# Prefixes in ``attributes.tsv`` of the first and of the selected draw.
DRAWS = {"first": "first", "kept": "measured"}
COLUMNS = (
    "attribute", "unit", "draw", "n_requests", "n_missing", "bias", "bias_low", "bias_high",
    "limit_low", "limit_high", "median", "p95", "slope", "r2", "r2_shuffled", "share",
)  # fmt: skip
NAN = float("nan")


def fit_line(requested: NDArray, measured: NDArray) -> tuple[float, float]:
    """Slope and coefficient of determination R² of the least-squares line of measured on requested.

    R² is the share of the measured values' variance that the line explains, the square of Pearson's
    correlation. NaN if there are no requests or they do not differ; R² is 0 if the results do not
    differ.
    """
    if not len(requested):
        return NAN, NAN
    x, y = requested - np.mean(requested), measured - np.mean(measured)
    spread, variance = float(x @ x), float(y @ y)
    if spread == 0:
        return NAN, NAN
    slope = float(x @ y) / spread
    return slope, slope**2 * spread / variance if variance else 0.0


def agreement(differences: NDArray, confidence: float) -> dict[str, float]:
    """Bias of ``differences`` (N,) and limits of agreement (Bland & Altman 1986,
    doi:10.1016/S0140-6736(86)90837-8).

    ``bias`` is the mean, ``bias_low`` and ``bias_high`` its t interval, ``limit_low`` and
    ``limit_high`` the mean ± z standard deviations, between which the share ``confidence`` of
    normally distributed differences lies. NaN if there are too few.
    """
    names = ("bias", "bias_low", "bias_high", "limit_low", "limit_high")
    count = len(differences)
    if count < 2:
        return {**dict.fromkeys(names, NAN), "bias": float(differences[0]) if count else NAN}
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    half = stats.t.ppf((1 + confidence) / 2, count - 1) * sd / np.sqrt(count)
    width = stats.norm.ppf((1 + confidence) / 2) * sd
    values = (mean, mean - half, mean + half, mean - width, mean + width)
    return dict(zip(names, map(float, values), strict=True))


def adherence(
    requested: NDArray,
    measured: NDArray,
    permutations: int,
    confidence: float,
    seed: int,
    ratio: bool = False,
) -> dict[str, float]:
    """Agreement of ``measured`` with ``requested`` (N,), their regression line, and R² by chance.

    Differences are measured − requested. With ``ratio`` everything is computed on logarithms, and
    bias, limits and median are ratios, measured / requested. ``r2_shuffled`` is the mean R² over
    ``permutations`` of the requests, as expected by chance for this sample size.
    """
    x, y = (np.log(values) if ratio else values for values in (requested, measured))
    statistics = agreement(y - x, confidence)
    statistics["median"] = float(np.median(y - x)) if len(x) else NAN
    if ratio:
        statistics = {name: float(np.exp(value)) for name, value in statistics.items()}
    slope, r2 = fit_line(x, y)
    rng = np.random.default_rng(seed)
    shuffled = [fit_line(rng.permutation(x), y)[1] for _ in range(permutations)]
    return {**statistics, "slope": slope, "r2": r2, "r2_shuffled": float(np.mean(shuffled))}


def centroid_distances(table: pd.DataFrame, side: str = "measured") -> NDArray[np.float64]:
    """Distances (N,) in mm of the measured from the requested centroids; NaN without a tumour.

    ``side`` is the prefix of the columns of the draw."""
    squares = [
        (table[f"{side}_centroid_{axis}_mm"] - table[f"requested_centroid_{axis}_mm"]) ** 2
        for axis in AXES
    ]
    return np.sqrt(np.sum(squares, axis=0))


def rows_with(table: pd.DataFrame, name: str, side: str = "requested") -> pd.DataFrame:
    """The rows in which an attribute has a value; none if the table lacks its column."""
    column = f"{side}_{name}"
    return table.dropna(subset=column) if column in table else table.iloc[:0]


def draw_adherence(
    table: pd.DataFrame, draw: str, permutations: int, confidence: float, seed: int
) -> list[dict]:
    """Rows with ``COLUMNS`` of one split's ``attributes.tsv`` for one of ``DRAWS``.

    There is a row for each attribute of ``UNITS`` that is requested and measured, one for small
    tumours (``SMALL``), one for the distance of the centroids (``DISTANCE``: ``median`` and
    ``p95``), and one for the share of requests that were met (``MET``: ``share``). A request
    without a tumour has no attributes: it counts in ``n_requests`` and in ``n_missing``, and is not
    met.
    """
    side = DRAWS[draw]
    sure = permutations, confidence, seed
    rows = []

    def add(
        attribute: str, unit: str, requests: pd.DataFrame, statistics: dict[str, float]
    ) -> None:
        absent = requests[f"{side}_volume_ml"] == 0
        if attribute in SHARES:  # a label with one region has none either
            absent |= requests[f"{side}_{attribute}"].isna()
        counts = {"n_requests": len(requests), "n_missing": int(absent.sum())}
        names = {"attribute": attribute, "unit": unit, "draw": draw, **counts}
        rows.append({**dict.fromkeys(COLUMNS, NAN), **names, **statistics})

    def compared(requests: pd.DataFrame, name: str) -> dict[str, float]:
        measured = rows_with(requests[requests[f"{side}_volume_ml"] > 0], name, side)
        pair = (
            measured[f"{which}_{name}"].to_numpy(float, copy=True) for which in ("requested", side)
        )
        return adherence(*pair, *sure, ratio=UNITS[name] == "ratio")

    for name, unit in UNITS.items():
        attribute_requests = rows_with(table, name)
        # Labels of whole tumours have no regions.
        if name not in SHARES or rows_with(attribute_requests, name, side).size:
            add(name, unit, attribute_requests, compared(attribute_requests, name))
    small = table[table["requested_volume_ml"].between(*SMALL_ML)]
    add(SMALL, UNITS["volume_ml"], small, compared(small, "volume_ml"))
    distances = centroid_distances(table, side)
    distances = distances[~np.isnan(distances)]
    quantiles = np.quantile(distances, (0.5, 0.95)) if len(distances) else (NAN, NAN)
    add(DISTANCE, "mm", table, dict(zip(("median", "p95"), map(float, quantiles), strict=True)))
    outcomes = table["first_outcome" if draw == "first" else "outcome"]
    add(MET, "1", table, {"share": float((outcomes == "met").mean()) if len(table) else NAN})
    return rows


def split_adherence(
    table: pd.DataFrame, permutations: int, confidence: float, seed: int
) -> list[dict]:
    """Rows with ``COLUMNS`` of one split's ``attributes.tsv``, of the first draws and then of the
    selected ones."""
    return [
        row for draw in DRAWS for row in draw_adherence(table, draw, permutations, confidence, seed)
    ]
