"""C++ kernels for training on CPU, compiled on first use; without a compiler torch does everything."""
