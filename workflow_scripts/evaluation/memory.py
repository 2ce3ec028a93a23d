"""Whether a generator copies its training data: distances to all of it, including warped copies,
and a verdict.

A copy is hardly ever identical to a training image. The denoiser is trained on latents of warped
and mirrored copies of the training patients with changed contrast, and decoding changes them again.
So patients are encoded and compared with every latent that the denoiser was trained on. Held-out
patients, decoded and encoded once like synthetic ones, show which distances are usual without
copying.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from workflow_scripts.common.patients import Patient
from workflow_scripts.common.stored import StoredRows, pack_mask, unpack_mask

# Probability of a false alarm in a split: that a synthetic patient is wrongly called a copy, and
# that too many are called nearer than expected by chance.
ALPHA = 0.01
# Number of patients that are held in memory and compared at once; the training latents are read
# once for each such group.
AT_ONCE = 64
# Longest side of the compared tumour masks; larger ones are subsampled.
LONGEST = 64
# A tumour with a higher Dice to a training tumour counts as the same tumour.
SAME_TUMOUR = 0.9
# Number of decoded training latents to test the check, and the share that it must detect.
PLANTED = 8
SEEN = 0.75
# A copy's distance is below this share of the held-out median, however many held-out patients there
# are: a few distances do not determine the tail.
LARGEST_SHARE = 0.8
# Fewer held-out patients do not determine a spread.
FEWEST_HELD_OUT = 3

GROUPS = ("synthetic", "held-out", "planted")
KINDS = ("latent", "mask")
COLUMNS = [
    "patient_id",
    *(f"latent_{part}" for part in ("patient", "copy", "mirrored", "distance", "sd")),
    *(f"mask_{part}" for part in ("patient", "copy", "mirrored", "distance")),
]
DERIVED = "derived by design"
NOT_KNOWN = "not known: the model folder has no training latents"


@dataclass(frozen=True)
class Trained:
    """The training data of a denoiser.

    ``latents`` are (N, C, X/d, Y/d, Z), ``tumours`` nested masks packed by ``pack_mask``, the whole
    tumour first, and ``items`` has the columns patient_id and copy; copy 0 is the patient.
    ``brain`` is the mask (X, Y, Z) in which latents are compared.
    """

    latents: StoredRows
    tumours: StoredRows
    items: pd.DataFrame
    brain: NDArray[np.bool_]

    def tumour(self, index: int) -> NDArray[np.bool_]:
        """Mask (X, Y, Z) of an item's whole tumour."""
        return unpack_mask(self.tumours[index], self.brain.shape)


@dataclass(frozen=True)
class Encoded:
    """A patient to compare, unchanged and mirrored in x: latents (2, C, X/d, Y/d, Z) and masks of
    the whole tumour (2, X, Y, Z)."""

    name: str
    latents: NDArray[np.float32]
    tumours: NDArray[np.bool_]


def encoded(name: str, image: NDArray, label: NDArray, codec) -> Encoded:
    """Encode a patient's image (M, X, Y, Z) with its label (X, Y, Z), unchanged and mirrored.

    Half of a denoiser's training copies are mirrored. An encoder is only approximately equivariant
    to mirroring, so mirroring the latents is not enough.
    """
    pairs = [(image, label), (image[:, ::-1], label[::-1])]
    latents = [codec.encode(*map(np.ascontiguousarray, pair)) for pair in pairs]
    return Encoded(name, np.stack(latents), np.stack([pair[1] > 0 for pair in pairs]))


def encode_folder(folder: str | Path, codec) -> Encoded:
    """Encode the patient in a folder."""
    patient = Patient(folder)
    return encoded(patient.patient_id, patient.image(), patient.label(), codec)


def encode_item(trained: Trained, index: int, codec) -> Encoded:
    """Decode a training latent, and encode it like a synthetic patient: a perfect copy."""
    image, label, _ = codec.decode(trained.latents[index].astype(np.float32))
    item = trained.items.iloc[index]
    return encoded(f"{item['patient_id']}, copy {item['copy']}", image, label, codec)


def cells(mask: NDArray[np.bool_], latent_shape: Sequence[int], least: float) -> NDArray[np.bool_]:
    """Latent elements (h, w, Z) of which more than ``least`` lies in a mask (X, Y, Z)."""
    h, w, z = latent_shape
    shape = (h, mask.shape[0] // h, w, mask.shape[1] // w, z)
    return mask.reshape(shape).mean((1, 3)) > least


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (…, X, Y, Z) on a grid of at most ``LONGEST`` voxels a side."""
    every = -(-max(mask.shape[-3:]) // LONGEST)
    part = (..., *(slice(None, None, every),) * 3)
    return mask[part]


@dataclass(frozen=True)
class Space:
    """The space in which latents are compared: the elements in the ``brain`` (h, w, Z), minus the
    training ``mean`` (C, n), in units of each channel's standard deviation ``sd`` (C, 1)."""

    brain: NDArray[np.bool_]
    mean: NDArray[np.float32]
    sd: NDArray[np.float32]

    def __call__(self, latent: NDArray) -> NDArray[np.float32]:
        """Latents (…, C, h, w, Z) as (…, C, n)."""
        return (latent[..., self.brain].astype(np.float32) - self.mean) / self.sd


def fit_space(trained: Trained) -> Space:
    """The space of the training latents, which are read one after another."""
    brain = cells(trained.brain, trained.latents.shape[2:], 0.5)
    total, squares = 0.0, 0.0
    for index in range(len(trained.latents)):
        inside = trained.latents[index][:, brain].astype(float)
        total, squares = total + inside, squares + inside**2
    mean = total / len(trained.latents)
    variance = (squares / len(trained.latents) - mean**2).mean(1, keepdims=True)
    sd = np.sqrt(np.maximum(variance, 1e-12))
    return Space(brain, mean.astype(np.float32), sd.astype(np.float32))


class LatentDistance:
    """Distances of patients' latents to a training latent, without the tumours of either.

    The distance is the root mean square difference over channels and latent elements in the brain,
    in standard deviations of the channels: ``sqrt(Σ u (q − t)² / Σ u)`` with ``u`` = 1 where
    neither has a tumour. Synthetic tumours are requested near training tumours, which is no
    copying.
    """

    def __init__(self, patients: Sequence[Encoded], space: Space) -> None:
        latents = np.stack([space(patient.latents) for patient in patients])
        free = np.stack([[self.free(t, space) for t in patient.tumours] for patient in patients])
        # The two orientations are separate rows.
        self.free_of = free.reshape(-1, free.shape[-1]).astype(np.float32)
        values = latents.reshape(len(self.free_of), -1, free.shape[-1])
        self.squares = (values**2).sum(1) * self.free_of
        self.values = (values * self.free_of[:, None]).reshape(len(values), -1)
        self.space = space

    @staticmethod
    def free(tumour: NDArray[np.bool_], space: Space) -> NDArray[np.bool_]:
        """Elements in the brain without any tumour, (n,)."""
        return ~cells(tumour, space.brain.shape, 0)[space.brain]

    def __call__(self, latent: NDArray, tumour: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Distances (patients, 2) to a latent (C, h, w, Z) whose tumour is (X, Y, Z)."""
        free = self.free(tumour, self.space).astype(np.float32)
        values = self.space(latent) * free
        total = self.squares @ free + self.free_of @ (values**2).sum(0)
        total = total - 2 * (self.values @ values.ravel())
        count = len(values) * np.maximum(self.free_of @ free, 1)
        return np.sqrt(np.maximum(total / count, 0)).astype(float).reshape(-1, 2)


class MaskDistance:
    """1 − Dice of patients' tumours and a training tumour."""

    def __init__(self, patients: Sequence[Encoded]) -> None:
        masks = np.stack([thinned(patient.tumours) for patient in patients])
        self.bits = np.packbits(masks.reshape(2 * len(patients), -1), axis=1)
        self.sizes = np.bitwise_count(self.bits).sum(1, dtype=int)

    def __call__(self, tumour: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Distances (patients, 2) to a mask (X, Y, Z); 0 where both are empty."""
        bits = pack_mask(thinned(tumour))
        shared = np.bitwise_count(self.bits & bits).sum(1, dtype=int)
        total = self.sizes + np.bitwise_count(bits).sum(dtype=int)
        return (1 - np.where(total, 2 * shared / np.maximum(total, 1), 1.0)).reshape(-1, 2)


class Nearest:
    """The nearest of a sequence of items, and the mean distance to all of them."""

    def __init__(self, patients: int) -> None:
        self.item = np.zeros(patients, int)
        self.mirrored = np.zeros(patients, bool)
        self.distance = np.full(patients, np.inf)
        self.total, self.seen = np.zeros(patients), 0

    def see(self, item: int, distances: NDArray) -> None:
        """Add the distances (patients, 2) to another item, unchanged and mirrored."""
        least, side = distances.min(1), distances.argmin(1)
        nearer = least < self.distance
        self.item[nearer], self.mirrored[nearer] = item, side[nearer] > 0
        self.distance = np.minimum(self.distance, least)
        self.total, self.seen = self.total + distances.mean(1), self.seen + 1

    @property
    def relative(self) -> NDArray[np.float64]:
        """The smallest distance over the mean distance."""
        return self.distance / np.maximum(self.total / max(self.seen, 1), 1e-12)


def _compare(patients: Sequence[Encoded], trained: Trained, space: Space) -> pd.DataFrame:
    latent_distance, mask_distance = LatentDistance(patients, space), MaskDistance(patients)
    latent, mask = Nearest(len(patients)), Nearest(len(patients))
    for index in range(len(trained.latents)):
        tumour = trained.tumour(index)
        latent.see(index, latent_distance(trained.latents[index], tumour))
        mask.see(index, mask_distance(tumour))
    names, copies = (trained.items[name].to_numpy() for name in ("patient_id", "copy"))
    columns = [[patient.name for patient in patients]]
    columns += [names[latent.item], copies[latent.item], latent.mirrored]
    columns += [latent.relative, latent.distance]
    columns += [names[mask.item], copies[mask.item], mask.mirrored, mask.distance]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def nearest_items(
    patients: Sequence[Callable[[], Encoded]], trained: Trained, space: Space
) -> pd.DataFrame:
    """The nearest training item of a denoiser for each patient, by latents and by tumours.

    ``patients`` return an encoded patient when called, so that ``AT_ONCE`` of them and one training
    item are held in memory. There is one row per patient with the columns ``COLUMNS``:
    ``latent_sd`` is the distance of ``LatentDistance``, and ``latent_distance`` its ratio to the
    mean distance to all training items, so that smooth images, which are nearer to everything, do
    not count as copies (Carlini et al. 2023 divide by the mean distance to the nearest ones).
    ``mask_distance`` is 1 − Dice.
    """
    parts = [
        _compare([make() for make in patients[first : first + AT_ONCE]], trained, space)
        for first in range(0, len(patients), AT_ONCE)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def copy_limit(held_out: NDArray, draws: int, alpha: float = ALPHA) -> float:
    """The distance below which a patient counts as a copy.

    The logarithms of the ``held_out`` distances (H,) are assumed to be a normal sample with mean m
    and standard deviation s. Let t be the quantile of Student's distribution with H − 1 degrees of
    freedom at ``alpha / draws``. Another distance of the same distribution lies below ``exp(m + t s
    sqrt(1 + 1/H))`` with probability ``alpha / draws``, and any of ``draws`` distances with at most
    ``alpha`` (Bonferroni). It is at most ``LARGEST_SHARE`` of the median, and NaN for fewer than
    ``FEWEST_HELD_OUT`` distances.
    """
    count = len(held_out)
    if count < FEWEST_HELD_OUT:
        return float("nan")
    logs = np.log(np.maximum(held_out, 1e-9))
    t = stats.t.ppf(alpha / max(draws, 1), count - 1)
    limit = logs.mean() + t * logs.std(ddof=1) * np.sqrt(1 + 1 / count)
    return float(min(np.exp(limit), LARGEST_SHARE * np.median(held_out)))


def nearer_p(nearer: int, synthetic: int, held_out: int) -> float:
    """The probability that at least ``nearer`` of the synthetic patients are nearer than every
    held-out one, if all are exchangeable.

    The ``nearer`` smallest of all distances are then those of synthetic patients: ``C(S, k) /
    C(S + H, k)``.
    """
    places = np.arange(nearer)
    return float(np.prod((synthetic - places) / (synthetic + held_out - places)))


def flagged(table: pd.DataFrame) -> pd.DataFrame:
    """Add flags to rows of ``nearest_items`` that have a ``group`` (of ``GROUPS``).

    ``is_copy``: the latent distance is below ``copy_limit``. ``latent_nearer`` and ``mask_nearer``:
    the distance is smaller than that of every held-out patient. ``same_tumour``: the tumour has a
    Dice above ``SAME_TUMOUR`` to a training tumour.
    """
    table = table.copy()
    held_out = table[table["group"] == "held-out"]
    draws = int((table["group"] == "synthetic").sum())
    limit = copy_limit(held_out["latent_distance"].to_numpy(float), draws)
    table["is_copy"] = table["latent_distance"] < limit
    for kind in KINDS:
        table[f"{kind}_nearer"] = table[f"{kind}_distance"] < held_out[f"{kind}_distance"].min()
    table["same_tumour"] = 1 - table["mask_distance"] > SAME_TUMOUR
    return table


def judge(table: pd.DataFrame) -> dict[str, float | str]:
    """The verdict for a split's flagged rows, and the numbers behind it.

    - **copies**: at least one synthetic patient is a copy;
    - **no copies seen**: there is none, the check detects decoded training latents (``planted``),
      and no more synthetic patients than expected by chance are nearer than every held-out one;
    - **not decided**: anything else;
    - **not known**: the patients are from another run's model, without training latents;
    - **derived by design**: patients have the anatomies of training patients (``derived``), so
      latents are similar by construction, and no tumour is a training tumour; else **copies**.

    Tumours are not used otherwise, since they are requested near the centroids and volumes of
    training tumours.
    """
    synthetic, held_out, planted = (table[table["group"] == name] for name in GROUPS)
    if synthetic.empty and "is_copy" not in table:
        return {"verdict": "not known", "reason": NOT_KNOWN, "synthetic": 0}
    if synthetic["latent_distance"].isna().any():
        return {"verdict": "not known", "reason": NOT_KNOWN, "synthetic": len(synthetic)}
    row = {
        "synthetic": len(synthetic),
        "held_out": len(held_out),
        "planted": len(planted),
        "limit": copy_limit(held_out["latent_distance"].to_numpy(float), len(synthetic)),
        "copies": int(synthetic["is_copy"].sum()),
        "planted_seen": int(planted["is_copy"].sum()),
        "expected_share": 1 / (len(held_out) + 1),
    }
    for kind in KINDS:
        nearer = int(synthetic[f"{kind}_nearer"].sum())
        row[f"{kind}_nearer"] = nearer
        row[f"{kind}_nearer_share"] = nearer / len(synthetic) if len(synthetic) else float("nan")
        row[f"{kind}_nearer_p"] = nearer_p(nearer, len(synthetic), len(held_out))
        for name, group in (("synthetic", synthetic), ("held_out", held_out), ("planted", planted)):
            row[f"{kind}_median_{name}"] = float(group[f"{kind}_distance"].median())
    row["same_tumours"] = int(synthetic["same_tumour"].sum())
    if "derived" in synthetic and synthetic["derived"].astype(bool).any():
        verdict = ("copies", "of tumours") if row["same_tumours"] else (DERIVED, "")
        return dict(zip(("verdict", "reason"), verdict, strict=True)) | row
    return dict(zip(("verdict", "reason"), _verdict(row), strict=True)) | row


def _verdict(row: dict) -> tuple[str, str]:
    """The verdict, with the reason if it is not decided."""
    if not row["synthetic"]:
        return "not decided", "there is no synthetic patient"
    if np.isnan(row["limit"]):
        return "not decided", f"{row['held_out']} held-out patients are too few for a comparison"
    if row["copies"]:
        return "copies", ""
    if row["planted_seen"] < max(SEEN * row["planted"], 1):
        return "not decided", "with these held-out patients planted copies are not detected"
    if row["latent_nearer_p"] < ALPHA:
        return "not decided", "none is a copy, but too many are nearer than every held-out patient"
    return "no copies seen", ""


def memory_text(table: pd.DataFrame) -> str:
    """Lines for the summary on a table with one row of ``judge`` for each split: the verdict, how
    many are nearer than held-out patients, and tumours."""
    known = table[table["verdict"] != "not known"]
    if known.empty:
        return f"- Copies of training patients: **{NOT_KNOWN}**.\n"
    parts = []
    for verdict in ("copies", "not decided", DERIVED, "no copies seen"):
        rows = known[known["verdict"] == verdict]
        if len(rows):
            where = f" in {len(rows)} of {len(table)} splits" if len(table) > 1 else ""
            # A column without any reason is read as missing numbers.
            reason = rows["reason"].iloc[0]
            why = f" ({reason})" if isinstance(reason, str) and reason else ""
            parts.append(f"**{verdict}**{where}{why}")
    counted = ["synthetic", "copies", "planted", "planted_seen", "same_tumours"]
    total = known[counted].sum().astype(int)
    nearer, tumours = (
        f"{known[f'{kind}_nearer'].sum() / max(total['synthetic'], 1):.0%}" for kind in KINDS
    )
    return (
        f"- Copies of training patients: {', '.join(parts)}. {total['copies']} of "
        f"{total['synthetic']} synthetic patients are copies of a volume that the denoiser was "
        f"trained on, augmented ones included. Of {total['planted']} such volumes, decoded to test "
        f"the check, it sees {total['planted_seen']}.\n"
        f"- {nearer} of the synthetic patients are nearer to a training volume than every held-out "
        f"patient is; {known['expected_share'].mean():.0%} are expected where nothing is copied.\n"
        f"- {tumours} of the synthetic tumours are nearer to a training tumour than every held-out "
        "tumour is: they are requested near training tumours. With a Dice above "
        f"{SAME_TUMOUR} to one: {total['same_tumours']} of {total['synthetic']}.\n"
    )
