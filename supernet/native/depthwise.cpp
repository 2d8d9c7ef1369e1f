// Gradients of depthwise convolution, float32, channels last: tensors are (batch, height, width, channels).
//
// Each unit of work is one image, one block of LANES channels and one strip of output columns. The K input rows under
// the kernel are kept in a ring of packed, zero-padded columns, so the inner loops run from the first-level cache and
// know no borders. Sums are split the same way whatever the number of threads, so results do not depend on it.

#include <algorithm>
#include <memory>

#include "vector.h"

namespace {

struct Shape {
  int64_t batch, channels, height, width, out_height, out_width, padding;

  int64_t in_row(int64_t b, int64_t y) const { return (b * height + y) * width * channels; }
  int64_t out_row(int64_t b, int64_t y) const { return (b * out_height + y) * out_width * channels; }
  // The last block overlaps the one before rather than run short of lanes.
  int64_t block_start(int64_t block) const { return std::max<int64_t>(0, std::min(block * LANES, channels - LANES)); }
  int64_t blocks() const { return (channels + LANES - 1) / LANES; }
  int lanes() const { return static_cast<int>(std::min<int64_t>(LANES, channels)); }
};

// Columns of one strip: outputs, and the inputs under them.
template <int K, int S>
struct Strip {
  static constexpr int64_t OUT = 32 / S;
  static constexpr int64_t IN = (OUT - 1) * S + K;
};

// Copy columns [first, first + count) of a row to `packed`, zeros outside of [0, width).
inline void pack(vec* packed, const float* row, int64_t first, int64_t count, int64_t width, int64_t channels, int lanes) {
  const int64_t begin = std::min(std::max<int64_t>(0, -first), count);
  const int64_t end = std::max(std::min(count, width - first), begin);
  std::fill(packed, packed + begin, vec{});
  const float* p = row + (first + begin) * channels;
  if (lanes == LANES) {
    for (int64_t i = begin; i < end; i++, p += channels) packed[i] = load(p);
  } else {
    for (int64_t i = begin; i < end; i++, p += channels) packed[i] = load_some(p, lanes);
  }
  std::fill(packed + end, packed + count, vec{});
}

// The columns lie `channels` apart, too far for the hardware to guess.
inline void prefetch(const float* row, int64_t first, int64_t count, int64_t width, int64_t channels) {
  const int64_t end = std::min(first + count, width);
  for (int64_t i = std::max<int64_t>(0, first); i < end; i++) __builtin_prefetch(row + i * channels);
}

// The ring of packed input rows under the kernel at output row `oy`.
template <int K, int S>
class Rows {
 public:
  Rows(const float* x, const Shape& shape, int64_t b, int64_t out_column, int64_t out_count)
      : x_(x), shape_(shape), b_(b), first_(out_column * S - shape.padding), count_((out_count - 1) * S + K),
        next_(-shape.padding) {}

  void advance(int64_t oy) {
    const int64_t top = oy * S - shape_.padding, bottom = std::min(top + K, shape_.height);
    for (next_ = std::max(next_, top); next_ < bottom; next_++)
      if (next_ >= 0)
        pack(ring_[next_ % K], x_ + shape_.in_row(b_, next_), first_, count_, shape_.width, shape_.channels, shape_.lanes());
    for (int64_t y = std::max<int64_t>(next_, 0); y < std::min(next_ + S, shape_.height); y++)
      prefetch(x_ + shape_.in_row(b_, y), first_, count_, shape_.width, shape_.channels);
  }

  const vec* operator[](int64_t y) const { return ring_[y % K]; }

 private:
  // Columns past the strip's end are read when outputs are computed several at once.
  vec ring_[K][Strip<K, S>::IN + 8] = {};
  const float* x_;
  const Shape& shape_;
  int64_t b_, first_, count_, next_;
};

template <int K, int S>
void weight_grad_unit(
    const float* x, const float* grad, vec* total, const Shape& shape, int64_t b, int64_t column, int64_t count) {
  Rows<K, S> rows(x, shape, b, column, count);
  vec packed_grad[Strip<K, S>::OUT];
  std::fill(total, total + K * K, vec{});
  for (int64_t oy = 0; oy < shape.out_height; oy++) {
    const int64_t top = oy * S - shape.padding;
    rows.advance(oy);
    pack(packed_grad, grad + shape.out_row(b, oy), column, count, shape.out_width, shape.channels, shape.lanes());
    if (oy + 1 < shape.out_height)
      prefetch(grad + shape.out_row(b, oy + 1), column, count, shape.out_width, shape.channels);
    for (int i = 0; i < K; i++) {
      if (top + i < 0 || top + i >= shape.height) continue;
      const vec* row = rows[top + i];
      vec sum[K] = {};
      for (int64_t ox = 0; ox < count; ox++) {
        const vec g = packed_grad[ox];
#pragma GCC unroll 16
        for (int j = 0; j < K; j++) sum[j] += g * row[ox * S + j];
      }
#pragma GCC unroll 16
      for (int j = 0; j < K; j++) total[i * K + j] += sum[j];
    }
  }
}

template <int K, int S>
void weight_grad(const float* x, const float* grad, float* out, const Shape& shape, int threads) {
  const int64_t strips = (shape.out_width + Strip<K, S>::OUT - 1) / Strip<K, S>::OUT;
  const int64_t parts = shape.batch * strips, units = shape.blocks() * parts;
  std::unique_ptr<vec[]> partial(new vec[units * K * K]);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t unit = 0; unit < units; unit++) {
    const int64_t c = shape.block_start(unit / parts), b = unit % parts / strips;
    const int64_t column = unit % strips * Strip<K, S>::OUT;
    const int64_t count = std::min(Strip<K, S>::OUT, shape.out_width - column);
    weight_grad_unit<K, S>(x + c, grad + c, &partial[unit * K * K], shape, b, column, count);
  }
  for (int64_t block = 0; block < shape.blocks(); block++) {
    float* out_block = out + shape.block_start(block) * K * K;
    for (int k = 0; k < K * K; k++) {
      vec sum = {};
      for (int64_t part = 0; part < parts; part++) sum += partial[(block * parts + part) * K * K + k];
      for (int lane = 0; lane < shape.lanes(); lane++) out_block[lane * K * K + k] = sum[lane];
    }
  }
}

// The convolution of the output gradient with the turned kernel: the input gradient at stride 1.
template <int K>
void turned_unit(const float* grad, const float* weight, float* out, const Shape& shape, int skip, int64_t b, int64_t column,
                 int64_t count) {
  constexpr int AT_ONCE = 8;
  Rows<K, 1> rows(grad, shape, b, column, count);
  vec kernel[K * K] = {};
  for (int k = 0; k < K * K; k++)
    for (int lane = 0; lane < shape.lanes(); lane++) kernel[k][lane] = weight[lane * K * K + K * K - 1 - k];
  for (int64_t oy = 0; oy < shape.out_height; oy++) {
    const int64_t top = oy - shape.padding;
    rows.advance(oy);
    const int64_t begin = std::max<int64_t>(0, -top), end = std::min<int64_t>(K, shape.height - top);
    float* p = out + shape.out_row(b, oy) + column * shape.channels;
    for (int64_t ox = 0; ox < count; ox += AT_ONCE) {
      vec sum[AT_ONCE] = {};
      for (int64_t i = begin; i < end; i++) {
        const vec* row = rows[top + i] + ox;
#pragma GCC unroll 16
        for (int j = 0; j < K; j++) {
          const vec w = kernel[i * K + j];
#pragma GCC unroll 8
          for (int r = 0; r < AT_ONCE; r++) sum[r] += w * row[r + j];
        }
      }
      for (int64_t r = 0; r < std::min<int64_t>(AT_ONCE, count - ox); r++) {
        float* q = p + (ox + r) * shape.channels;
        if (skip == 0 && shape.lanes() == LANES) {
          store(q, sum[r]);
        } else {
          std::memcpy(q + skip, reinterpret_cast<const float*>(&sum[r]) + skip, (shape.lanes() - skip) * sizeof(float));
        }
      }
    }
  }
}

template <int K>
void input_grad(const float* grad, const float* weight, float* out, const Shape& shape, int threads) {
  constexpr int64_t OUT = Strip<K, 1>::OUT;
  const int64_t strips = (shape.out_width + OUT - 1) / OUT, blocks = shape.blocks();
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t unit = 0; unit < shape.batch * strips * blocks; unit++) {
    const int64_t block = unit % blocks, column = unit / blocks % strips * OUT, c = shape.block_start(block);
    const int skip = static_cast<int>(block * LANES - c);  // lanes that the block before writes
    turned_unit<K>(grad + c, weight + c * K * K, out + c, shape, skip, unit / (blocks * strips), column,
                   std::min(OUT, shape.out_width - column));
  }
}

}  // namespace

extern "C" {

// grad is (batch, out_height, out_width, channels), out (channels, kernel, kernel). Returns 0, or 1 for a kernel size or
// a stride that is not compiled in.
int depthwise_weight_grad(const float* x, const float* grad, float* out, int64_t batch, int64_t channels, int64_t height,
                          int64_t width, int64_t out_height, int64_t out_width, int kernel, int stride, int64_t padding,
                          int threads) {
  const Shape shape{batch, channels, height, width, out_height, out_width, padding};
#define CASE(K, S) \
  if (kernel == K && stride == S) return weight_grad<K, S>(x, grad, out, shape, threads), 0;
  CASE(3, 1) CASE(5, 1) CASE(7, 1) CASE(9, 1) CASE(3, 2) CASE(5, 2) CASE(7, 2) CASE(9, 2)
#undef CASE
  return 1;
}

// Stride 1 only. grad is (batch, out_height, out_width, channels), out (batch, height, width, channels).
int depthwise_input_grad(const float* grad, const float* weight, float* out, int64_t batch, int64_t channels, int64_t height,
                         int64_t width, int64_t out_height, int64_t out_width, int kernel, int64_t padding, int threads) {
  const Shape shape{batch, channels, out_height, out_width, height, width, kernel - 1 - padding};
#define CASE(K) \
  if (kernel == K) return input_grad<K>(grad, weight, out, shape, threads), 0;
  CASE(3) CASE(5) CASE(7) CASE(9)
#undef CASE
  return 1;
}
}
