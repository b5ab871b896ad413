"""What lies on disk: records, the frame index, directories and names."""
