"""Tools for those who change the library. They are not part of the package."""
