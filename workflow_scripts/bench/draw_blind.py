"""Synthetic patients of a finished run and held-out phantoms in random order, for a blinded reader;
the key is printed, and written beside the picture.

    python -m workflow_scripts.bench.draw_blind results n8-s0 --out docs/blind.png
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.bench.sampler_candidates import held_out
from workflow_scripts.common.files import staged, write_text
from workflow_scripts.common.patients import Patient, patient_folders
from workflow_scripts.common.weights import load_config
from workflow_scripts.evaluation.figure_style import style
from workflow_scripts.evaluation.slice_figures import side_by_side
from workflow_scripts.phantoms.settings import PhantomSettings
from workflow_scripts.preprocess.make_phantoms import write_phantoms
from workflow_scripts.preprocess.settings import PreprocessSettings

EACH = 12
TITLE = "Which are synthetic?"


def shuffled(
    synthetic: list[Path], phantoms: list[Path], seed: int
) -> tuple[list[Path], list[int]]:
    """Patients of both groups in random order, with ``EACH`` randomly drawn synthetic ones, and the
    numbers, from 1, of the synthetic ones."""
    rng = np.random.default_rng(seed)
    drawn = [synthetic[k] for k in rng.choice(len(synthetic), EACH, replace=False)]
    both = [*((folder, True) for folder in drawn), *((folder, False) for folder in phantoms)]
    order = [both[k] for k in rng.permutation(len(both))]
    return [f for f, _ in order], [
        n for n, (_, is_synthetic) in enumerate(order, start=1) if is_synthetic
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of a finished run on phantoms")
    parser.add_argument("split", help="such as n8-s0")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = options.results / "synthesis" / options.split / "model"
    codec, config = Codec.load(model / "autoencoder"), load_config(model / "diffusion")
    with tempfile.TemporaryDirectory() as folder:
        names = held_out("report", EACH)
        write_phantoms(
            names,
            2,
            folder=Path(folder),
            seed=options.seed,
            modalities=codec.modalities,
            grid=codec.grid,
            phantom=PhantomSettings.model_validate(config["phantom"]),
            preprocess=PreprocessSettings.model_validate(config["preprocess"]),
        )
        synthetic = patient_folders(options.results / "synthesis" / options.split / "patients")
        if len(synthetic) < EACH:
            parser.error(f"{options.results} has {len(synthetic)} synthetic patients, not {EACH}")
        order, key = shuffled(synthetic, [Path(folder, name) for name in names], options.seed)
        patients = [Patient(each) for each in order]
        pairs = list(zip(patients[::2], patients[1::2], strict=True))
        image = codec.grid, codec.modalities, codec.labels
        with style():
            figure = side_by_side(pairs, *image, TITLE, ("", ""), contours=False, numbered=True)
            with staged(options.out) as temporary:
                figure.savefig(temporary, dpi=90, facecolor="black", metadata={"Software": None})
    text = f"Synthetic are {', '.join(map(str, key))}; the others are held-out phantoms."
    print(text)
    write_text(text + "\n", options.out.with_suffix(".txt"))


if __name__ == "__main__":
    main()
