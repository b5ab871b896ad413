"""Runs the `kinetics-clips` command as `python -m kinetics_clips`."""

import sys

from kinetics_clips.command.cli import main

sys.exit(main())
