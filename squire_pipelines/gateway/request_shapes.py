"""What a request to a model may contain, as data: for each path the keys that are known, with what they may be.

Sources: the providers' published interfaces (https://platform.openai.com/docs/api-reference,
https://docs.anthropic.com/en/api/messages, https://ai.google.dev/api/generate-content) and what the agents' programs
send. A key belongs here when the provider answers it from the request alone. What makes the provider fetch, run, store
or look up something for the agent, or answer with another model or at another price, does not: remote tools,
containers, stored files, prompts, items and conversations, URLs, other models, service tiers. Limits on the answer are
`request_body`'s.
"""

from collections.abc import Mapping
from functools import lru_cache

from squire_pipelines.gateway import chat_shapes, gemini_shapes, messages_shapes, responses_shapes
from squire_pipelines.gateway.rules import (
    CHAT_PATH,
    COUNT_PATH,
    GEMINI_COUNT_PATH,
    GENERATE_PATH,
    MESSAGES_PATH,
    RESPONSES_PATH,
    STREAM_PATH,
)
from squire_pipelines.gateway.shapes import Record


@lru_cache(maxsize=2)
def request_shapes(*, web_search: bool) -> Mapping[str, Record]:
    """Return the shape of the body of each path that takes one; the model and limits on the answer are not in it."""
    return {
        CHAT_PATH: chat_shapes.chat_shape(web_search=web_search),
        RESPONSES_PATH: responses_shapes.responses_shape(web_search=web_search),
        MESSAGES_PATH: messages_shapes.messages_shape(web_search=web_search, counting=False),
        COUNT_PATH: messages_shapes.messages_shape(web_search=web_search, counting=True),
        **dict.fromkeys((GENERATE_PATH, STREAM_PATH), gemini_shapes.gemini_shape(web_search=web_search)),
        GEMINI_COUNT_PATH: gemini_shapes.gemini_count_shape(web_search=web_search),
    }


# Which kinds of tools are a search of the web by the provider.
SEARCH_TOOLS = frozenset({*responses_shapes.SEARCH_TOOLS, *messages_shapes.SEARCH_TOOLS})
