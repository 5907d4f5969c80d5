"""Sources of frames: a video file, an animation or a camera."""
