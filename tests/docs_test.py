"""Runs the blocks of README.md and of docs/, and compares what they print.

Blocks of a page run in their order, in one process and one namespace, in a directory
that holds what `kinetics-clips demo` makes: all Python, and those commands that name
`kinetics_clips_demo`. What a block of Python prints has to end with the text block
behind it. A block of TOML whose first line is a comment with a name is written to that
file. A block of Python with a title is a script: it is written to a file of that name,
and run as readers would run it.
"""

import importlib.util
import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import REPOSITORY, build, marks_of, write_tree
from processes import run_script, run_tensorflow

import kinetics_clips
from kinetics_clips.command import demo, synthetic

DOCS = REPOSITORY / "docs"
ROOT_PAGES = [
    REPOSITORY / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")
]
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
GUIDES = sorted((DOCS / "guides").glob("*.md"))

_BLOCK = re.compile(
    r'^( *)```(\w*)(?: title="([^"]*)")?[^\n]*\n(.*?)^\1```$', re.DOTALL | re.MULTILINE
)
# Code that starts processes which may import the script that it stands in.
_STARTS_WORKERS = re.compile(r"DataLoader\((?s:.*?)num_workers=|\.mp_prefetch\(")
# A name of the reference, and those of its members that are listed.
_DOCUMENTED = re.compile(
    r"^::: (\S+)$(?:\n +options:\n +members: \[([^]]*)\]$)?", re.MULTILINE
)
_END = "--- end of a block ---"

_MAX_README_LINES = 200


class Block(NamedTuple):
    """A block of code of a page.

    Attributes:
      language: What is behind the fence; empty for nothing.
      title: Name of the script that it is; empty for none.
      code: What is in it.
      line: Number of its first line in the page, from 0 on.
    """

    language: str
    title: str
    code: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[2], match[3] or "", match[4], text.count("\n", 0, match.start(4)))
        for match in _BLOCK.finditer(text)
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def _runs(block: Block) -> bool:
    return block.language == "python" or (
        block.language == "sh" and "kinetics_clips_demo" in block.code
    )


def _step(block: Block, page: Path) -> str:
    """Returns Python that does what a block does; errors name the page and the line."""
    if block.language == "sh":
        return (
            "__import__('subprocess').run("
            f"{block.code!r}, shell=True, check=True, stdout=-3)"
        )
    if block.title:
        words = [sys.executable, block.title]
        return (
            f"__import__('pathlib').Path({block.title!r}).write_text({block.code!r})\n"
            "print(end='', flush=True)\n"
            f"__import__('subprocess').run({words!r}, check=True)"
        )
    code = "\n" * block.line + block.code
    return f"exec(compile({code!r}, {str(page)!r}, 'exec'), globals())"


def _libraries(block: Block) -> list[str]:
    imported = r"^(?:import|from) (grain|jax|torch(?:codec)?)\b"
    return re.findall(imported, block.code, re.MULTILINE)


def _params() -> list:
    """Returns pages with what runs of them: up to where a library is not installed."""
    params = []
    for page in PAGES:
        blocks = [block for block in blocks_of(page) if _runs(block)]
        marks, num_blocks = [], len(blocks)
        for number, block in enumerate(blocks):
            marks_here = [mark for name in _libraries(block) for mark in marks_of(name)]
            absent = any(map(_is_absent, _libraries(block)))
            if absent and number:
                num_blocks = number
                break
            marks += marks_here
        if blocks:
            params.append(pytest.param(page, num_blocks, id=name_of(page), marks=marks))
    return params


def _is_absent(library: str) -> bool:
    return importlib.util.find_spec(library) is None


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    demo.run(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize(("page", "num_blocks"), _params())
def test_a_page_prints_what_it_says(demo_dir, tmp_path, monkeypatch, page, num_blocks):
    shutil.copytree(demo_dir, tmp_path / "kinetics_clips_demo")
    commands = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    blocks = blocks_of(page)
    for block in blocks:
        if name := re.match(r"# (\S+\.toml)\n", block.code):
            (tmp_path / name[1]).write_text(block.code, encoding="utf-8")
    running = [block for block in blocks if _runs(block)][:num_blocks]
    script = f"\nprint({_END!r})\n".join(_step(block, page) for block in running)
    if any("torchcodec" in _libraries(block) for block in running):
        # Triton, which it may import, crashes where TensorFlow is imported already.
        done = run_script(script, cwd=tmp_path)
    else:
        done = run_tensorflow("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for block, printed in zip(running, done.stdout.split(f"{_END}\n"), strict=True):
        following = blocks[blocks.index(block) + 1 :][:1]
        if block.language == "python" and following and following[0].language == "text":
            # TFDS announces what it builds before.
            assert printed.endswith(following[0].code), f"{page}:{block.line}"


def _scripts() -> list:
    return [
        pytest.param(block, text, id=f"{name_of(page)}:{block.title}", marks=marks)
        for page in GUIDES  # other pages have the same scripts, in short
        for block, text in itertools.pairwise(blocks_of(page))
        if block.title
        for marks in [[mark for name in _libraries(block) for mark in marks_of(name)]]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "text"), _scripts())
def test_a_script_of_a_page_runs_where_processes_are_spawned(
    demo_dir, tmp_path, monkeypatch, script, text
):
    monkeypatch.chdir(tmp_path)
    Path("kinetics_clips_demo").symlink_to(demo_dir)
    Path(script.title).write_text(script.code, encoding="utf-8")
    done = run_script(
        """
import multiprocessing
import runpy
import sys

del sys.argv[0]
multiprocessing.set_start_method("spawn")
runpy.run_path(sys.argv[0], run_name="__main__")
""",
        script.title,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(text.code)


def test_every_fence_of_a_page_is_of_a_block():
    """No Python is left out for the way in which it is written down."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(page)), page
        for block in blocks_of(page):
            assert block.language in ("python", "sh", "text", "toml"), page
            is_guarded = 'if __name__ == "__main__":' in block.code
            if block.title or _STARTS_WORKERS.search(block.code):
                assert block.title and is_guarded, f"{page}:{block.line}"


@pytest.mark.slow
def test_the_keras_page_takes_videos_of_several_sizes(tmp_path, monkeypatch):
    write_tree(tmp_path / "videos", "train", {"a/one": 70, "b/two": 20})
    for height, width in ((240, 426), (256, 144)):
        path = tmp_path / f"videos/train/b/{height}.mp4"
        synthetic.write_video(path, 20, height=height, width=width)
    build(tmp_path / "videos", tmp_path / "kinetics_clips_demo")
    (code,) = (
        block.code
        for block in blocks_of(DOCS / "guides/keras.md")
        if block.language == "python"
    )
    done = run_tensorflow("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


_CLIPS_OF_THE_GPU_PAGE = """
import sys
from types import SimpleNamespace

import numpy as np
import simplejpeg
import torch
from kinetics_clips import ClipSource, ClipSpec

code, decoder, data_dir = sys.argv[1:]


def decode_jpeg(jpegs, *, mode, device):
    assert device == "cpu"
    frames = [simplejpeg.decode_jpeg(jpeg.numpy(), mode) for jpeg in jpegs]
    return [torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]


if decoder == "simplejpeg":
    decoders = SimpleNamespace(decode_jpeg=decode_jpeg)
    sys.modules["torchcodec"] = SimpleNamespace(decoders=decoders)
if decoder == "torchvision":
    import torchvision

    sys.modules["torchcodec"] = SimpleNamespace(decoders=torchvision.io)
page = {}
exec(code, page)

same = [
    ClipSpec(length=9),
    ClipSpec(length=9, stride=3, flip=True),
    ClipSpec(length=100, crop=48, flip=True),  # wraps
    ClipSpec(length=8, crop=64, crops="three", flip=True),
    ClipSpec(length=40, windows=4, crop=50, crops="three", flip=True),
    ClipSpec(length=9, windows=3),
]
scaled = [
    ClipSpec(length=4, size=48),
    ClipSpec(length=4, size=80, flip=True),
    ClipSpec(length=4, crop=150, crops="three"),  # of frames that are scaled up
    ClipSpec(length=4, area=(0.1, 1.0), size=64, flip=True),
]
for spec in same + scaled:
    source = ClipSource("kinetics_clips/folder", "train", spec, 1, data_dir)
    clips = source.encoded(range(len(source)))
    video = page["decode"](clips, "cpu").movedim(-3, -1).numpy()
    expected = source.batch(range(len(source)))["video"]
    assert video.dtype == np.uint8 and video.shape == expected.shape
    if spec in same:
        np.testing.assert_array_equal(video, expected, str(spec))
    error = np.mean((video.astype(np.float32) - expected) ** 2)
    assert error <= 255**2 / 10**3.5, (spec, error)  # 35 dB
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "decoder",
    [
        pytest.param("simplejpeg", marks=marks_of("torch")),
        pytest.param("torchcodec", marks=marks_of("torchcodec")),
        pytest.param("torchvision", marks=marks_of("torchvision")),
    ],
)
def test_the_gpu_page_gives_the_clips_of_the_source(data_dir, decoder):
    """On a CPU; the page's own code decodes with the decoder."""
    (code,) = (
        block.code
        for block in blocks_of(DOCS / "guides/gpu.md")
        if "def decode(" in block.code
    )
    done = run_script(_CLIPS_OF_THE_GPU_PAGE, code, decoder, data_dir)
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= _MAX_README_LINES


def _without_code(page: Path) -> str:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`]*`", lambda code: code[0].replace("[", "("), text)


def _anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as MkDocs and GitHub make them, and of
    the names that it documents."""
    headings = re.findall(r"^#+ (.+)$", _without_code(page), re.MULTILINE)
    anchors = set()
    for heading in headings:
        words = re.sub(r"[^\w\s-]", "", heading).strip().lower()
        anchors.add(re.sub(r"\s+", "-", words))
    for name, members in _DOCUMENTED.findall(page.read_text(encoding="utf-8")):
        anchors |= {name, *(f"{name}.{member}" for member in members.split(", "))}
    return anchors


@pytest.mark.parametrize("page", [*ROOT_PAGES, *PAGES[1:]], ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", _without_code(page))
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link
        # These are also pages of docs/, where their links would lead elsewhere.
        assert page not in ROOT_PAGES[1:] or not path, link


def test_the_reference_has_every_public_name():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    documented = [name for name, _ in _DOCUMENTED.findall(text)]
    for name in kinetics_clips.__all__:
        assert documented.count(f"kinetics_clips.{name}") == 1, name


def test_the_page_of_the_command_has_every_option():
    """What `python docs/command.py` writes."""
    script = runpy.run_path(str(DOCS / "command.py"))
    text = (DOCS / "command.md").read_text(encoding="utf-8")
    assert text == script["with_tables"](text)


def test_the_diagrams_are_those_that_the_package_computes():
    """What `python docs/pictures.py` draws."""
    script = runpy.run_path(str(DOCS / "pictures.py"))
    for name, content in script["diagrams"]().items():
        path = DOCS / "pictures" / name
        assert path.read_text(encoding="utf-8") == content, name


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # a notice of its theme
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return directory


needs_mkdocs = pytest.mark.skipif(
    importlib.util.find_spec("mkdocstrings") is None,
    reason="the extra [docs] is not installed",
)


@pytest.mark.docs
@pytest.mark.slow
@needs_mkdocs
def test_the_site_loads_nothing_from_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*>", html)
        assert not [tag for tag in loaded if "://" in tag and "canonical" not in tag]
