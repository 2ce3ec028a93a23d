"""Time and memory by rule, from the files that Snakemake writes."""

from workflow_scripts.report.usage import usage

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_jobs_of_a_rule_are_added_up(tmp_path):
    for name, seconds, memory in (
        ("preprocess/preprocess_patient/a", 10.5, 400),
        ("preprocess/preprocess_patient/b", 12.0, 300),
        ("cohort/draw_splits", 1.0, 90),
    ):
        file = tmp_path / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{HEAD}{seconds}\t0:00:01\t{memory}\t0\t0\t0\t0\t0\t0\t0\n")
    table = usage(tmp_path)
    assert table.to_dict("list") == {
        "stage": ["preprocess", "cohort"],
        "rule": ["preprocess_patient", "draw_splits"],
        "jobs": [2, 1],
        "seconds": [22.5, 1.0],
        "longest_s": [12.0, 1.0],
        "peak_mb": [400, 90],
    }


def test_a_run_without_benchmarks_has_an_empty_table(tmp_path):
    assert usage(tmp_path).empty
