// Sixteen floats at a time, in the vector extensions that GCC and Clang share; the compiler maps them to the machine.
#pragma once

#include <cstdint>
#include <cstring>

constexpr int LANES = 16;

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float unaligned_vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline vec load(const float* p) { return *reinterpret_cast<const unaligned_vec*>(p); }

static inline void store(float* p, vec v) { *reinterpret_cast<unaligned_vec*>(p) = v; }

static inline vec load_some(const float* p, int lanes) {
  vec v = {};
  std::memcpy(&v, p, lanes * sizeof(float));
  return v;
}

static inline vec splat(float value) { return value - vec{}; }
