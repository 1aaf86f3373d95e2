"""Every option once: its name, type, default, range and meaning, and how the layers of a configuration combine."""
