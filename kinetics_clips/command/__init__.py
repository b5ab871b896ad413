"""The `kinetics-clips` command."""
