"""The base of every section of the configuration."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of ``config.yaml``: unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def part(self, kind: "type[Section]") -> dict:
        """The values that a smaller section has too, for a job that depends on those alone."""
        return self.model_dump(mode="json", include=set(kind.model_fields))
