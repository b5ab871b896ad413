import pytest

from kinetics_clips.write.config import KineticsClipsConfig


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "folder"),
        ({"release": "k400"}, "k400"),
        ({"release": "k400", "short_side": 128}, "k400_128px"),
        ({"short_side": None}, "folder_fullsize"),
        (
            {
                "release": "k400",
                "short_side": 128,
                "jpeg_quality": 95,
                "max_videos": 10,
            },
            "k400_128px_q95_10videos",
        ),
        ({"release": "k700_2020", "fps": 10}, "k700_2020_10fps"),
        ({"fps": 29.97}, "folder_29.97fps"),
        (
            {
                "release": "k400",
                "short_side": 128,
                "jpeg_quality": 95,
                "fps": 10.0,
                "max_videos": 1000,
            },
            "k400_128px_q95_10fps_1000videos",
        ),
        ({"name": "my_lab"}, "my_lab"),
    ],
)
def test_config_name_is_a_function_of_its_values(values, name):
    assert KineticsClipsConfig(**values).name == name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"release": "k999"}, "`release` must be k400 or .* or folder, got 'k999'"),
        ({"fps": 0}, r"`fps` must be a number in \(0, 1000\] or None, got 0"),
        ({"fps": float("nan")}, "`fps` must be .*, got nan"),
        ({"fps": "10"}, "`fps` must be .*, got '10'"),
        ({"short_side": 0}, r"`short_side` must be a whole number in \[16, 65536\] or"),
        ({"jpeg_quality": 101}, r"`jpeg_quality` must be .* in \[1, 100\], got 101"),
        ({"jpeg_quality": None}, r"`jpeg_quality` must be .*, got None"),
        ({"max_videos": 0}, r"`max_videos` must be .* or None, got 0"),
        ({"max_videos": True}, r"`max_videos` must be .*, got True"),
        ({"name": "a/b"}, "`name` must be letters, digits, .* got 'a/b'"),
    ],
)
def test_config_refuses_values_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        KineticsClipsConfig(**values)
