"""Images of a generator as files, as a contact sheet and as a video."""
