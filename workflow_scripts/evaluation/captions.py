"""What each figure shows: for the report's page and for Snakemake's own report."""

CAPTIONS = {
    "dice_by_arm": "Dice of the test patients by arm: a dot a patient, the mean and its interval "
    "(over patients alone with fewer than three seeds). The table of test patients names them.",
    "dice_by_n": "Dice over the number of training patients, with intervals.",
    "requested_and_measured": "What was requested and what was measured at the first draw, "
    "before any selection; on the diagonal they agree. The volume's line is on logarithms.",
    "size_sweep": "Tumours of rising volume with one centroid. L and R are the patient's.",
    "place_sweep": "Tumours of one volume with several centroids. L and R are the patient's.",
    "real_and_synthetic": "Held-out patients, each beside the synthetic one nearest in tumour "
    "volume, in three planes. L and R are the patient's.",
    "synthetic_patients": "The first synthetic patients, unselected, without contours. L and R are "
    "the patient's.",
    "nearest_training_patients": "Synthetic patients that come nearest to a training patient, "
    "beside that one: copies would show here. L and R are the patient's.",
    "training_curves": "Losses and validation scores over the steps of training.",
}
