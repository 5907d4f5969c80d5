"""Where frames come from: a video file or a camera."""
