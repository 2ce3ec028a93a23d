"""A queue of requests, and a thread that synthesises patients from it."""

import queue
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pydantic import Field

from workflow_scripts.common.files import UserError, write_table
from workflow_scripts.common.settings import Section
from workflow_scripts.serve.choices import Limits
from workflow_scripts.synthesis.model import SynthesisModel
from workflow_scripts.synthesis.patient_batches import make_patients
from workflow_scripts.synthesis.request_table import CENTROID, PHANTOM
from workflow_scripts.synthesis.requests import complete, reason_to_refuse
from workflow_scripts.synthesis.settings import SamplingSettings

# Maximum length of the queue.
WAITING = 20


class Wish(Section):
    """A requested patient."""

    volume_ml: float = Field(gt=0, le=1000)
    centroid_mm: tuple[float, float, float]
    sphericity: float = Field(ge=0.05, le=1)
    anatomy: str = PHANTOM
    seed: int = Field(ge=0, lt=2**31)


class TooManyError(Exception):
    """The queue is full."""


@dataclass
class Job:
    """The state of a request: ``waiting``, ``running``, ``done``, or ``failed`` with a
    ``reason``."""

    number: int
    request: pd.DataFrame
    state: str = "waiting"
    reason: str = ""
    calls: int = 0
    row: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The patient's name."""
        return str(self.request["patient_id"].iloc[0])


class Studio:
    """A model, and the patients synthesised with it, in ``folder``.

    A wish must be within ``limits``, with a phantom's anatomy or one of the ``anatomies``.
    """

    def __init__(
        self,
        model: SynthesisModel,
        settings: SamplingSettings,
        folder: Path,
        limits: Limits,
        anatomies: Collection[str] = (),
    ) -> None:
        self.model, self.settings, self.folder = model, settings, folder
        self.limits, self.anatomies = limits, {PHANTOM, *anatomies}
        self.jobs: dict[int, Job] = {}
        self._queue: queue.Queue[Job] = queue.Queue(WAITING)
        model.generator.bundle.denoiser.register_forward_hook(self._count)
        self._running: Job | None = None
        self._asking = threading.Lock()
        threading.Thread(target=self._work, daemon=True).start()

    def completed(self, wish: Wish) -> pd.DataFrame:
        """A wish as a row of a table of requests."""
        places = dict(zip(CENTROID, wish.centroid_mm, strict=True))
        number = len(self.jobs) + 1
        row = {"patient_id": f"synthetic-{number:04d}", "seed": wish.seed, **places}
        row |= {"volume_ml": wish.volume_ml, "sphericity": wish.sphericity}
        row["anatomy"] = wish.anatomy
        return complete(pd.DataFrame([row]), self.model.generator.scaling, 0)

    def refusal(self, wish: Wish) -> str | None:
        """Why a wish is refused; empty if it is accepted."""
        # Any other name could be a folder on this machine.
        if wish.anatomy not in self.anatomies:
            return f"anatomy '{wish.anatomy}' is not one of those with which this page was started"
        if reason := self.limits.refusal(wish.volume_ml, wish.sphericity):
            return reason
        request = self.completed(wish).iloc[0]
        return reason_to_refuse(request, self.model.brain_for(request), self.model.codec.grid)

    def ask(self, wish: Wish) -> Job:
        """Append a wish to the queue. Raises ``UserError`` for one that is refused, and
        ``TooManyError``."""
        if reason := self.refusal(wish):
            raise UserError(reason)
        with self._asking:
            job = Job(len(self.jobs) + 1, self.completed(wish))
            self.jobs[job.number] = job
            try:
                self._queue.put_nowait(job)
            except queue.Full:
                del self.jobs[job.number]
                raise TooManyError from None
        return job

    def before(self, job: Job) -> int:
        """Number of requests before this one."""
        return sum(
            other.number < job.number and other.state in ("waiting", "running")
            for other in list(self.jobs.values())
        )

    def progress(self, job: Job) -> float:
        """Finished share of the current draw; each further draw starts at 0 again."""
        calls = self.settings.sampling_steps * (1 if self.settings.guidance == 1 else 2)
        return 1.0 if job.state == "done" else job.calls % calls / calls

    def patient(self, job: Job) -> Path:
        """Folder of a finished patient."""
        return self.folder / str(job.number) / "patients" / job.name

    def _count(self, *_) -> None:
        if self._running:
            self._running.calls += 1

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            job.state, self._running = "running", job
            try:
                self._make(job)
            except Exception as error:  # the thread continues with the next request
                job.state, job.reason = "failed", str(error) or type(error).__name__
            self._running = None

    def _make(self, job: Job) -> None:
        folder = self.folder / str(job.number)
        table = make_patients(job.request, self.model, self.settings, folder)
        job.row = table.iloc[0].to_dict()
        if job.row["outcome"] == "missing":
            job.state, job.reason = "failed", f"no tumour in {job.row['attempts']} draws"
            return
        write_table(job.request, self.patient(job) / "requests.tsv")
        job.state = "done"
