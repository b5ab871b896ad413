"""What people look at: pictures of clips, and the report page."""
