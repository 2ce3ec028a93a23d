"""How well synthetic tumours are those that were asked for."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.attributes import AXES

UNITS = {
    "volume_ml": "mL",
    **{f"centroid_{axis}_mm": "mm" for axis in AXES},
    "sphericity": "1",
}
NAN = float("nan")


def mean_or_nan(values: NDArray) -> float:
    """The mean, NaN where there is nothing to take it of."""
    return float(np.mean(values)) if len(values) else NAN


def fit_line(requested: NDArray, measured: NDArray) -> tuple[float, float]:
    """Slope and coefficient of determination R² of the least-squares line of measured on requested.

    R² is the share of the measured values' variance that the line explains, the square of
    Pearson's correlation. NaN where the requests do not differ or there are none; R² is 0 where
    the results do not differ.
    """
    if not len(requested):
        return NAN, NAN
    x, y = requested - np.mean(requested), measured - np.mean(measured)
    spread, variance = float(x @ x), float(y @ y)
    if spread == 0:
        return NAN, NAN
    slope = float(x @ y) / spread
    return slope, slope**2 * spread / variance if variance else 0.0


def adherence(
    requested: NDArray, measured: NDArray, permutations: int, seed: int
) -> dict[str, float]:
    """Slope, R², mean absolute error, and the mean R² when the requests are shuffled.

    ``requested`` and ``measured`` are (N,). R² of shuffled requests is what chance alone gives
    with so few requests.
    """
    slope, r2 = fit_line(requested, measured)
    rng = np.random.default_rng(seed)
    shuffled = [fit_line(rng.permutation(requested), measured)[1] for _ in range(permutations)]
    return {
        "slope": slope,
        "r2": r2,
        "mae": mean_or_nan(np.abs(measured - requested)),
        "r2_shuffled": float(np.mean(shuffled)),
    }


def centroid_distances(table: pd.DataFrame) -> NDArray[np.float64]:
    """Distances (N,) in mm of the measured from the requested centroids."""
    squares = [
        (table[f"measured_centroid_{axis}_mm"] - table[f"requested_centroid_{axis}_mm"]) ** 2
        for axis in AXES
    ]
    return np.sqrt(np.sum(squares, axis=0))


def split_adherence(table: pd.DataFrame, permutations: int, seed: int) -> list[dict]:
    """A row for each attribute, and one for the distance of the centroids, of one split.

    A request that gave no tumour counts with a volume of 0; it has no place and no shape, and
    ``n_requests`` of those rows is smaller for it. The distance has no slope and no R²; its
    ``mae`` is its mean.
    """
    made = table[table["measured_volume_ml"] > 0]
    rows = []
    for name, unit in UNITS.items():
        asked = table if name == "volume_ml" else made
        requested, measured = (
            asked[f"{side}_{name}"].to_numpy(float, copy=True) for side in ("requested", "measured")
        )
        result = adherence(requested, measured, permutations, seed)
        rows.append({"attribute": name, "unit": unit, "n_requests": len(asked), **result})
    distance = mean_or_nan(centroid_distances(made))
    result = {"slope": NAN, "r2": NAN, "mae": distance, "r2_shuffled": NAN}
    names = {"attribute": "centroid_distance_mm", "unit": "mm", "n_requests": len(made)}
    return [*rows, {**names, **result}]
