"""Presets of servers by name: the address, and what of a request each takes by another name or not at all.

The facts are those of the servers' own documentation, which docs/judges.md names; the rest a server's refusals teach.
"""

from dataclasses import dataclass

from zo_dno.errors import unknown_name


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server before the first request.

    Attributes:
        url: Base URL of its API.
        source: Page that documents it.
        key_env: Environment variable that by custom holds its key; "" for servers of one's own.
        most_tokens: Name of the field that limits the tokens of a response.
        seed: Name of the field of the sampling seed; "" where it has none.
        structured: Whether it takes JSON schemas.
        likeliest: Most likely tokens that it gives probabilities of; 0 where it gives none.
        decisions: Whether it answers the typed questions of mode decision.
    """

    url: str
    source: str
    key_env: str = ""
    most_tokens: str = "max_tokens"
    seed: str = "seed"
    structured: bool = True
    likeliest: int = 20
    decisions: bool = False


SERVERS: dict[str, Server] = {
    "openai": Server(
        "https://api.openai.com/v1",
        "https://platform.openai.com/docs/api-reference/chat",
        key_env="OPENAI_API_KEY",
        most_tokens="max_completion_tokens",
    ),
    "anthropic": Server(
        "https://api.anthropic.com/v1",
        "https://platform.claude.com/docs/en/api/openai-sdk",
        key_env="ANTHROPIC_API_KEY",
        seed="",
        structured=False,
        likeliest=0,
    ),
    "gemini": Server(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "https://ai.google.dev/gemini-api/docs/openai",
        key_env="GEMINI_API_KEY",
        seed="",
    ),
    "openrouter": Server(
        "https://openrouter.ai/api/v1",
        "https://openrouter.ai/docs/api/reference/errors-and-debugging",
        key_env="OPENROUTER_API_KEY",
    ),
    "mistral": Server(
        "https://api.mistral.ai/v1",
        "https://docs.mistral.ai/api",
        key_env="MISTRAL_API_KEY",
        seed="random_seed",
    ),
    "groq": Server(
        "https://api.groq.com/openai/v1",
        "https://console.groq.com/docs/openai",
        key_env="GROQ_API_KEY",
        likeliest=0,
    ),
    "vllm": Server("http://127.0.0.1:8000/v1", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"),
    "sglang": Server("http://127.0.0.1:30000/v1", "https://docs.sglang.io/docs/basic_usage/openai_api_vision"),
    "ollama": Server("http://127.0.0.1:11434/v1", "https://docs.ollama.com/api/openai-compatibility"),
    "llama.cpp": Server(
        "http://127.0.0.1:8080/v1", "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"
    ),
    "lmstudio": Server(
        "http://127.0.0.1:1234/v1",
        "https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        likeliest=0,
    ),
    "transformers": Server(
        "http://127.0.0.1:8000/v1",
        "https://huggingface.co/docs/transformers/main/serve-cli/serving",
        structured=False,
        likeliest=0,
        decisions=True,
    ),
}

_ANY = Server("", "")


def server_named(name: str) -> Server:
    """Return the preset of a server; "" is any server, of which nothing is known.

    Raises:
        InputError: There is no preset of that name.
    """
    if not name:
        return _ANY
    if name not in SERVERS:
        raise unknown_name("server", name, SERVERS)
    return SERVERS[name]
