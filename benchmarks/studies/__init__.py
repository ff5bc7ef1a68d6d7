"""The studies of the thesis, on data that ship with scanpy and on benchmark sets."""
