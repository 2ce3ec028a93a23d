"""Tables, figures and a summary of all splits and arms."""

from workflow_scripts.evaluation.captions import CAPTIONS

EVALUATION = f"{RESULTS}/evaluation"
SHOWN = CONFIG.cohort.splits.shown


rule collect_scores:
    input:
        tables=expand(rules.score_segmentation.output.scores, split=SPLITS, arm=ARMS),
        splits=f"{COHORT}/splits.tsv",
        configs=expand(rules.train_segmentation.output.config, split=SPLITS, arm=ARMS),
    output:
        scores=report(
            f"{EVALUATION}/scores.csv",
            category="Results",
            labels={"result": "scores of each patient"},
            caption="../report/scores.rst",
        ),
        validation=f"{EVALUATION}/validation.csv",
        provenance=f"{EVALUATION}/provenance/collect_scores.json",
    log:
        f"{LOGS}/evaluation/collect_scores.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/collect_scores.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("evaluation/collect_scores"),
    script:
        "../workflow_scripts/evaluation/collect_scores.py"


rule compare_arms:
    input:
        scores=rules.collect_scores.output.scores,
        validation=rules.collect_scores.output.validation,
        others=[f"{run}/evaluation/scores.csv" for run in CONFIG.evaluation.other_runs],
    output:
        table=f"{EVALUATION}/comparisons.csv",
        provenance=f"{EVALUATION}/provenance/compare_arms.json",
    log:
        f"{LOGS}/evaluation/compare_arms.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/compare_arms.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        opponent=CONFIG.evaluation.opponent,
        other_runs=CONFIG.evaluation.other_runs,
        confidence=CONFIG.evaluation.confidence,
        seed_sd=CONFIG.evaluation.seed_sd,
        code=code("evaluation/compare_arms"),
    script:
        "../workflow_scripts/evaluation/compare_arms.py"


rule summarise_segmentation:
    input:
        scores=rules.collect_scores.output.scores,
        validation=rules.collect_scores.output.validation,
    output:
        csv=f"{EVALUATION}/segmentation.csv",
        markdown=f"{EVALUATION}/segmentation.md",
        latex=f"{EVALUATION}/segmentation.tex",
        provenance=f"{EVALUATION}/provenance/summarise_segmentation.json",
    log:
        f"{LOGS}/evaluation/summarise_segmentation.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/summarise_segmentation.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        opponent=CONFIG.evaluation.opponent,
        confidence=CONFIG.evaluation.confidence,
        seed_sd=CONFIG.evaluation.seed_sd,
        grid=GRID,
        code=code("evaluation/summarise_segmentation"),
    script:
        "../workflow_scripts/evaluation/summarise_segmentation.py"


rule evaluate_adherence:
    input:
        attributes=expand(rules.synthesise_patients.output.attributes, split=SPLITS),
    output:
        table=f"{EVALUATION}/adherence.csv",
        provenance=f"{EVALUATION}/provenance/evaluate_adherence.json",
    log:
        f"{LOGS}/evaluation/evaluate_adherence.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/evaluate_adherence.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        permutations=CONFIG.evaluation.permutations,
        confidence=CONFIG.evaluation.confidence,
        seed=CONFIG.seed,
        code=code("evaluation/evaluate_adherence"),
    script:
        "../workflow_scripts/evaluation/evaluate_adherence.py"


rule collect_reconstruction:
    input:
        expand(rules.reconstruct_patients.output.scores, split=SPLITS),
    output:
        table=f"{EVALUATION}/reconstruction.csv",
        provenance=f"{EVALUATION}/provenance/collect_reconstruction.json",
    log:
        f"{LOGS}/evaluation/collect_reconstruction.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/collect_reconstruction.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("evaluation/collect_reconstruction"),
    script:
        "../workflow_scripts/evaluation/collect_reconstruction.py"


rule evaluate_contrast:
    input:
        test=everybody("test", "image", "label", "foreground"),
        training=everybody("train", "image", "label", "foreground"),
        splits=f"{COHORT}/splits.tsv",
        reconstructions=expand(rules.reconstruct_patients.output.patients, split=SPLITS),
        synthetic=expand(rules.synthesise_patients.output.patients, split=SPLITS),
    output:
        table=f"{EVALUATION}/contrast.csv",
        provenance=f"{EVALUATION}/provenance/evaluate_contrast.json",
    log:
        f"{LOGS}/evaluation/evaluate_contrast.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/evaluate_contrast.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 0.3),
        runtime=60,
    params:
        ring_mm=CONFIG.evaluation.ring_mm,
        confidence=CONFIG.evaluation.confidence,
        splits=SPLITS,
        modalities=CONFIG.modalities,
        grid=GRID,
        code=code("evaluation/evaluate_contrast"),
    script:
        "../workflow_scripts/evaluation/evaluate_contrast.py"


# Patients to compare: the split's synthetic, reconstructed and real ones.
COMPARED = {
    "held_out": held_out("image"),
    "held_out_masks": held_out("label", "foreground"),
    "train": preprocessed("train"),
    "train_masks": preprocessed("train", "label", "foreground"),
    "reconstructions": rules.reconstruct_patients.output.patients,
    "synthetic": rules.synthesise_patients.output.patients,
    "autoencoder": rules.train_autoencoder.output.weights,
    "autoencoder_config": rules.train_autoencoder.output.config,
}


# Separate from the other measures, since it takes as long as all of them.
rule evaluate_two_sample:
    input:
        **COMPARED,
    output:
        table=f"{EVALUATION}/two_sample/{{split}}.csv",
        provenance=f"{EVALUATION}/provenance/evaluate_two_sample/{{split}}.json",
    log:
        f"{LOGS}/evaluation/evaluate_two_sample/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/evaluate_two_sample/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 1.0),
        runtime=120,
        gpu=1,
    params:
        classifier_steps=CONFIG.evaluation.classifier_steps,
        classifier_repeats=CONFIG.evaluation.classifier_repeats,
        confidence=CONFIG.evaluation.confidence,
        modalities=CONFIG.modalities,
        seed=CONFIG.seed,
        code=code("evaluation/evaluate_two_sample"),
    script:
        "../workflow_scripts/evaluation/evaluate_two_sample.py"


rule evaluate_quality:
    input:
        **COMPARED,
        attributes=rules.synthesise_patients.output.attributes,
    output:
        table=f"{EVALUATION}/quality/{{split}}.csv",
        neighbours=f"{EVALUATION}/neighbours/{{split}}.csv",
        provenance=f"{EVALUATION}/provenance/evaluate_quality/{{split}}.json",
    log:
        f"{LOGS}/evaluation/evaluate_quality/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/evaluate_quality/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 1.0),
        runtime=120,
        gpu=1,
    params:
        ring_mm=CONFIG.evaluation.ring_mm,
        confidence=CONFIG.evaluation.confidence,
        modalities=CONFIG.modalities,
        grid=GRID,
        seed=CONFIG.seed,
        judge=JUDGE,
        code=code("evaluation/evaluate_quality"),
    script:
        "../workflow_scripts/evaluation/evaluate_quality.py"


rule collect_quality:
    input:
        tables=expand(
            [rules.evaluate_two_sample.output.table, rules.evaluate_quality.output.table],
            split=SPLITS,
        ),
    output:
        table=f"{EVALUATION}/quality.csv",
        provenance=f"{EVALUATION}/provenance/collect_quality.json",
    log:
        f"{LOGS}/evaluation/collect_quality.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/collect_quality.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        code=code("evaluation/collect_quality"),
    script:
        "../workflow_scripts/evaluation/collect_quality.py"


rule evaluate_memory:
    input:
        **training_volumes(),
        synthetic=rules.synthesise_patients.output.patients,
        made=rules.synthesise_patients.output.attributes,
    output:
        table=f"{EVALUATION}/memory/{{split}}.csv",
        provenance=f"{EVALUATION}/provenance/evaluate_memory/{{split}}.json",
    log:
        f"{LOGS}/evaluation/evaluate_memory/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/evaluate_memory/{{split}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 1.5),
        runtime=120,
        gpu=1,
    params:
        code=code("evaluation/evaluate_memory"),
    script:
        "../workflow_scripts/evaluation/evaluate_memory.py"


rule collect_memory:
    input:
        tables=expand(rules.evaluate_memory.output.table, split=SPLITS),
    output:
        table=f"{EVALUATION}/memory.csv",
        provenance=f"{EVALUATION}/provenance/collect_memory.json",
    log:
        f"{LOGS}/evaluation/collect_memory.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/collect_memory.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        splits=SPLITS,
        code=code("evaluation/collect_memory"),
    script:
        "../workflow_scripts/evaluation/collect_memory.py"


rule draw_figures:
    input:
        autoencoder=expand(rules.train_autoencoder.output.history, split=SPLITS),
        diffusion=expand(rules.train_diffusion.output.history, split=SPLITS),
        segmentation=expand(rules.train_segmentation.output.history, split=SPLITS, arm=ARMS),
        images=everybody("test", "image", splits=[SHOWN]),
        masks=everybody("test", "label", "brain", splits=[SHOWN]),
        synthetic=expand(rules.synthesise_patients.output.patients, split=SHOWN),
        neighbours=expand(rules.evaluate_quality.output.neighbours, split=SHOWN),
        training=everybody("train", "image", "label", "brain", splits=[SHOWN]),
        attributes=expand(rules.synthesise_patients.output.attributes, split=SPLITS),
        sweep=expand(rules.synthesise_sweep.output.patients, split=SHOWN),
        sweep_attributes=expand(rules.synthesise_sweep.output.attributes, split=SHOWN),
        scores=rules.collect_scores.output.scores,
    output:
        figures=report(
            directory(f"{EVALUATION}/figures"),
            patterns=["{name}.png"],
            category="Figures",
            labels={"figure": "{name}"},
            caption="../report/figures.rst",
        ),
        provenance=f"{EVALUATION}/provenance/draw_figures.json",
    log:
        f"{LOGS}/evaluation/draw_figures.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/draw_figures.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 0.3),
        runtime=30,
    params:
        confidence=CONFIG.evaluation.confidence,
        splits=SPLITS,
        shown=SHOWN,
        arms=ARMS,
        modalities=CONFIG.modalities,
        labels=CONFIG.labels,
        captions=CAPTIONS,
        grid=GRID,
        phantoms=CONFIG.cohort.made,
        code=code("evaluation/draw_figures"),
    script:
        "../workflow_scripts/evaluation/draw_figures.py"


rule write_summary:
    input:
        scores=rules.collect_scores.output.scores,
        comparisons=rules.compare_arms.output.table,
        markdown=rules.summarise_segmentation.output.markdown,
        attributes=expand(rules.synthesise_patients.output.attributes, split=SPLITS),
        sweeps=expand(rules.synthesise_sweep.output.attributes, split=SPLITS),
        adherence=rules.evaluate_adherence.output.table,
        reconstruction=rules.collect_reconstruction.output.table,
        contrast=rules.evaluate_contrast.output.table,
        quality=rules.collect_quality.output.table,
        memory=rules.collect_memory.output.table,
    output:
        summary=report(
            f"{EVALUATION}/summary.md",
            category="Results",
            labels={"result": "summary"},
            caption="../report/summary.rst",
        ),
        provenance=f"{EVALUATION}/provenance/write_summary.json",
    log:
        f"{LOGS}/evaluation/write_summary.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/write_summary.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        confidence=CONFIG.evaluation.confidence,
        opponent=CONFIG.evaluation.opponent,
        seed_sd=CONFIG.evaluation.seed_sd,
        splits=SPLITS,
        phantoms=CONFIG.cohort.made,
        model=CONFIG.synthesis.model,
        priors=[CONFIG.autoencoder.prior, CONFIG.diffusion.prior],
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output.summary)),
        code=code("evaluation/write_summary"),
    script:
        "../workflow_scripts/evaluation/write_summary.py"
