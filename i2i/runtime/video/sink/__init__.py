"""Where translated frames go: a video file, image files, a pipe."""
