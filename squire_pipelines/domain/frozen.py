"""The base classes of the domain's models: values that never change and have no fields but their own."""

from pydantic import BaseModel, ConfigDict, JsonValue, SerializerFunctionWrapHandler, model_serializer


class FrozenModel(BaseModel):
    """A value that does not change; a field that the class does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SparseModel(FrozenModel):
    """A value whose JSON leaves out what is not known (None)."""

    @model_serializer(mode="wrap")
    def _known_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        return {name: value for name, value in serialize(self).items() if value is not None}
