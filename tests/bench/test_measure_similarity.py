"""Own modalities fit, another patient's and turned ones do not, and the command says so."""

import numpy as np
import pandas as pd
from scipy import ndimage

from workflow_scripts.bench.measure_similarity import OTHER, OWN, TURNED, main, measure_all
from workflow_scripts.common.nifti import save_nifti

SHAPE, AFFINE = (60, 60, 60), np.diag([3.0, 3, 3, 1])


def write_patient(folder, seed: int) -> dict:
    """A skull-stripped ball of smooth noise, in two contrasts."""
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    inside = np.linalg.norm(np.indices(SHAPE).T - 29.5, axis=-1).T < 25
    texture = ndimage.gaussian_filter(noise, 1.5) * 4
    images = {"t1ce": 3 + texture, "flair": 3 - 0.7 * texture, "label": np.indices(SHAPE)[0] < 25}
    row = {"patient_id": f"p{seed}", "brain_mask": "", "label_scheme": "whole_tumour"}
    for name, values in images.items():
        row[name] = str(folder / f"{seed}_{name}.nii.gz")
        save_nifti((values * inside).astype(np.float32), AFFINE, row[name])
    return row


def test_what_belongs_together_is_told_from_what_does_not(tmp_path, capsys):
    table = pd.DataFrame([write_patient(tmp_path, seed) for seed in range(2)])
    found = measure_all(table, 2)
    lowest, highest = (found.groupby("kind")["similarity"].agg(f) for f in ("min", "max"))
    assert lowest[OWN] > 2 * max(highest[OTHER], highest[TURNED])
    table.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    main([str(tmp_path / "participants.tsv")])
    printed = capsys.readouterr().out
    assert printed.startswith(f"| {lowest[OWN]:.2f} to {highest[OWN]:.2f}, warned 0 of 2 |")
    assert printed.count("warned") == 3 and "of 1 |" in printed and "of 6 |" in printed
