"""Captions of the figures, for the report and for Snakemake's own report."""

CAPTIONS = {
    "dice_by_arm": "Dice of the test patients by arm: one dot per patient, the mean and its "
    "interval (over patients only with fewer than three seeds). The table of test patients has "
    "their names.",
    "dice_by_n": "Dice over the number of training patients, with intervals.",
    "requested_and_measured": "Requested and measured attributes at the first draw, before any "
    "selection; on the diagonal they agree. The regression line of volumes is on logarithms.",
    "size_sweep": "Tumours of increasing volume at one centroid. L and R are the patient's.",
    "place_sweep": "Tumours of one volume at several centroids. L and R are the patient's.",
    "real_and_synthetic": "Held-out patients, each beside the synthetic patient with the closest "
    "tumour volume, in three planes. L and R are the patient's.",
    "synthetic_patients": "The first synthetic patients, unselected, without contours. L and R are "
    "the patient's.",
    "nearest_training_patients": "The synthetic patients nearest to a training patient, beside "
    "that patient: copies would be visible here. L and R are the patient's.",
    "training_curves": "Losses and validation scores over the training steps.",
}
