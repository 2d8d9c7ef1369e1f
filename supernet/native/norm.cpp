// Batch normalisation in training, with or without a clamp to [0, high] after it, float32, channels last.
//
// A tensor is a (rows, channels) matrix. Sums run in float32 over CHUNK rows and in double beyond, over PARTS parts
// whatever the number of threads, so results do not depend on it.

#include <algorithm>
#include <memory>
#include <vector>

#include "vector.h"

namespace {

constexpr int64_t CHUNK = 64, PARTS = 64;
constexpr int UNROLL = 4;

// Per channel, two sums over all rows: visit(row, count, c, lanes, first, second) adds those of `count` rows from `row`.
template <class Visit>
void column_sums(int64_t rows, int64_t channels, int threads, std::vector<double>& first, std::vector<double>& second,
                 const Visit& visit) {
  const int64_t padded = (channels + LANES - 1) / LANES * LANES;
  std::unique_ptr<double[]> partial(new double[PARTS * 2 * channels]());
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> sums(2 * padded);
#pragma omp for schedule(static)
    for (int64_t part = 0; part < PARTS; part++) {
      double* out = &partial[part * 2 * channels];
      const int64_t end = rows * (part + 1) / PARTS;
      for (int64_t row = rows * part / PARTS; row < end; row += CHUNK) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        const int64_t stop = std::min(row + CHUNK, end);
        for (int64_t r = row; r < stop; r += UNROLL)
          visit(r, static_cast<int>(std::min<int64_t>(UNROLL, stop - r)), sums.data(), sums.data() + padded);
        for (int64_t c = 0; c < channels; c++) {
          out[c] += sums[c];
          out[channels + c] += sums[padded + c];
        }
      }
    }
  }
  first.assign(channels, 0.0);
  second.assign(channels, 0.0);
  for (int64_t part = 0; part < PARTS; part++)
    for (int64_t c = 0; c < channels; c++) {
      first[c] += partial[part * 2 * channels + c];
      second[c] += partial[(part * 2 + 1) * channels + c];
    }
}

struct Whole {
  vec get(const float* p) const { return load(p); }
  void put(float* p, vec v) const { store(p, v); }
};

struct Tail {
  int lanes;
  vec get(const float* p) const { return load_some(p, lanes); }
  void put(float* p, vec v) const { std::memcpy(p, &v, lanes * sizeof(float)); }
};

// body(c, io) for each block of channels; `io` loads and stores a block, the last one possibly short.
template <class Body>
inline void each_block(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) body(c, Whole{});
  if (c < channels) body(c, Tail{static_cast<int>(channels - c)});
}

// Comparisons with NaN are false: it must pass through, for the trainer's guards to see it.
template <bool CLAMP>
inline vec clamp(vec z, vec high) {
  if (!CLAMP) return z;
  z = z < 0 ? vec{} : z;
  return z > high ? high : z;
}

// The gradient where the clamp lets it through.
template <bool CLAMP>
inline vec passed(vec grad, vec z, vec high) {
  return CLAMP ? ((z <= 0) | (z >= high) ? vec{} : grad) : grad;
}

template <bool CLAMP>
void apply(const float* x, float* y, int64_t rows, int64_t channels, const float* scale, const float* shift, float high,
           int threads) {
  const vec top = splat(high);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    const float* p = x + row * channels;
    float* q = y + row * channels;
    each_block(channels, [&](int64_t c, auto io) {
      io.put(q + c, clamp<CLAMP>(io.get(p + c) * io.get(scale + c) + io.get(shift + c), top));
    });
  }
}

template <bool CLAMP>
void backward(const float* x, const float* grad, float* grad_x, int64_t rows, int64_t channels, const float* mean,
              const float* invstd, const float* scale, const float* shift, float high, float* grad_weight, float* grad_bias,
              int threads) {
  const vec top = splat(high);
  std::vector<double> sum_g, sum_gx;
  column_sums(rows, channels, threads, sum_g, sum_gx, [&](int64_t row, int count, float* first, float* second) {
    const float *p = x + row * channels, *g = grad + row * channels;
    each_block(channels, [&](int64_t c, auto io) {
      const vec m = io.get(mean + c), s = io.get(scale + c), t = io.get(shift + c);
      vec a = load(first + c), b = load(second + c);
      for (int r = 0; r < count; r++) {
        const vec value = io.get(p + r * channels + c);
        const vec through = passed<CLAMP>(io.get(g + r * channels + c), value * s + t, top);
        a += through;
        b += through * (value - m);
      }
      store(first + c, a);
      store(second + c, b);
    });
  });
  // grad_x = scale * (g - mean(g) - (x - mean) * invstd^2 * mean(g * (x - mean))), as scale * g + slope * x + offset.
  std::vector<float> slope(channels), offset(channels);
  for (int64_t c = 0; c < channels; c++) {
    grad_bias[c] = static_cast<float>(sum_g[c]);
    grad_weight[c] = static_cast<float>(sum_gx[c] * invstd[c]);
    const double factor = -static_cast<double>(invstd[c]) * invstd[c] * sum_gx[c] / rows;
    slope[c] = static_cast<float>(scale[c] * factor);
    offset[c] = static_cast<float>(scale[c] * (-sum_g[c] / rows - factor * mean[c]));
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    const float *p = x + row * channels, *g = grad + row * channels;
    float* q = grad_x + row * channels;
    each_block(channels, [&](int64_t c, auto io) {
      const vec value = io.get(p + c), s = io.get(scale + c);
      const vec through = passed<CLAMP>(io.get(g + c), value * s + io.get(shift + c), top);
      io.put(q + c, through * s + (value * io.get(&slope[c]) + io.get(&offset[c])));
    });
  }
}

}  // namespace

// Each returns 0 if it ran.
extern "C" {

// Mean and biased variance of each channel.
int norm_statistics(const float* x, int64_t rows, int64_t channels, float* mean, float* variance, int threads) {
  // Sums are taken around a rough mean of rows spread over the tensor, so that the variance does not cancel.
  std::vector<float> rough(channels, 0.0f);
  const int64_t samples = std::min<int64_t>(rows, 64);
  for (int64_t s = 0; s < samples; s++)
    for (int64_t c = 0; c < channels; c++) rough[c] += x[rows * s / samples * channels + c] / samples;
  std::vector<double> sum, squares;
  column_sums(rows, channels, threads, sum, squares, [&](int64_t row, int count, float* first, float* second) {
    const float* p = x + row * channels;
    each_block(channels, [&](int64_t c, auto io) {
      const vec middle = io.get(&rough[c]);
      vec a = load(first + c), b = load(second + c);
      for (int r = 0; r < count; r++) {
        const vec difference = io.get(p + r * channels + c) - middle;
        a += difference;
        b += difference * difference;
      }
      store(first + c, a);
      store(second + c, b);
    });
  });
  for (int64_t c = 0; c < channels; c++) {
    const double difference = sum[c] / rows, spread = squares[c] / rows - difference * difference;
    mean[c] = static_cast<float>(rough[c] + difference);
    variance[c] = static_cast<float>(spread < 0 ? 0.0 : spread);
  }
  return 0;
}

// y = x * scale + shift, clamped to [0, high] if `clamped`.
int norm_apply(const float* x, float* y, int64_t rows, int64_t channels, const float* scale, const float* shift, int clamped,
               float high, int threads) {
  (clamped ? apply<true> : apply<false>)(x, y, rows, channels, scale, shift, high, threads);
  return 0;
}

int norm_backward(const float* x, const float* grad, float* grad_x, int64_t rows, int64_t channels, const float* mean,
                  const float* invstd, const float* scale, const float* shift, int clamped, float high, float* grad_weight,
                  float* grad_bias, int threads) {
  (clamped ? backward<true> : backward<false>)(x, grad, grad_x, rows, channels, mean, invstd, scale, shift, high,
                                               grad_weight, grad_bias, threads);
  return 0;
}
}
