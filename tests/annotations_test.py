import csv
import io
from pathlib import Path, PurePosixPath

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips import annotations
from kinetics_clips.annotations import Annotation

NAMES = ["air drumming", "zumba", "skiing (not slalom or crosscountry)"]


def read(tmp_path, text, split="train", encoding="utf-8"):
    path = tmp_path / "some.csv"
    path.write_bytes(text.encode(encoding))
    return annotations.read_csv(path, split, NAMES)


@pytest.mark.parametrize(
    "lines",
    [
        ("label,youtube_id,time_start,time_end,split,is_cc\n",
         '"air drumming",-_AAAAAAAA0,7,17,val,0\n'),
        ("label,youtube_id,time_start,time_end,split\n",
         "air drumming,-_AAAAAAAA0,7,17,val\n"),
        ("youtube_id,time_start,time_end,split,label\r\n",
         "-_AAAAAAAA0,7.0,17.0,val,air drumming\r\n"),
        ('\ufeff"label","youtube_id","time_start","time_end"\n',
         "air drumming,-_AAAAAAAA0,007,17\n"),
    ],
    ids=["quoted with is_cc", "bare", "label last, CRLF, floats", "BOM, no split"],
)  # fmt: skip
def test_read_csv_reads_by_header_name(tmp_path, lines):
    assert read(tmp_path, "".join(lines)) == [
        Annotation("train", "-_AAAAAAAA0_000007_000017", "air drumming")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "youtube_id,time_start,time_end,split\nAAAAAAAAAAA,17,27,test\n",
        "label,youtube_id,time_start,time_end,split\n,AAAAAAAAAAA,17,27,test\n",
    ],
    ids=["no column", "empty column"],
)
def test_read_csv_knows_no_label(tmp_path, text):
    assert read(tmp_path, text, "test") == [
        Annotation("test", "AAAAAAAAAAA_000017_000027", None)
    ]


def test_read_csv_keeps_two_segments_of_one_id(tmp_path):
    rows = read(
        tmp_path,
        "label,youtube_id,time_start,time_end\n"
        "zumba,AAAAAAAAAAA,7,17\nair drumming,AAAAAAAAAAA,83,93\n",
    )
    assert [row.video_id[-13:] for row in rows] == ["000007_000017", "000083_000093"]


def test_read_csv_keeps_the_first_of_a_repeated_row(tmp_path, caplog):
    rows = read(
        tmp_path,
        "label,youtube_id,time_start,time_end\n"
        "zumba,AAAAAAAAAAA,7,17\nair drumming,AAAAAAAAAAA,7,17\n",
    )
    assert [row.label for row in rows] == ["zumba"]
    assert "annotates 1 videos more than once" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"some\.csv must have a column 'label', got an empty file"),
        ("a,b\n1,2\n", r"must have a column 'label', got a, b\. Use the official"),
        (
            "label,youtube_id,time_start,time_end\nzumba,AAAAAAAAAAA,1,11\n"
            "zumba,../../etc/x,1,11\n",
            r"some\.csv, line 3: youtube_id must be 11 letters.*got '\.\./\.\./etc/x'",
        ),
        (
            "youtube_id,time_start,time_end,label\nAAAAAAAAAAA,one,11,zumba\n",
            r"line 2: time_start must be a number of seconds, got 'one'",
        ),
        (
            "label,youtube_id,time_start,time_end\nzumba,AAAAAAAAAAA,1\n",
            r"line 2: time_end must be a number of seconds, got None",
        ),
        (
            "label,youtube_id,time_start,time_end\nzumbaa,AAAAAAAAAAA,1,11\n",
            r"line 2: label must be one of the release's 3 class names, got 'zumbaa'",
        ),
        (
            "youtube_id,time_start,time_end\nAAAAAAAAAAA,1,11\n",
            r"must have a column 'label', got youtube_id, time_start, time_end\.",
        ),
        (
            "label,youtube_id,time_start,time_end\n,AAAAAAAAAAA,1,11\n",
            r"line 2: label must not be empty but in the test split",
        ),
    ],
    ids=[
        *("empty", "columns", "id", "seconds", "short row", "label"),
        *("no label", "blank label"),
    ],
)
def test_read_csv_names_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_read_csv_refuses_other_encodings(tmp_path):
    header = "label,youtube_id,time_start,time_end\n"
    with pytest.raises(ValueError, match=r"some\.csv must be UTF-8 text: "):
        read(tmp_path, header + "é,AAAAAAAAAAA,1,11\n", encoding="latin-1")


youtube_ids = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
    min_size=11,
    max_size=11,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            youtube_ids,
            st.integers(0, 99_999),
            st.integers(0, 99_999),
        ),
        unique_by=lambda row: row[1:],
    ),
    st.permutations(["label", "youtube_id", "time_start", "time_end"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
)
def test_read_csv_round_trip(tmp_path_factory, rows, columns, quoting):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, quoting=quoting)
    writer.writeheader()
    for label, youtube_id, start, end in rows:
        writer.writerow(
            {
                "label": label,
                "youtube_id": youtube_id,
                "time_start": start,
                "time_end": end,
            }
        )
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(text.getvalue().encode())
    assert annotations.read_csv(path, "train", NAMES) == [
        Annotation("train", f"{youtube_id}_{start:06d}_{end:06d}", label)
        for label, youtube_id, start, end in rows
    ]


@pytest.mark.parametrize(
    ("release", "count"), [("k400", 400), ("k600", 600), ("k700", 700)]
)
def test_class_names_are_sorted_and_complete(release, count):
    names = annotations.class_names(release)
    assert len(set(names)) == count
    assert names == sorted(names)


@needs_shared
def test_class_names_are_the_official_ones():
    with (SHARED / "annotations" / "class_names.csv").open(newline="") as file:
        official = [
            (row["release"], int(row["id"]), row["name"])
            for row in csv.DictReader(file)
        ]
    ours = [
        (release, number, name)
        for release in ("k400", "k600", "k700")
        for number, name in enumerate(annotations.class_names(release))
    ]
    assert sorted(official) == sorted(ours)


@needs_shared
@pytest.mark.parametrize(
    ("file", "release", "count", "labelled"),
    [
        ("kinetics-400_val.csv", "k400", 19_906, True),
        ("kinetics-400_test.csv", "k400", 38_685, False),
        ("kinetics-600_val.csv", "k600", 30_000, True),
        ("kinetics-600_test.csv", "k600", 72_924, False),
    ],
)
def test_read_csv_reads_the_real_files(file, release, count, labelled):
    names = annotations.class_names(release)
    split = "validation" if labelled else "test"
    rows = annotations.read_csv(SHARED / "annotations" / file, split, names)
    assert len(rows) == count
    assert {row.label for row in rows} == (set(names) if labelled else {None})


def test_from_class_folder_takes_label_and_id_off_the_path():
    assert annotations.from_class_folder(
        "train", PurePosixPath("air drumming/day 1/take.2.mp4")
    ) == Annotation("train", "air drumming/day 1/take.2", "air drumming")
    assert annotations.from_class_folder("train", PurePosixPath("stray.mp4")) is None


@pytest.mark.parametrize(
    "name", ["", " ", "\u3000", " a", "a ", "a\nb", "a\u2028b", "\udcff"]
)
def test_check_class_name_refuses_what_tfds_would_not_read_back(name):
    with pytest.raises(ValueError, match=r"A class folder's name must be UTF-8 on one"):
        annotations.check_class_name(name, Path("train"))


@pytest.mark.parametrize("name", ["a", "a b", "Ü (not ö)", "it's", "泳ぐ"])
def test_check_class_name_takes_any_other(name):
    annotations.check_class_name(name, Path("train"))
