// The base classes that a driver uses.
