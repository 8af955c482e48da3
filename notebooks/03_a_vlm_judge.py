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
# `vlm` asks any server with OpenAI's chat-completions API: vLLM, SGLang, Ollama, `transformers serve`, a cloud provider. With a
# real one, say, `vllm serve Qwen/Qwen2.5-VL-7B-Instruct`, set `url` and `model` below and leave the next cell out.
#
# So that this page runs anywhere, the next cell is a stand-in: a server of thirty lines that speaks the same API, and whose
# "opinion" is how warm the colours are, in a mood that changes.

# %%
import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

mood = np.random.default_rng(0)


class Judge(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = [
            part for message in asked["messages"] if isinstance(message["content"], list) for part in message["content"]
        ]
        picture = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB"), float)
        warmth = (pixels[..., 0].mean() - pixels[..., 2].mean()) / 255
        score = float(np.clip(round(5 + 15 * warmth + mood.normal()), 0, 10))
        said = json.dumps({"explanation": f"Warmth is about {warmth:.1f}.", "score": score})
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
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
# The search. Eight questions are under way at once, and no more than 0.50 is spent, at 1.00 for a million tokens of questions.
# A temperature makes the judge noisy, so a fifth of the queries is kept to ask again about the best, and the winner has the best
# mean, with its standard error.

# %%
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
    queries=160,
    max_cost=0.50,
    held_out=["prompt_match"],
    seed=0,
)
print(f"score {result.first.reward:.1f} -> {result.best.reward:.2f} ± {result.best.error:.2f}")
print(f"the mean of {result.best.answers} answers; one answer is off by {result.noise:.2f}")
print(f"{result.tokens} tokens, at most {result.cost:.4f} spent; prompt match {result.held_out['prompt_match']}")
result.best_image.resize((256, 256))

# %% [markdown]
# What the judge wrote is kept with every answer.

# %%
luckiest = max((query for query in result.history if query.value is not None), key=lambda query: query.value)
print(luckiest.value, luckiest.raw)
server.shutdown()
