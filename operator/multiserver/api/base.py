"""The base of every type in the resource: camelCase on the wire, snake_case in Python, nothing unknown."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A part of the resource. Immutable; unknown fields are refused, as the API server prunes or refuses them."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    def wire(self) -> dict[str, object]:
        """Give this part as the API carries it: camelCase, JSON values, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Message(Model):
    """What one part of the product tells another, perhaps of another version: fields it does not know are no fault.

    An operator tells sites whose image is older, since its upgrade restarts none, and reads what newer ones report.
    """

    model_config = ConfigDict(extra="ignore")


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


Moment = Annotated[datetime, AfterValidator(_whole_seconds)]
"""A time as the status tells it: UTC, whole seconds."""
