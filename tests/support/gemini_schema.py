"""What Google publishes of a request to Gemini's models, as types: https://ai.google.dev/api/generate-content.

Written down from its reference, in the spelling that the reference has. A tool's own schema is left open, since it is
JSON Schema in one key and Google's form of it in another.
"""

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_STRICT = ConfigDict(extra="forbid", strict=True)


@with_config(_STRICT)
class Blob(TypedDict):
    mimeType: str
    data: str


@with_config(_STRICT)
class FunctionCall(TypedDict):
    id: NotRequired[str]
    name: str
    args: NotRequired[dict[str, Any]]


@with_config(_STRICT)
class FunctionResponsePart(TypedDict):
    inlineData: Blob


@with_config(_STRICT)
class FunctionResponse(TypedDict):
    id: NotRequired[str]
    name: str
    response: dict[str, Any]
    parts: NotRequired[list[FunctionResponsePart]]
    willContinue: NotRequired[bool]
    scheduling: NotRequired[str]


@with_config(_STRICT)
class Part(TypedDict):
    thought: NotRequired[bool]
    thoughtSignature: NotRequired[str]
    text: NotRequired[str]
    inlineData: NotRequired[Blob]
    functionCall: NotRequired[FunctionCall]
    functionResponse: NotRequired[FunctionResponse]
    fileData: NotRequired[dict[str, Any]]
    executableCode: NotRequired[dict[str, Any]]
    codeExecutionResult: NotRequired[dict[str, Any]]


@with_config(_STRICT)
class Content(TypedDict):
    parts: list[Part]
    role: NotRequired[str]


@with_config(_STRICT)
class FunctionDeclaration(TypedDict):
    name: str
    description: NotRequired[str]
    behavior: NotRequired[str]
    parameters: NotRequired[dict[str, Any]]
    parametersJsonSchema: NotRequired[dict[str, Any]]
    response: NotRequired[dict[str, Any]]
    responseJsonSchema: NotRequired[dict[str, Any]]


@with_config(_STRICT)
class Tool(TypedDict):
    functionDeclarations: NotRequired[list[FunctionDeclaration]]
    googleSearch: NotRequired[dict[str, Any]]
    googleSearchRetrieval: NotRequired[dict[str, Any]]
    codeExecution: NotRequired[dict[str, Any]]
    urlContext: NotRequired[dict[str, Any]]


@with_config(_STRICT)
class FunctionCallingConfig(TypedDict):
    mode: NotRequired[Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"]]
    allowedFunctionNames: NotRequired[list[str]]


@with_config(_STRICT)
class ToolConfig(TypedDict):
    functionCallingConfig: NotRequired[FunctionCallingConfig]
    retrievalConfig: NotRequired[dict[str, Any]]


@with_config(_STRICT)
class SafetySetting(TypedDict):
    category: str
    threshold: str


@with_config(_STRICT)
class ThinkingConfig(TypedDict):
    includeThoughts: NotRequired[bool]
    thinkingBudget: NotRequired[int]
    thinkingLevel: NotRequired[Literal["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"]]


@with_config(_STRICT)
class GenerationConfig(TypedDict):
    stopSequences: NotRequired[list[str]]
    responseMimeType: NotRequired[str]
    responseSchema: NotRequired[dict[str, Any]]
    responseJsonSchema: NotRequired[dict[str, Any]]
    responseModalities: NotRequired[list[Literal["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO"]]]
    candidateCount: NotRequired[int]
    maxOutputTokens: NotRequired[int]
    temperature: NotRequired[float]
    topP: NotRequired[float]
    topK: NotRequired[float]
    seed: NotRequired[int]
    presencePenalty: NotRequired[float]
    frequencyPenalty: NotRequired[float]
    responseLogprobs: NotRequired[bool]
    logprobs: NotRequired[int]
    enableEnhancedCivicAnswers: NotRequired[bool]
    speechConfig: NotRequired[dict[str, Any]]
    thinkingConfig: NotRequired[ThinkingConfig]
    imageConfig: NotRequired[dict[str, Any]]
    mediaResolution: NotRequired[str]


@with_config(_STRICT)
class GenerateContentRequest(TypedDict):
    model: NotRequired[str]
    contents: list[Content]
    tools: NotRequired[list[Tool]]
    toolConfig: NotRequired[ToolConfig]
    safetySettings: NotRequired[list[SafetySetting]]
    systemInstruction: NotRequired[Content]
    generationConfig: NotRequired[GenerationConfig]
    cachedContent: NotRequired[str]


@with_config(_STRICT)
class CountTokensRequest(TypedDict):
    contents: NotRequired[list[Content]]
    generateContentRequest: NotRequired[GenerateContentRequest]
