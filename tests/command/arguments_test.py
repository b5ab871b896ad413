import pytest

from kinetics_clips.command import arguments

NEEDED = {
    "demo": [],
    "check": ["folder", "--manual-dir", "videos"],
    "build": ["kinetics_clips/folder", "--manual-dir", "videos"],
    "index": ["folder"],
    "preview": ["folder"],
    "report": ["folder"],
}


@pytest.mark.parametrize("command", NEEDED)
def test_every_argument_is_named_as_its_option_in_the_help(command, capsys):
    args = arguments.parser().parse_args([command, *NEEDED[command]])
    with pytest.raises(SystemExit, match="0"):
        arguments.parser().parse_args([command, "--help"])
    words = capsys.readouterr().out.replace("[", " ").replace("]", " ").split()
    for name in vars(args).keys() - {"command"}:
        option = arguments.in_options(f"`{name}` must be 1", args).split("`")[1]
        assert option in words, name


def test_an_error_names_options_where_they_stand_for_arguments():
    args = arguments.parser().parse_args(["preview", "folder"])
    text = "`num_frames` must be in [1, 9] or None, got `x`: see `ClipSpec(crop=1)`."
    assert arguments.in_options(text, args) == (
        "`--frames` must be in [1, 9], got `x`: see `ClipSpec(crop=1)`."
    )
