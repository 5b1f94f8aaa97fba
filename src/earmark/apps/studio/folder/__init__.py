"""The plain folder: its clips, their labels, every change and its undo."""
