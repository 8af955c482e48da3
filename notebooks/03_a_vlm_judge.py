# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A vision-language model as the judge
#
# `vlm` calls any server with OpenAI's chat-completions API: vLLM, SGLang, Ollama, `transformers serve`, a cloud provider. If you
# have one, for example `vllm serve Qwen/Qwen2.5-VL-7B-Instruct`, set `url` and `model` and skip the next cell.
#
# The next cell is a stand-in, so that this notebook runs anywhere: a server of thirty lines with the same API. It scores how warm
# the colours are, plus random noise.

# %%
import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

noise = np.random.default_rng(0)


class Judge(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = [
            part
            for message in request["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
        ]
        picture = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB"), float)
        warmth = (pixels[..., 0].mean() - pixels[..., 2].mean()) / 255
        score = float(np.clip(round(5 + 15 * warmth + noise.normal()), 0, 10))
        answer = json.dumps({"explanation": f"Warmth is about {warmth:.1f}.", "score": score})
        choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 20}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
model = "stand-in"

# %% [markdown]
# The search has eight calls in flight and spends at most 0.50, at a price of 1.00 per million input tokens. A temperature makes the
# judge noisy, so a fifth of the queries is reserved for scoring the best images again. The winner has the best mean, reported with
# its standard error. `prompt_match` is held out: the search never sees it, so that it tells what the warmth costs. With a price,
# `auto` climbs a surrogate of the judge, which needs fewer queries, but minutes of a CPU; `climb=False` keeps this notebook short.

# %% tags=["picture"]
import zo_dno

generator = zo_dno.DiffusersGenerator.builtin("sea at dusk, with a sailboat", steps=4)
result = zo_dno.optimize(
    generator,
    "vlm",
    reward_options={
        "url": url,
        "model": model,
        "question": "How warm are the colours of this picture of {prompt}?",
        "temperature": 1.0,
        "input_price": 1.0,
        "output_price": 4.0,
    },
    policy={"in_flight": 8},
    queries=96,
    max_cost=0.50,
    held_out=["prompt_match"],
    seed=0,
    climb=False,
)
print(f"score {result.first.reward:.1f} -> {result.best.reward:.2f} ± {result.best.error:.2f}")
print(f"the mean of {result.best.n_scores} scores; the standard deviation of one score is {result.noise:.2f}")
first_match, best_match = result.held_out["prompt_match"]
print(f"{result.tokens} tokens, at most {result.cost:.4f} spent; prompt match {first_match:.3f} -> {best_match:.3f}")
result.best_image.resize((256, 256))

# %% [markdown]
# The judge's text is stored with every score.

# %%
luckiest = max((query for query in result.history if query.value is not None), key=lambda query: query.value)
print(luckiest.value, luckiest.raw)
server.shutdown()
