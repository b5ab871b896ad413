"""Runs the `kinetics-clips` command as `python -m kinetics_clips`."""

import sys

from kinetics_clips.cli import main

sys.exit(main())
