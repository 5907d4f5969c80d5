"""A preview window in its own process, so that it neither slows the job nor stops it when it closes.

OpenCV's headless package has no windows; Python's tkinter has. ``python -m i2i.cli.preview_window`` is the process of
the window: it reads frames from standard input, each as width and height (little-endian uint32) and RGB bytes.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

_HEAD = struct.Struct("<II")


class Window:
    """Observer that shows the newest result; frames that come too fast are skipped."""

    def __init__(self, title: str, ends: bool = False) -> None:
        """Open the window; with ``ends``, closing it stops the job as Ctrl-C would.

        Raises ValueError, with what is missing, if no window can be opened.
        """
        if problem := missing():
            raise ValueError(problem)
        self._process = subprocess.Popen([sys.executable, "-m", __name__, title], stdin=subprocess.PIPE)
        self._newest: Any = None
        self._changed = threading.Condition()
        self.closed, self.ends = False, ends
        self._thread = threading.Thread(target=self._send, name="i2i-preview", daemon=True)
        self._thread.start()

    def __call__(self, source: Any, result: Any, second: float) -> None:
        if self.closed and self.ends:
            raise KeyboardInterrupt
        with self._changed:
            self._newest = result
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify()
        self._thread.join(timeout=5)
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        if self._process.poll() is None:
            self._process.kill()

    def _send(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self.closed)
                picture, self._newest = self._newest, None
                if picture is None:
                    return
            try:
                pipe.write(packed(picture))
                pipe.flush()
            except OSError:  # the user closed the window
                self.closed = True
                return


def missing() -> str | None:
    """Return why no window can be opened and how to fix it, or None."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "--preview needs a display, and there is none (DISPLAY is not set); leave it out, or use ssh -X"
    if importlib.util.find_spec("tkinter") is None:
        return "--preview needs Python's tkinter, which is not installed: apt install python3-tk, or leave it out"
    return None


def packed(picture: Any) -> bytes:
    """Encode an RGB image, uint8 or uint16 [h, w, 3], for the window."""
    if picture.dtype.itemsize == 2:
        picture = (picture >> 8).astype("uint8")
    height, width = picture.shape[:2]
    return _HEAD.pack(width, height) + picture.tobytes()


def unpacked(pipe: IO[bytes]) -> tuple[int, int, bytes] | None:
    """Decode width, height and RGB bytes of the next frame; None at the end."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    width, height = _HEAD.unpack(head)
    data = pipe.read(3 * width * height)
    return (width, height, data) if len(data) == 3 * width * height else None


def main(title: str) -> None:
    """Show the frames of standard input until it ends; runs in the window's process."""
    import tkinter

    root = tkinter.Tk()
    root.title(title)
    label = tkinter.Label(root)
    label.pack()
    newest: list[tuple[int, int, bytes] | None] = []

    def read() -> None:
        while (frame := unpacked(sys.stdin.buffer)) is not None:
            newest[:] = [frame]
        newest[:] = [None]

    def show() -> None:
        frame = newest.pop() if newest else ()
        if frame is None:
            root.destroy()
            return
        if frame:
            width, height, data = frame
            image = tkinter.PhotoImage(data=b"P6 %d %d 255\n" % (width, height) + data, format="PPM")
            times = max(-(-width // root.winfo_screenwidth()), -(-height // root.winfo_screenheight()))
            image = image.subsample(times) if times > 1 else image
            label.configure(image=image)
            label.image = image  # type: ignore[attr-defined]  # Tk itself holds no reference
        root.after(15, show)

    threading.Thread(target=read, daemon=True).start()
    show()
    root.mainloop()


if __name__ == "__main__":
    main(*sys.argv[1:])
