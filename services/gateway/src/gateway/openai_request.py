"""The body of `POST /v1/chat/completions`, as strictly as OpenAI's API reads it.

What is known is checked and goes to the provider as the caller sent it; what is not known is refused by name. What
Hopline can't keep its word on (`n` > 1, `store`) is refused too rather than ignored.

See: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from wire.contracts.chat import CompletionRequest, ModelName

MAX_MESSAGES = 5000
MAX_TOOLS = 200
MAX_STOPS = 16
OUR_OWN = frozenset({"messages", "model", "stream", "stream_options", "n", "store", "metadata"})
"""Fields that are answered here and not sent on."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class RefusalPart(_Strict):
    type: Literal["refusal"]
    refusal: str


class ImagePart(_Strict):
    type: Literal["image_url"]
    image_url: dict[str, Any]


class AudioPart(_Strict):
    type: Literal["input_audio"]
    input_audio: dict[str, Any]


class FilePart(_Strict):
    type: Literal["file"]
    file: dict[str, Any]


Part = Annotated[TextPart | RefusalPart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]
Content = str | list[Part]


class ChatMessage(_Strict):
    """One message of any role. What clients send back from an answer (`refusal`, `annotations`, …) is known too."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = None
    audio: dict[str, Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and (self.role != "assistant" or not (self.tool_calls or self.function_call)):
            raise ValueError("A message needs content; only an assistant's with tool_calls may be without.")
        return self

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


class FunctionTool(_Strict):
    type: Literal["function"]
    function: dict[str, Any]


class ChatCompletionRequest(_Strict):
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    store: Literal[False] | None = None
    metadata: dict[str, str] | None = None

    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    user: str | None = None
    verbosity: str | None = None

    @field_validator("messages")
    @classmethod
    def _no_nul(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        if any("\x00" in message.text for message in messages):
            raise ValueError("A message holds a NUL character.")
        return messages

    @property
    def text(self) -> str:
        """What the person said: the text of the last message that is theirs."""
        theirs = (message.text for message in reversed(self.messages) if message.role == "user")
        return next(theirs, "")

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def for_provider(self) -> CompletionRequest:
        sent = self.model_dump(mode="json", exclude_unset=True)
        messages: list[dict[str, Any]] = sent["messages"]
        parameters = {name: value for name, value in sent.items() if name not in OUR_OWN and value is not None}
        return CompletionRequest(messages=messages, parameters=parameters)
