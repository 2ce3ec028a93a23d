"""A finished run in one file, to store, share and run again."""


rule archive_run:
    input:
        summary=rules.write_summary.output.summary,
        figures=rules.draw_figures.output.figures,
        report=rules.write_report.output.report,
        models=expand(rules.export_model.output.sampling, split=SPLITS),
    output:
        archive=f"{RESULTS}/archive/run.zip",
        provenance=f"{RESULTS}/archive/provenance/archive_run.json",
    log:
        f"{LOGS}/archive/archive_run.log",
    benchmark:
        f"{BENCHMARKS}/archive/archive_run.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=30,
    params:
        config=CONFIG.model_dump(mode="json"),
        project=str(ROOT),
        code=code("archive/archive_run"),
    script:
        "../workflow_scripts/archive/archive_run.py"
