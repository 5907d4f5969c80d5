"""``python -m i2i`` is the command ``i2i``."""

from i2i.cli import main

if __name__ == "__main__":
    main()
