"""The report of a run."""

PAGE = ROOT / "workflow_scripts" / "report" / "page"
VIEWED = CONFIG.cohort.splits.viewed


rule write_report:
    input:
        summary=rules.write_summary.output.summary,
        figures=rules.draw_figures.output.figures,
        splits=f"{COHORT}/splits.tsv",
        problems=f"{COHORT}/problems.tsv",
        pictures=of_each_patient("picture.png"),
        natives=of_each_patient("native.json"),
        images=everybody("test", "image", splits=VIEWED),
        tests=everybody("test", "label", "attributes.tsv", splits=VIEWED),
        scores=rules.collect_scores.output.scores,
        predictions=expand(rules.predict_segmentation.output.predictions, split=VIEWED, arm=ARMS),
        synthetic=expand(rules.synthesise_patients.output.patients, split=SHOWN),
        attributes=expand(rules.synthesise_patients.output.attributes, split=SHOWN),
        neighbours=expand(rules.evaluate_quality.output.neighbours, split=SHOWN),
    output:
        report=report(
            directory(f"{RESULTS}/report"),
            htmlindex="index.html",
            category="Results",
            labels={"result": "report"},
            caption="../report/page.rst",
        ),
        provenance=f"{RESULTS}/evaluation/provenance/write_report.json",
    log:
        f"{LOGS}/evaluation/write_report.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/write_report.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 0.3),
        runtime=30,
    params:
        config=CONFIG.model_dump(mode="json"),
        benchmarks=BENCHMARKS,
        code=[code("report/write_report"), content(PAGE)],
    script:
        "../workflow_scripts/report/write_report.py"
