"""Facts of this machine: cores, memory, graphics cards, installed packages."""
