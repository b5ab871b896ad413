"""From source files to stored frames."""
