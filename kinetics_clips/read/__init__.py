"""From stored frames to clips."""
