// From a picture to the network's input: "Preprocessing" of porting.md in plain JavaScript.
// Places are continuous: pixel i spans [i, i + 1). `network` is what network.json says. Needs no page.
import { rounded } from './matching.js';

/** The network's input for `pixels` (height x width RGBA bytes): {data, height, width, factor, offset}, data
    (3, height, width) float32; picture * factor + offset is a place of the input. */
export function prepare(pixels, width, height, network) {
  if (Math.max(width, height) > network.longest * Math.min(width, height))
    throw new Error(`a picture of ${width} x ${height} is over ${network.longest} times as long as wide`);
  const [rows, columns] = network.input_shape ?? padded(width, height, network);
  const factor = network.input_shape
    ? Math.min(rows / height, columns / width)
    : network.side / Math.min(height, width);
  const offset = [(columns - width * factor) / 2, (rows - height * factor) / 2];
  const blocks = Math.max(1, Math.floor(1 / factor + 1e-9));
  const small = average(pixels, width, height, blocks);
  const xs = taps(columns, offset[0], factor * blocks, small.width, true);
  const ys = taps(rows, offset[1], factor * blocks, small.height, false);
  const data = new Float32Array(3 * rows * columns);
  for (let channel = 0; channel < 3; channel++) {
    const mean = network.preprocessing.mean[channel];
    const deviation = network.preprocessing.std[channel];
    const normalised = Float32Array.from({ length: 256 }, (_, value) => (value / 255 - mean) / deviation);
    for (let row = 0, at = channel * rows * columns; row < rows; row++) {
      const top = ys.first[row] * small.width;
      const bottom = ys.second[row] * small.width;
      for (let column = 0; column < columns; column++, at++) {
        const left = 3 * xs.first[column] + channel;
        const right = 3 * xs.second[column] + channel;
        const mix = line =>
          Math.fround(
            xs.near[column] * small.data[3 * line + left] + xs.far[column] * small.data[3 * line + right],
          );
        const upper = ys.above[row] && mix(top);
        const lower = ys.below[row] && mix(bottom);
        data[at] = normalised[rounded(Math.fround(upper + ys.share[row] * Math.fround(lower - upper)))];
      }
    }
  }
  return { data, height: rows, width: columns, factor, offset };
}

function padded(width, height, { side, multiple }) {
  const short = Math.min(width, height);
  const long = multiple * Math.ceil((Math.max(width, height) * side) / (short * multiple));
  return height === short ? [side, long] : [long, side];
}

// Mean of blocks x blocks pixels, the last row and column repeated; (height, width, 3) bytes. Halves are
// rounded as OpenCV rounds them.
function average(pixels, width, height, blocks) {
  const columns = Math.ceil(width / blocks);
  const rows = Math.ceil(height / blocks);
  const data = new Uint8Array(3 * rows * columns);
  const round = blocks === 2 ? Math.round : rounded;
  for (let row = 0, to = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, to += 3) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let y = row * blocks; y < (row + 1) * blocks; y++) {
        const line = Math.min(y, height - 1) * width;
        for (let x = column * blocks; x < (column + 1) * blocks; x++) {
          const from = 4 * (line + Math.min(x, width - 1));
          red += pixels[from];
          green += pixels[from + 1];
          blue += pixels[from + 2];
        }
      }
      data[to] = round(red / blocks ** 2);
      data[to + 1] = round(green / blocks ** 2);
      data[to + 2] = round(blue / blocks ** 2);
    }
  }
  return { data, width: columns, height: rows };
}

// For each of `count` pixels the two of the picture's `size` that it lies between, whether they are inside, how
// far it lies towards the second, and their weights. In the steps of float32 that OpenCV 5 takes (`fused`: those
// along a row), so that every pixel is the same; without them one in a hundred is a grey level off.
function taps(count, offset, factor, size, fused) {
  const [first, second, above, below] = [0, 0, 0, 0].map(() => new Int32Array(count));
  const [share, near, far] = [0, 0, 0].map(() => new Float64Array(count));
  const inverse = factor * (1 / (factor * factor));
  const step = Math.fround(inverse);
  const start = Math.fround(-inverse * (offset + 0.5 * factor - 0.5));
  for (let i = 0; i < count; i++) {
    const place = Math.fround((fused ? i * step : Math.fround(i * step)) + start);
    const low = Math.floor(place);
    share[i] = place - low;
    above[i] = low >= 0 && low < size;
    below[i] = low + 1 >= 0 && low + 1 < size;
    near[i] = above[i] * (1 - share[i]);
    far[i] = below[i] * share[i];
    first[i] = Math.min(Math.max(low, 0), size - 1);
    second[i] = Math.min(Math.max(low + 1, 0), size - 1);
  }
  return { first, second, above, below, share, near, far };
}
