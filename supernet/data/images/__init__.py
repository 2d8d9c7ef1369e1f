"""Image files: where they lie, how they are decoded, cached and read ahead."""
