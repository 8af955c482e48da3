"""The server of one file: it needs nothing of this package, and responds as `zo-dno serve-reward` does."""

import ast
import base64
import gzip
import io
import os
import subprocess
import sys
from collections import Counter

import httpx2
import numpy as np
import pytest
from PIL import Image

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.command_line import exit_code
from tests.support.pictures import png
from tests.support.toys import ToyGenerator
from zo_dno.run.make_reward import make_reward
from zo_dno.version import __version__
from zo_dno.web import standalone_server
from zo_dno.web.reward_app import reward_app
from zo_dno.web.server import WebServer
from zo_dno.web.standalone import standalone_source

KEY = "sk-very-secret-0123456789"
REWARDS = """
import asyncio
import sys

from PIL import ImageStat


def light(images, prompts):
    said = {"later": ConnectionError("the database is away"), "slow": TimeoutError(), "never": ValueError("no face")}
    if prompts[0] in said:
        raise said[prompts[0]]
    if prompts[0] in ("nan", "inf", "-inf"):
        return [float(prompts[0])]
    return [] if prompts[0] == "short" else [sum(ImageStat.Stat(image).mean) / 765 for image in images]


light.unit = "of white"


def heavy(images):
    return [float(any(name in sys.modules for name in ("zo_dno", "torch", "numpy", "fastapi"))) for _ in images]


async def later(images, prompts):
    await asyncio.sleep(0)
    return [{"value": len(prompt), "raw": prompt, "cost": 0.5, "tokens": 3} for prompt in prompts]


def stuck(images):
    import threading

    threading.Event().wait()


class Judge:
    version, batch, range = "2", 8, (0, 5)

    def __init__(self, base):
        self.base = base

    def __call__(self, images):
        return [self.base + number for number, _ in enumerate(images)]
"""


CLIENT = httpx2.Client(trust_env=False, timeout=PATIENCE, verify=False)  # no address here has a certificate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standalone")
    (folder / "standalone_rewards.py").write_text(REWARDS)
    (folder / "server.py").write_text(standalone_source())
    return folder


@pytest.fixture(scope="module")
def serve(folder):
    """Start the file in an isolated interpreter; returns the base of its address."""
    processes = []

    def start(*arguments, token=""):
        command = [sys.executable, "-I", "server.py", *map(str, arguments), "--port", "0"]
        environment = {**os.environ, "ZO_DNO_TOKEN": token}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process.stdout.readline().split()[-1].removesuffix("/score")

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def both(folder, serve):
    """The same function behind both servers, with a token: their addresses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        server = WebServer(reward_app(make_reward("standalone_rewards:light"), token=KEY))
    server.start()
    yield server.url, serve("standalone_rewards:light", token=KEY)
    server.stop()


def file_of(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def coloured(mode="RGB"):
    levels = np.random.default_rng(3).integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(levels).convert(mode)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_of(coloured(), "JPEG", exif=exif)


WHITE = file_of(Image.new("RGB", (8, 8), "white"))
GREY_16 = base64.b64encode(png(4, 1, 16, 0, [b"\x00\x00\x40\x01\x80\x7f\xff\xff"])).decode()
IMAGES = {
    **{mode: file_of(coloured(mode)) for mode in ("RGB", "L", "1", "P", "RGBA", "LA")},
    "a transparent colour": file_of(coloured("P"), transparency=3),
    "16 bits": GREY_16,
    "CMYK": file_of(coloured("CMYK"), "JPEG"),
    "turned": turned(),
    "WebP": file_of(coloured(), "WEBP", lossless=True),
}
JSON = {"content-type": "application/json"}


def body(*images, prompts=None, **more):
    return {"json": {"images": list(images), "prompts": [""] * len(images) if prompts is None else prompts, **more}}


def packed(content):
    return {"content": content, "headers": {**JSON, "content-encoding": "gzip"}}


GOOD = gzip.compress(b'{"images": ["%s"], "prompts": [""]}' % WHITE.encode())
REQUESTS = {
    **{f"image {name}": ("POST", "/score", body(image)) for name, image in IMAGES.items()},
    "several": ("POST", "/score", body(*IMAGES.values())),
    "prompts": ("POST", "/score", body(WHITE, WHITE, prompts=["a", "sea \u00fc"])),
    **{word: ("POST", "/score", body(WHITE, prompts=[word])) for word in ("never", "nan", "inf", "-inf", "short")},
    "one of them fails": ("POST", "/score", body(WHITE, WHITE, prompts=["", "never"])),
    "later": ("POST", "/score", body(WHITE, prompts=["later"])),
    "slow": ("POST", "/score", body(WHITE, prompts=["slow"])),
    "health": ("GET", "/health", {}),
    "health without a token": ("GET", "/health", {"headers": {"authorization": ""}}),
    "version": ("GET", "/version", {}),
    "no token": ("POST", "/score", {**body(WHITE), "headers": {"authorization": ""}}),
    "another token": ("GET", "/version", {"headers": {"authorization": f"Bearer {KEY}x"}}),
    "another method": ("GET", "/score", {}),
    "no such path": ("GET", "/scores", {}),
    "no such path without a token": ("GET", "/scores", {"headers": {"authorization": ""}}),
    "more images": ("POST", "/score", body(*[WHITE] * 65)),
    "no images": ("POST", "/score", body()),
    "other counts": ("POST", "/score", body(WHITE, prompts=["", ""])),
    "more fields": ("POST", "/score", body(WHITE, more=1)),
    "numbers": ("POST", "/score", body(1)),
    "no prompts": ("POST", "/score", {"json": {"images": [WHITE]}}),
    "a list": ("POST", "/score", {"json": []}),
    "no base64": ("POST", "/score", body("/etc/passwd")),
    "no image": ("POST", "/score", body("aGVsbG8=")),
    "cut off": ("POST", "/score", body(IMAGES["CMYK"][:200])),
    "GIF": ("POST", "/score", body(file_of(coloured(), "GIF"))),
    "many pixels": ("POST", "/score", body(file_of(Image.new("1", (5000, 5000))))),
    "many pixels in all": ("POST", "/score", body(*[file_of(Image.new("1", (4000, 4000)))] * 5)),
    **{
        f"body {content[:4]!r}": ("POST", "/score", {"content": content, "headers": JSON})
        for content in (b"", b"NaN", b'{"images": [NaN], "prompts": [""]}', b"[" * 20_000, b"\xff", b"1" * 5000)
    },
    "no type": ("POST", "/score", {"content": b"{}"}),
    "text": ("POST", "/score", {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    "gzip": ("POST", "/score", packed(GOOD)),
    "a bomb": ("POST", "/score", packed(gzip.compress(bytes(2**26 + 1), compresslevel=1))),
    "no gzip": ("POST", "/score", packed(b"x")),
    "half of gzip": ("POST", "/score", packed(GOOD[:-20])),
    "another encoding": ("POST", "/score", {"content": b"x", "headers": {**JSON, "content-encoding": "br"}}),
}


class TestBothServers:
    @pytest.mark.parametrize("name", REQUESTS)
    @pytest.mark.fast_cases(20)
    def test_respond_equally(self, both, name):
        method, path, request = REQUESTS[name]
        headers = {"authorization": f"Bearer {KEY}", **request.get("headers", {})}
        first, second = (CLIENT.request(method, base + path, **{**request, "headers": headers}) for base in both)
        assert (second.status_code, second.json()) == (first.status_code, first.json())
        assert len(second.text) < 4000

    def test_respond_to_their_own_names_alone(self, both):
        for base in both:
            response = CLIENT.get(f"{base}/health", headers={"host": "evil.example"})
            assert (response.status_code, "Invalid host header" in response.text) == (400, True)


class TestFile:
    def test_is_what_the_command_writes(self, capsys):
        assert exit_code(["serve-reward", "--standalone"]) == 0
        assert capsys.readouterr().out == standalone_source()

    def test_is_python_3_8_and_needs_the_standard_library_and_pillow_alone(self):
        tree = ast.parse(standalone_source(), feature_version=(3, 8))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {(getattr(node, "module", None) or node.names[0].name).partition(".")[0] for node in imports}
        assert names - sys.stdlib_module_names == {"PIL"}

    def test_defines_every_name_once(self):
        body = ast.parse(standalone_source()).body
        names = Counter(node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef))
        names += Counter(target.id for node in body if isinstance(node, ast.Assign) for target in node.targets)
        assert names.most_common(1)[0][1] == 1
        assert f'ZO_DNO = "{__version__}"' in standalone_source()

    def test_loads_no_heavy_package(self, serve):
        url = f"{serve('standalone_rewards:heavy')}/score"
        assert CLIENT.post(url, **body(WHITE)).json()["scores"][0]["value"] == 0


class TestServedFunction:
    def test_a_run_through_it_equals_one_without(self, both, folder, monkeypatch):
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("REWARD_KEY", KEY)
        options = {"queries": 16, "seed": 3, "strategy_options": {"population": 8}}
        here = zo_dno.optimize(ToyGenerator(), "standalone_rewards:light", **options)
        through = {"url": f"{both[1]}/score", "key_env": "REWARD_KEY", "batch": 4, "compress": True}
        there = zo_dno.optimize(ToyGenerator(), "http", reward_options=through, **options)
        assert [row.value for row in there.history] == [row.value for row in here.history]

    def test_a_coroutine_function_may_say_more_than_a_number(self, serve):
        url = f"{serve('standalone_rewards:later')}/score"
        said = CLIENT.post(url, **body(WHITE, prompts=["four"])).json()["scores"]
        assert said == [{"value": 4.0, "error": None, "kind": None, "raw": "four", "cost": 0.5, "tokens": 3}]

    def test_a_class_has_options_a_batch_a_range_and_a_version(self, serve):
        base = serve("standalone_rewards:Judge", "--option", "base=3.5")
        said = CLIENT.post(f"{base}/score", **body(*[WHITE] * 3)).json()
        assert [one["value"] for one in said["scores"]] == [3.5, 4.5, None]
        assert said["scores"][2]["error"] == "the reward returned 5.5, outside 0 to 5"
        about = CLIENT.get(f"{base}/version").json()
        assert (about["name"], about["version"], about["settings"]) == ("Judge", "2", {"base": 3.5})

    def test_a_call_that_takes_too_long_is_worth_a_retry(self, serve):
        url = f"{serve('standalone_rewards:stuck', '--timeout', 0.05)}/score"
        response = CLIENT.post(url, **body(WHITE))
        assert (response.status_code, response.json()["detail"]) == (503, "timeout: no response within 0.05 s")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["standalone_rewards.py:light"], "must be package.module:function, without .py"),
            (["standalone_rewards:none"], "could not be made: AttributeError"),
            (["no_module:f"], "could not be made: ModuleNotFoundError"),
            (["standalone_rewards:light", "--option", "a=1"], "option must be left out with a function; got a"),
            (["standalone_rewards:Judge", "--option", "a"], "option must be KEY=VALUE; got a"),
            (["standalone_rewards:light", "--host", "0.0.0.0"], "a token must be set: export ZO_DNO_TOKEN"),
            (["standalone_rewards:light", "--in-flight", "0"], "must be at least 1"),
        ],
    )
    def test_a_mistake_is_one_line(self, folder, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(folder)
        monkeypatch.delenv("ZO_DNO_TOKEN", raising=False)
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(sys, "argv", ["server.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            standalone_server.main()
        said = capsys.readouterr()
        assert (ended.value.code, said.err.count("\n"), said.out) == (2, 1, "")
        assert message in said.err
