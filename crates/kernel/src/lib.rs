//! What Linux does: spaces, areas, faults, files, processes, signals, system calls.
