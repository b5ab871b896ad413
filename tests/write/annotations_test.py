import csv
import io
from pathlib import Path, PurePosixPath

import pytest
from conftest import SHARED, needs_shared
from hypothesis import given
from hypothesis import strategies as st

from kinetics_clips.write import annotations
from kinetics_clips.write.annotations import Annotation

NAMES = ["air drumming", "zumba", "skiing (not slalom or crosscountry)"]
LABELS = annotations.Labels(NAMES)


def read(tmp_path, text, name="k400_train.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    rows, bad = annotations.read_csv(path, LABELS)
    annotations.require_no_bad_rows(bad)
    return rows


@pytest.mark.parametrize(
    "lines",
    [
        ("label,youtube_id,time_start,time_end,split,is_cc\n",
         '"air drumming",-_AAAAAAAA0,7,17,train,0\n'),
        ("label,youtube_id,time_start,time_end,split\n",
         "air drumming,-_AAAAAAAA0,7,17,train\n"),
        ("youtube_id,time_start,time_end,split,label\r\n",
         "-_AAAAAAAA0,7.0,17.0,train,air_drumming\r\n"),
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
    assert read(tmp_path, text, "kinetics600_holdout_test.csv") == [
        Annotation("test", "AAAAAAAAAAA_000017_000027", None)
    ]


def test_read_csv_keeps_two_segments_of_one_id(tmp_path):
    rows = read(
        tmp_path,
        "label,youtube_id,time_start,time_end\n"
        "zumba,AAAAAAAAAAA,7,17\nair drumming,AAAAAAAAAAA,83,93\n",
    )
    assert [row.video_id[-13:] for row in rows] == ["000007_000017", "000083_000093"]


def test_read_csv_reads_all_splits_from_one_file(tmp_path):
    rows = read(
        tmp_path,
        "label,youtube_id,time_start,time_end,split\n"
        "zumba,AAAAAAAAAAA,7,17,train\nzumba,BBBBBBBBBBB,7,17,validate\n"
        ",CCCCCCCCCCC,7,17,test\n",
        name="all.csv",
    )
    assert [row.split for row in rows] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        *((name, "validation") for name in ("val", "validate", "validation", "valid")),
        *((name, "train") for name in ("train", "videos_train", "k700_train_001")),
        *((name, "train") for name in ("Train", "train_256", "kinetics-400_train")),
        *((name, "test") for name in ("test", "kinetics600_holdout_test")),
        *((name, None) for name in ("", "trainval", "train_val", "testing", "latest")),
    ],
)
def test_split_of(text, split):
    assert annotations.split_of(text) == split


@pytest.mark.parametrize("release", ["k400", "k600", "k700", "k700_2020"])
def test_split_of_finds_none_in_class_names(release):
    names = annotations.labels_of(release).names
    assert {annotations.split_of(name) for name in names} == {None}


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("0wR5jVB-WPk_000417_000427", ("0wR5jVB-WPk", "0wR5jVB-WPk_000417_000427")),
        ("_-_1_2_3_4__7_17", ("_-_1_2_3_4_", "_-_1_2_3_4__000007_000017")),
        ("AAAAAAAAAAA_7.0_17.5", ("AAAAAAAAAAA", "AAAAAAAAAAA_000007_000017")),
        ("AAAAA_12_34", ("AAAAA_12_34", None)),
        ("AAAAAAAAAAA_7", None),
        ("AAAAAAAAAAA_7_17_256p", None),
        ("AAAAAAAAAAA_\u0667_17", None),
        ("short", None),
        ("", None),
    ],
)
def test_parse_stem(stem, expected):
    assert annotations.parse_stem(stem) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.csv must have a column 'youtube_id', got an empty file"),
        ("a,b\n1,2\n", r"have a column 'youtube_id', got a, b\. Use the official"),
        (
            "label,youtube_id,time_start,time_end\nzumba,AAAAAAAAAAA,1,11\n"
            "zumba,../../etc/x,1,11\n",
            r"train\.csv, line 3: youtube_id must be 11 .*got '\.\./\.\./etc/x'",
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
            r"line 2: label must not be empty but in the test split",
        ),
        (
            "label,youtube_id,time_start,time_end,split\nzumba,AAAAAAAAAAA,1,11,val\n",
            r"line 2: split must be 'train' as the file's name says, got 'val'\. Is",
        ),
        (
            "label,youtube_id,time_start,time_end\n,AAAAAAAAAAA,1,11\n",
            r"line 2: label must not be empty but in the test split",
        ),
    ],
    ids=[
        *("empty", "columns", "id", "seconds", "short row", "label"),
        *("no label", "another split", "blank label"),
    ],
)
def test_read_csv_names_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("column", ["youtube_id", "time_end", "label", "split"])
def test_read_csv_refuses_a_column_that_is_there_twice(tmp_path, column):
    path = tmp_path / "train.csv"
    path.write_text(f"label,youtube_id,time_start,time_end,split,{column}\n")
    with pytest.raises(
        ValueError, match=rf"train\.csv, line 1: .* once, got '{column}' 2 times"
    ):
        annotations.read_csv(path, annotations.labels_of("k400"))


def test_read_csv_needs_to_know_the_split(tmp_path):
    text = "label,youtube_id,time_start,time_end\nzumba,AAAAAAAAAAA,1,11\n"
    with pytest.raises(ValueError, match=r"line 2: the split must be told by"):
        read(tmp_path, text, name="kinetics.csv")


def test_read_csv_refuses_other_encodings(tmp_path):
    header = "label,youtube_id,time_start,time_end\n"
    with pytest.raises(ValueError, match=r"k400_train\.csv must be UTF-8 text: "):
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
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "sep=;\n", "# made by hand\n\n", "\n"]),
    st.sampled_from([str, str.upper, str.title, lambda n: f" {n.replace('_', ' ')} "]),
)
def test_read_csv_round_trip(
    tmp_path_factory,
    rows,
    columns,
    quoting,
    separator,
    encoding,
    line_end,
    before,
    spell,
):
    text = io.StringIO(newline="")
    text.write(before.replace("\n", line_end))
    writer = csv.DictWriter(
        text, columns, quoting=quoting, delimiter=separator, lineterminator=line_end
    )
    writer.writerow({column: spell(column) for column in columns})
    for label, youtube_id, start, end in rows:
        writer.writerow(
            {
                "label": label,
                "youtube_id": youtube_id,
                "time_start": start,
                "time_end": end,
            }
        )
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    expected = [
        Annotation("train", f"{youtube_id}_{start:06d}_{end:06d}", label)
        for label, youtube_id, start, end in rows
    ]
    assert annotations.read_csv(path, LABELS) == (expected, [])


@pytest.mark.parametrize(
    ("release", "count"),
    [("k400", 400), ("k600", 600), ("k700", 700), ("k700_2020", 700)],
)
def test_labels_are_sorted_complete_and_told_apart_by_letters(release, count):
    labels = annotations.labels_of(release)
    assert len(set(labels.names)) == count
    assert labels.names == sorted(labels.names)
    for name in labels.names:
        for spelled in (
            name,
            name.replace(" ", "_"),
            name.translate(str.maketrans(" ", "_", "'()")),
            name.replace("(", "-").replace(")", "-"),
            name.upper(),
        ):
            assert labels.find(spelled) == name
    assert labels.find("no such class") is None


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
        for number, name in enumerate(annotations.labels_of(release).names)
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
    labels = annotations.labels_of(release)
    rows, bad = annotations.read_csv(SHARED / "annotations" / file, labels)
    assert not bad
    assert len({row.video_id for row in rows}) == count
    assert {row.label for row in rows} == (set(labels.names) if labelled else {None})
    assert {row.split for row in rows} == {"validation" if labelled else "test"}


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


HEADER = "label,youtube_id,time_start,time_end\n"


def test_bad_rows_are_one_error_with_the_first_ten(tmp_path):
    lines = [
        "zumba,AAAAAAAAAAA,1,11",
        "zumba,#NAME?,1,11",
        *(f"zumba,AAAAAAAAA{n},1,11" for n in range(10)),
        "zumba,AAAAAAAAAAB,00:10,00:20",
    ]
    path = tmp_path / "train.csv"
    path.write_text(HEADER + "\n".join(lines))
    rows, bad = annotations.read_csv(path, LABELS)
    assert [row.video_id for row in rows] == ["AAAAAAAAAAA_000001_000011"]
    assert [row.line for row in bad] == list(range(3, 15))
    with pytest.raises(ValueError, match=r"line 3: youtube_id .*'#NAME\?'.*") as error:
        annotations.require_no_bad_rows(bad)
    *shown, more, remedy = str(error.value).splitlines()
    assert [f"train.csv, line {n}: " in text for n, text in enumerate(shown, 3)]
    assert len(shown) == 10
    assert "A spreadsheet may have changed it" in shown[0]
    assert more == "... and 2 more"
    assert remedy.startswith("Mend the 12 rows, or go on without: --skip-bad-rows")


def test_rows_may_have_comments_blanks_and_further_cells(tmp_path):
    text = (
        "# label, youtube_id, time_start, time_end\n"
        " zumba , AAAAAAAAAAA , 1 , 11 , more\n"
        "\n"
        "# half of it is missing\n"
        '"air drumming","BBBBBBBBBBB","2,0","12,0"\n'
    )
    assert [row.video_id for row in read(tmp_path, text)] == [
        "AAAAAAAAAAA_000001_000011",
        "BBBBBBBBBBB_000002_000012",
    ]


def test_lines_are_those_of_the_file(tmp_path):
    text = f'sep=,\n\n{HEADER}zumba,AAAAAAAAAAA,1,11\n"no\nsuch",AAAAAAAAAAB,1,11\n'
    with pytest.raises(ValueError, match=r"line 6: label must be one of"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("zumba,0wR5jVB-WPk,417,427,train\n", True),
        ("0wR5jVB-WPk;417;427\n", True),
        ("YouTube Id,from,to\nx,1,2\n", True),
        ("release,id,name\nk400,0,abseiling\n", False),
        ("id,name\n0,abseiling\n1,air drumming\n", False),
        ("", False),
    ],
)
def test_a_table_without_its_header_is_told_from_others(tmp_path, text, meant):
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert not annotations.is_table(path)
    assert annotations.looks_like_table(path) == meant
