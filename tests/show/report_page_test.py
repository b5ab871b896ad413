import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import simplejpeg
import tensorflow_datasets as tfds
from conftest import build, write_tree
from selenium import webdriver

import kinetics_clips
from kinetics_clips.command import cli
from kinetics_clips.show import report_page
from kinetics_clips.store import datasets
from kinetics_clips.write import report
from kinetics_clips.write.report import Row

CHROMIUM, DRIVER = map(shutil.which, ("chromium", "chromedriver"))
_no_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


def needs_chromium(test):
    return pytest.mark.chromium(_no_chromium(test))


HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """A dataset with a bad video, a stray file, and hostile names."""
    root = tmp_path_factory.mktemp("report") / "videos"
    write_tree(root, "train", {"a/one": 90, "a/two": 20, f"{HOSTILE}/one": 66})
    write_tree(root, "validation", {"a/other": 70})
    (root / "train/a" / f"bad {HOSTILE}.mp4").write_text("no video")
    (root / "train" / "{{ 7 * 7 }}.mp4").write_text("of no class")
    return build(root, root.parent)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "disable-dev-shm-usage",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    service = webdriver.ChromeService(executable_path=DRIVER)
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


def page_of(builder) -> str:
    return (Path(builder.data_path) / report_page.FILENAME).read_text(encoding="utf-8")


def rows_of(num_stored, num_missing=0, num_bad=0, label="a", **values):
    sizes = {"num_frames": 300, "height": 4, "width": 6, "fps": 30.0, "bytes": 9}
    values = {**sizes, **values}
    rows = [
        Row("train", f"id{n}", label, f"train/{n}.mp4", "stored", **values)
        for n in range(num_stored)
    ]
    rows += [
        Row("train", f"gone{n}", label, "", "failed", "missing")
        for n in range(num_missing)
    ]
    return rows + [
        Row("train", f"bad{n}", label, f"train/bad{n}.mp4", "failed", "timeout")
        for n in range(num_bad)
    ]


def test_a_build_ends_with_a_page_that_says_what_is_wrong(builder):
    page = page_of(builder)
    assert "Fit to train on, but look at what is marked" in page
    assert "3 of 4 videos of train are stored (75 %)" in page
    assert "1 of 1 videos of validation are stored (100 %)" in page
    assert "Every class has videos to train on" in page
    assert "1 of 5 video files could not be stored (20 %)" in page
    assert "1 of 4 stored videos has fewer than 64 frames" in page
    assert "not a video" in page and "not in a class folder" in page
    assert page.count("data:image/jpeg;base64,") == 3
    rows = dict(
        re.findall(r"<tr><td>(\w+)</td><td class=\"wrap\">(.*)</td></tr>", page)
    )
    assert rows["jpeg_quality"] == "85"
    assert rows["max_videos"] == "all" and rows["fps"] == "every frame"
    assert rows["simplejpeg"] == simplejpeg.__version__
    assert rows["tensorflow_datasets"] == tfds.__version__


def test_every_name_is_escaped(builder):
    page = page_of(builder)
    assert "<img src=x" not in page and "<script" not in page
    assert "&lt;img src=x onerror=" in page
    assert "{{ 7 * 7 }}.mp4" in page


@needs_chromium
def test_it_opens_in_a_browser(builder, browser):
    path = Path(builder.data_path) / report_page.FILENAME
    browser.get(path.as_uri())
    assert browser.title == "kinetics_clips/folder/2.0.0: build report"
    text = browser.execute_script("return document.body.innerText")
    assert HOSTILE in text
    assert "Fit to train on" in text[:200]
    script = "return [...document.images].map(i => i.complete && i.naturalWidth > 0)"
    assert browser.execute_script(script) == [True] * 3
    sources = re.findall(r'(?:src|href|url)[=(]"?([^" )]*)', page_of(builder))
    assert len(sources) >= 3
    assert all(source.startswith(("data:image/jpeg;", "x")) for source in sources)


@needs_chromium
@pytest.mark.parametrize("width", [360, 800, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(builder, browser, width, scheme):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get((Path(builder.data_path) / report_page.FILENAME).as_uri())
    assert browser.execute_script("return innerWidth") == width
    assert (
        browser.execute_script("return document.documentElement.scrollWidth") <= width
    )
    # The verdict is seen without scrolling, and told from its ground.
    script = """
        const verdict = document.querySelector('.verdict strong');
        const style = getComputedStyle;
        return [verdict.getBoundingClientRect().bottom, style(verdict).color,
                style(verdict.parentElement).backgroundColor,
                style(document.body).color, style(document.body).backgroundColor]"""
    bottom, *colours = browser.execute_script(script)
    assert bottom < 300
    lights = [luminance(colour) for colour in colours]
    for ink, ground in (lights[:2], lights[2:]):
        # The contrast that WCAG 2 asks of text.
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 4.5
    assert (lights[3] < 0.2) == (scheme == "dark")


def luminance(colour: str) -> float:
    """Returns the relative luminance of `rgb(r, g, b)`, as WCAG 2 defines it."""
    channels = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
              for c in channels]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("rows", "level", "text"),
    [
        (rows_of(100), "good", "100 of 100 videos of train are stored (100"),
        (rows_of(95, 5), "good", "95 of 100 videos of train are stored"),
        (rows_of(94, 6), "look", "94 of 100 videos of train are stored"),
        (rows_of(49, 51), "bad", "49 of 100 videos of train are stored"),
        (rows_of(0, 5), "bad", "There is no video to train on"),
        (
            [*rows_of(9), Row("", "", "", "train/all.tar", "unmatched", "unreadable")],
            "look",
            "1 archive could not be read to the end: train/all.tar",
        ),
        (rows_of(1999, 1), "good", "stored (over 99.9 %)"),
        (rows_of(99, 0, 1), "good", "1 of 100 video files could not be stored (1 %)"),
        (rows_of(98, 0, 2), "look", "2 of 100 video files could not be stored (2 %)"),
        (
            [*rows_of(10), Row("train", "", "", "x.mp4", "unmatched")],
            "look",
            "1 of 11 video files is passed over (9.1 %)",
        ),
        (
            [
                *rows_of(300),
                Row("", "", "", "1.rar", "unmatched", "archive not read: .rar"),
                Row("", "", "", "a.tar/2.rar", "unmatched", "archive not read: .rar"),
            ],
            "look",
            "2 files are passed over: archive not read: .rar: 1.rar, a.tar/2.rar",
        ),
        (rows_of(10, label=""), "look", "10 videos to train on have no label"),
    ],
)
def test_what_is_said_of_a_dataset(builder, rows, level, text):
    checks = report_page._checks(rows, builder.info)
    assert [check.level for check in checks if text in check.text] == [level]


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("", "x.mp4"),
        ("unfinished download", "x.mp4.part"),
        ("archive not read: .rar", "x.rar"),
        ("format not read: .swf", "x.swf"),
        ("unreadable", "x.tar"),
        ("link not followed", "x"),
    ],
)
def test_it_says_that_nothing_is_passed_over_only_where_that_is_so(
    builder, reason, name
):
    nothing = "No video file is passed over"
    assert ("good", nothing) in report_page._checks(rows_of(10), builder.info)
    rows = [*rows_of(10), Row("train", "", "", name, "unmatched", reason)]
    checks = report_page._checks(rows, builder.info)
    assert nothing not in [check.text for check in checks]


def test_what_has_a_line_of_its_own_is_not_counted_among_others(builder):
    rows = [
        *rows_of(40),
        *(
            Row("train", "", "", f"x{number}", "unmatched", reason)
            for number, reason in enumerate(["", "duplicate", "leftover"])
        ),
        Row("train", "", "", "1.rar", "unmatched", "archive not read: .rar"),
        Row("train", "", "", "1.swf", "unmatched", "format not read: .swf"),
        Row("train", "", "", "1.tar", "unmatched", "unreadable"),
    ]
    texts = [check.text for check in report_page._checks(rows, builder.info)]
    assert "3 of 43 video files are passed over (7 %)" in texts
    assert "1 file is passed over: archive not read: .rar: 1.rar" in texts
    assert "1 archive could not be read to the end: 1.tar" in texts


def test_classes_without_videos_are_named(builder):
    checks = report_page._checks(rows_of(10), builder.info)
    assert (
        "bad",
        f"1 of 2 classes has no video to train on: {HOSTILE}",
    ) in checks
    rows = rows_of(100) + rows_of(10, label=HOSTILE)
    assert (
        "look",
        f"1 class has less than a quarter of the videos of the median class: {HOSTILE}",
    ) in report_page._checks(rows, builder.info)


def in_split(split, rows):
    return [dataclasses.replace(row, split=split) for row in rows]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            rows_of(1) + rows_of(9, label="b"),
            [("look", "1 class has a single video to train on: a")],
        ),
        (
            rows_of(1) + rows_of(1, label="b"),
            [("bad", "2 classes have a single video to train on: a, b")],
        ),
        (
            rows_of(9) + rows_of(9, label="b") + in_split("validation", rows_of(1)),
            [("look", "1 class to train on has no video in validation: b")],
        ),
        (
            rows_of(9) + in_split("test", rows_of(9, label="b")),
            [
                ("bad", "1 of 2 classes has no video to train on: b"),
                ("look", "All videos to train on are of one class: a"),
                ("look", "1 class to train on has no video in test: a"),
            ],
        ),
        # Labels of the test split are not published.
        (
            rows_of(9) + rows_of(9, label="b") + in_split("test", rows_of(9, label="")),
            [],
        ),
    ],
)
def test_classes_that_a_split_lacks_are_named(rows, expected):
    checks = report_page.class_checks(rows, ["a", "b"])
    assert [tuple(check) for check in checks if check.level != "good"] == expected


def test_an_empty_class_that_validation_has_is_told_from_others():
    rows = rows_of(9) + in_split("validation", rows_of(9) + rows_of(2, label="b"))
    checks = report_page.class_checks(rows, ["a", "b", "c"])
    texts = [check.text for check in checks]
    assert "2 of 3 classes have no video to train on: b, c" in texts
    assert "1 class of validation has no video to train on: b" in texts


def test_sizes_notes_and_details_are_shown(builder, tmp_path):
    rows = [
        *rows_of(3, num_bad=1),
        *rows_of(1, notes="HDR (PQ): looks pale; interlaced", width=8),
        *rows_of(2, notes="interlaced"),
    ]
    rows[3] = dataclasses.replace(rows[3], detail="no result after 60 s")
    findings = report_page.findings(rows, builder.info)
    assert "frames have 2 sizes: batches need a crop" in findings
    assert "3 of 6 stored videos have a note (50 %)" in findings
    (sizes,) = (
        check
        for check in report_page._checks(rows, builder.info)
        if "sizes" in check.text
    )
    assert sizes.level == "note"
    shutil.copytree(builder.data_dir, tmp_path, dirs_exist_ok=True)
    page = report_page.write(datasets.find(tmp_path), rows).read_text("utf-8")
    assert "Frames have 2 sizes: batches need a crop" in page
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Stored, with a note interlaced 3 (3 train) train/0.mp4" in text
    assert "HDR (PQ): looks pale 1 (1 train) train/0.mp4" in text
    assert "timeout 1 (1 train) train/bad0.mp4 no result after 60 s" in text
    # No line of what is not so.
    assert "note" not in " ".join(report_page.findings(rows_of(9), builder.info))
    assert not report_page.several_sizes(rows_of(9))


def test_bars_of_classes_count_classes(builder):
    page = page_of(builder)
    assert "<title>2: 1 class</title>" in page
    assert "<title>1: 1 class</title>" in page


def test_a_directory_whose_name_is_no_text_is_shown(builder, tmp_path, monkeypatch):
    monkeypatch.setitem(builder.info.metadata, "manual_dir", "/data/vid\udcc3\udca9os")
    shutil.copytree(builder.data_dir, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(type(builder), "data_path", tmp_path)
    page = report_page.write(builder, report.read(tmp_path / report.FILENAME))
    assert "/data/vid\xe9os" in page.read_text(encoding="utf-8")


def test_splits_are_looked_at_one_by_one(builder):
    rows = rows_of(100) + rows_of(10, label=HOSTILE)
    # Nobody has downloaded the test split, and half of validation is missing.
    rows += [Row("test", str(n), "", "", "failed", "missing") for n in range(900)]
    others = rows_of(40, 60)
    rows += [dataclasses.replace(row, split="validation") for row in others]
    found = {
        check.text: check.level for check in report_page._checks(rows, builder.info)
    }
    assert not any(" of test " in text for text in found)
    assert found["40 of 100 videos of validation are stored (40 %)"] == "look"
    assert "bad" not in found.values()
    train = [dataclasses.replace(row, split="validation") for row in rows_of(50)]
    assert report_page.verdict(train, builder.info) == "Not fit to train on yet"


def test_a_subset_that_is_whole_is_fit(builder, monkeypatch):
    monkeypatch.setitem(builder.info.metadata["config"], "max_videos", 30)
    rows = rows_of(20, 500) + rows_of(10, label=HOSTILE)
    assert report_page.verdict(rows, builder.info) == "Fit to train on"


def test_without_frames_the_page_says_why(builder, tmp_path):
    shutil.copytree(builder.data_dir, tmp_path / "copy")
    copy = datasets.find(tmp_path / "copy")
    (tmp_path / "copy" / "train.frame_index").unlink()
    page = report_page.rewrite(copy).read_text(encoding="utf-8")
    assert "data:image" not in page
    assert "kinetics-clips index" in page


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], []),
        ([3], [("3", 1)]),
        ([3.0, 3.0], [("3", 2)]),
        ([1, 2, 2, 4], [("1", 1), ("2", 2), ("3", 0), ("4", 1)]),
        (
            [0, 46, 47, 47],
            [("0 to 1", 1)]
            + [(f"{n} to {n + 1}", 0) for n in range(2, 46, 2)]
            + [("46 to 47", 3)],
        ),
        (
            [0.0, 23.5, 24.0],
            [("0 to 1", 1)]
            + [(f"{n} to {n + 1}", 0) for n in range(1, 23)]
            + [("23 to 24", 2)],
        ),
    ],
)
def test_histograms_count_every_value(values, bars):
    plot = report_page._histogram("x", values, lambda value: f"{value:.0f}")
    assert [(bar.label, bar.count) for bar in plot.bars] == bars
    assert max((bar.length for bar in plot.bars), default=1) == 1


def test_categories_sum_up_the_rest():
    plot = report_page._categories("x", "aaabbcdefghij")
    assert [(bar.label, bar.count) for bar in plot.bars[:2]] == [("a", 3), ("b", 2)]
    assert (plot.bars[-1].label, plot.bars[-1].count) == ("2 others", 2)
    assert sum(bar.count for bar in plot.bars) == 13


def test_it_is_made_again_from_the_csv(builder, tmp_path):
    shutil.copytree(builder.data_dir, tmp_path, dirs_exist_ok=True)
    path = tmp_path / report_page.FILENAME
    before = path.read_text(encoding="utf-8")
    path.unlink()
    copy = datasets.find(tmp_path)
    assert report_page.rewrite(copy) == path
    assert path.read_text(encoding="utf-8") == before
    (tmp_path / report.FILENAME).unlink()
    with pytest.raises(ValueError, match=r"with its build_report\.csv, got"):
        report_page.rewrite(copy)


def test_data_of_version_1_0_0_are_told_apart(builder, tmp_path, capsys):
    old = tmp_path / "kinetics_clips/folder/1.0.0"
    shutil.copytree(builder.data_path, old)
    info = old / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"version": "1.0.0"}))
    lines = "Stored by version 1.0.0: colours of HD videos are off; build again to mend"
    assert (
        cli.main(["report", "kinetics_clips/folder", "--data-dir", str(tmp_path)]) == 0
    )
    assert str(old / report_page.FILENAME) in capsys.readouterr().out
    page = (old / report_page.FILENAME).read_text()
    assert lines in page
    assert "Fit to train on, but look at what is marked" in page
    assert re.search(r"<td>data version</td><td class=\"wrap\">1\.0\.0</td>", page)
    new = page_of(builder)
    assert "Stored by version" not in new
    version = re.escape(str(builder.version))
    assert re.search(rf"<td>data version</td><td class=\"wrap\">{version}</td>", new)


def test_a_page_that_fails_does_not_end_a_build(tmp_path, monkeypatch, caplog):
    write_tree(tmp_path / "videos", "train", {"a/one": 4})

    def fail(*_):
        raise ZeroDivisionError("of a page")

    monkeypatch.setattr(report_page, "write", fail)
    built = build(tmp_path / "videos", tmp_path)
    assert built.info.splits["train"].num_examples == 1
    assert "build_report.html was not written; the dataset is complete" in caplog.text
    assert "of a page" in caplog.text


def test_array_records_are_shown(tmp_path):
    write_tree(tmp_path / "videos", "train", {"a/one": 20, "b/two": 5})
    built = build(tmp_path / "videos", tmp_path, file_format="array_record")
    assert page_of(built).count("data:image/jpeg;base64,") == 2
    assert not (Path(built.data_path) / "train.frame_index").exists()
    assert kinetics_clips.label_name(built.info, 1) == "b"
