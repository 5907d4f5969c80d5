"""This machine: cores, memory, graphics card, installed packages."""
