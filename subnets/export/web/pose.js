// From a picture to the network's input, and from its outputs to people: porting.md in plain JavaScript.
// Places are continuous: pixel i spans [i, i + 1). `network` is what network.json says. Needs no page.

/** The network's input for `pixels` (height x width RGBA bytes): {data, height, width, factor, offset}, data
    (3, height, width) float32; picture * factor + offset is a place of the input. */
export function prepare(pixels, width, height, network) {
  if (Math.max(width, height) > network.longest * Math.min(width, height))
    throw new Error(`a picture of ${width} x ${height} is over ${network.longest} times as long as wide`);
  const [rows, columns] = network.input_shape ?? padded(width, height, network);
  const factor = network.input_shape ? Math.min(rows / height, columns / width)
    : network.side / Math.min(height, width);
  const offset = [(columns - width * factor) / 2, (rows - height * factor) / 2];
  const blocks = Math.max(1, Math.floor(1 / factor + 1e-9));
  const small = average(pixels, width, height, blocks);
  const xs = taps(columns, offset[0], factor * blocks, small.width, true);
  const ys = taps(rows, offset[1], factor * blocks, small.height, false);
  const data = new Float32Array(3 * rows * columns);
  for (let channel = 0; channel < 3; channel++) {
    const mean = network.preprocessing.mean[channel], deviation = network.preprocessing.std[channel];
    const normalised = Float32Array.from({ length: 256 }, (_, value) => (value / 255 - mean) / deviation);
    for (let row = 0, at = channel * rows * columns; row < rows; row++) {
      const top = ys.first[row] * small.width, bottom = ys.second[row] * small.width;
      for (let column = 0; column < columns; column++, at++) {
        const left = xs.first[column], right = xs.second[column], near = xs.near[column], far = xs.far[column];
        const mix = line => Math.fround(near * small.data[3 * (line + left) + channel] + far * small.data[3 * (line + right) + channel]);
        const upper = ys.above[row] && mix(top), lower = ys.below[row] && mix(bottom);
        data[at] = normalised[rounded(Math.fround(upper + ys.share[row] * Math.fround(lower - upper)))];
      }
    }
  }
  return { data, height: rows, width: columns, factor, offset };
}

function padded(width, height, { side, multiple }) {
  const short = Math.min(width, height);
  const long = multiple * Math.ceil(Math.max(width, height) * side / (short * multiple));
  return height === short ? [side, long] : [long, side];
}

// Mean of blocks x blocks pixels, the last row and column repeated; (height, width, 3) bytes. Halves are rounded as
// OpenCV rounds them.
function average(pixels, width, height, blocks) {
  const columns = Math.ceil(width / blocks), rows = Math.ceil(height / blocks);
  const data = new Uint8Array(3 * rows * columns), count = blocks * blocks;
  const round = blocks === 2 ? Math.round : rounded;
  for (let row = 0, to = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, to += 3) {
      let red = 0, green = 0, blue = 0;
      for (let y = row * blocks; y < (row + 1) * blocks; y++) {
        const line = Math.min(y, height - 1) * width;
        for (let x = column * blocks; x < (column + 1) * blocks; x++) {
          const from = 4 * (line + Math.min(x, width - 1));
          red += pixels[from], green += pixels[from + 1], blue += pixels[from + 2];
        }
      }
      data[to] = round(red / count), data[to + 1] = round(green / count), data[to + 2] = round(blue / count);
    }
  }
  return { data, width: columns, height: rows };
}

// For each of `count` pixels the two of the picture's `size` that it lies between, how far it lies towards the
// second, whether they are inside, and their weights. In the steps of float32 that OpenCV 5 takes (`fused`: those
// along a row), so that every pixel is the same; without them one in a hundred is a grey level off.
function taps(count, offset, factor, size, fused) {
  const [first, second, above, below] = [0, 0, 0, 0].map(() => new Int32Array(count));
  const [share, near, far] = [0, 0, 0].map(() => new Float64Array(count));
  const inverse = factor * (1 / (factor * factor));
  const step = Math.fround(inverse), start = Math.fround(-inverse * (offset + 0.5 * factor - 0.5));
  for (let i = 0; i < count; i++) {
    const place = Math.fround((fused ? i * step : Math.fround(i * step)) + start), low = Math.floor(place);
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

/** The people, best first, in the picture's pixels: [{score, joints: [[x, y, score], ...]}, ...].
    `outputs` are float32 arrays by name, `view` what `prepare` gave. */
export function people(outputs, view, network) {
  return ENDS[Object.keys(network.outputs).join()](outputs, view, network);
}

const ENDS = {
  'quarter,half': fromMaps,
  'scores,positions,tags': fromPeaks,
  'scores,people': fromPeople,
};

function fromMaps({ quarter, half }, view, network) {
  const { threshold, max_people, nms_window, refine } = network.decode;
  const rows = view.height / 4, columns = view.width / 4, joints = network.skeleton.joints.length;
  const map = (data, joint, height, width) => data.subarray(joint * height * width, (joint + 1) * height * width);
  const found = [], heats = [], tags = [];
  for (let joint = 0; joint < joints; joint++) {
    heats[joint] = merged(map(quarter, joint, rows, columns), map(half, joint, 2 * rows, 2 * columns), rows, columns);
    tags[joint] = map(quarter, joints + joint, rows, columns);
    found[joint] = peaks(heats[joint], 2 * rows, 2 * columns, threshold, nms_window).slice(0, max_people)
      .map(peak => ({ ...peak, tag: tagAt(tags[joint], rows, columns, peak.row, peak.column) }));
  }
  const persons = grouped(found, network);
  if (refine) addMissed(persons, heats, tags, rows, columns);
  return inPicture(persons, view, 2);
}

function fromPeaks({ scores, positions, tags }, view, network) {
  const joints = network.skeleton.joints.length, count = scores.length / joints, found = [];
  for (let joint = 0; joint < joints; joint++) {
    found[joint] = [];
    for (let at = joint * count; at < (joint + 1) * count; at++)
      if (scores[at] > network.decode.threshold)
        found[joint].push({ score: scores[at], x: positions[2 * at], y: positions[2 * at + 1], tag: tags[at] });
  }
  return inPicture(grouped(found, network), view, 2);
}

function fromPeople(outputs, view, network) {
  const joints = network.skeleton.joints.length, persons = [];
  outputs.scores.forEach((score, person) => {
    const at = joint => outputs.people.subarray(3 * (person * joints + joint), 3 * (person * joints + joint) + 3);
    if (score > network.least)
      persons.push({ score, joints: Array.from({ length: joints }, (_, joint) => Array.from(at(joint))) });
  });
  return inPicture(persons.slice(0, network.decode.max_people), view, 1);
}

function inPicture(persons, { factor, offset }, stride) {
  const place = ([x, y, score]) =>
    score === 0 ? [0, 0, 0] : [(stride * x - offset[0]) / factor, (stride * y - offset[1]) / factor, score];
  return persons.map(({ score, joints }) => ({ score, joints: joints.map(place) }));
}

// Mean of both scales' heatmaps on the finer grid; what is no number becomes 0.
function merged(coarse, fine, rows, columns) {
  const height = 2 * rows, width = 2 * columns, heat = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const [above, below, low] = between(y, rows);
    for (let x = 0; x < width; x++) {
      const [left, right, far] = between(x, columns);
      const upper = coarse[above * columns + left] * (1 - far) + coarse[above * columns + right] * far;
      const lower = coarse[below * columns + left] * (1 - far) + coarse[below * columns + right] * far;
      const value = (upper * (1 - low) + lower * low + fine[y * width + x]) * 0.5;
      heat[y * width + x] = Number.isNaN(value) ? 0 : value;
    }
  }
  return heat;
}

// The two pixels of a map of `size` around pixel `i` of one twice as large, and the weight of the second.
function between(i, size) {
  const place = Math.max((i + 0.5) / 2 - 0.5, 0), low = Math.floor(place);
  return low >= size - 1 ? [size - 1, size - 1, 0] : [low, low + 1, place - low];
}

// Of a map the pixels above the threshold, higher than those before them in the window (in reading order) and
// not lower than those after; the highest first.
function peaks(heat, height, width, threshold, window) {
  const found = [], reach = (window - 1) / 2;
  for (let row = 0, at = 0; row < height; row++)
    for (let column = 0; column < width; column++, at++)
      if (heat[at] > threshold && isPeak(heat, height, width, row, column, reach))
        found.push({ row, column, score: heat[at], x: vertex(heat, at, column, width, 1), y: vertex(heat, at, row, height, width) });
  return found.sort((a, b) => b.score - a.score);
}

function isPeak(heat, height, width, row, column, reach) {
  const value = heat[row * width + column];
  for (let y = Math.max(row - reach, 0); y <= Math.min(row + reach, height - 1); y++) {
    for (let x = Math.max(column - reach, 0); x <= Math.min(column + reach, width - 1); x++) {
      const other = heat[y * width + x], before = y < row || (y === row && x < column);
      if (other > value || (other === value && before)) return false;
    }
  }
  return true;
}

// Where the parabola through a peak and its neighbours along one axis is highest.
function vertex(heat, at, index, size, step) {
  let shift = 0;
  if (index > 0 && index < size - 1) {
    const bend = 2 * heat[at] - heat[at - step] - heat[at + step];
    if (bend > 0 && Number.isFinite(bend))
      shift = Math.min(Math.max((heat[at + step] - heat[at - step]) / (2 * bend), -0.5), 0.5);
  }
  return index + shift + 0.5;
}

function tagAt(tags, rows, columns, row, column) {
  const [above, below, low] = between(row, rows), [left, right, far] = between(column, columns);
  const upper = tags[above * columns + left] * (1 - far) + tags[above * columns + right] * far;
  const lower = tags[below * columns + left] * (1 - far) + tags[below * columns + right] * far;
  return Math.fround(upper * (1 - low) + lower * low);
}

// Peaks of every joint, the highest first, to the best persons, best first.
function grouped(found, { skeleton, decode, matching }) {
  const persons = [], joints = skeleton.joints.length;
  for (const joint of skeleton.order) {
    const there = persons.slice(0, decode.max_people);
    const distance = found[joint].map(peak => there.map(({ sum, count }) => Math.abs(peak.tag - sum / count)));
    const scores = found[joint].map(peak => peak.score);
    const chosen = there.length && scores.length ? RULES[matching](distance, scores, decode.tag_threshold) : [];
    found[joint].forEach((peak, index) => {
      let person = there[chosen[index] ?? -1];
      if (!person) persons.push(person = { sum: 0, count: 0, tags: [], joints: Array.from({ length: joints }, () => [0, 0, 0]) });
      person.joints[joint] = [peak.x, peak.y, peak.score];
      person.tags[joint] = peak.tag;
      person.sum += peak.tag, person.count++;
    });
  }
  for (const person of persons) {
    // Summed in the order of the joints, as elsewhere: a last digit decides what is rounded.
    person.tag = Math.fround(person.tags.reduce((sum, tag) => sum + tag, 0) / person.count);
    person.score = Math.fround(person.joints.reduce((sum, [, , score]) => sum + score, 0) / joints);
  }
  return persons.sort((a, b) => b.score - a.score).slice(0, decode.max_people);
}

// A joint that a person lacks lies where heat, less the rounded distance of the tag there to the person's, is
// highest: each pixel of the tag map with the highest of its four heats.
function addMissed(persons, heats, tags, rows, columns) {
  const width = 2 * columns;
  heats.forEach((heat, joint) => {
    const lacking = persons.filter(person => person.joints[joint][2] === 0)
      .map(person => ({ person, best: -Infinity, at: 0 }));
    for (let cell = 0; lacking.length && cell < rows * columns; cell++) {
      const corner = Math.floor(cell / columns) * 2 * width + (cell % columns) * 2;
      const highest = Math.max(heat[corner], heat[corner + 1], heat[corner + width], heat[corner + width + 1]);
      for (const one of lacking) {
        if (!(highest > one.best)) continue;
        const gap = Math.fround(tags[joint][cell] - one.person.tag);
        const value = Math.fround(highest - rounded(Math.sqrt(Math.fround(gap * gap))));
        if (value > one.best) one.best = value, one.at = corner;
      }
    }
    for (const { person, at } of lacking) {
      const pick = [at, at + 1, at + width, at + width + 1].reduce((best, next) => (heat[next] > heat[best] ? next : best));
      const row = Math.floor(pick / width), column = pick % width;
      if (heat[pick] > 0)
        person.joints[joint] = [vertex(heat, pick, column, width, 1), vertex(heat, pick, row, 2 * rows, width), heat[pick]];
    }
  });
}

// Halves to the even number.
function rounded(value) {
  const whole = Math.round(value);
  return whole - value === 0.5 && whole % 2 ? whole - 1 : whole;
}

// Rules of matching: (N, P) distances of peaks, the highest first, to persons; heat of the peaks; the distance
// from which on none joins -> for each peak the number of its person, -1 for none.
const RULES = {
  greedy: (distance, scores, limit) => nearest(distance, limit, rounded),
  first: (distance, scores, limit) => nearest(distance, limit, () => 0),
  hungarian,
};

function nearest(distance, limit, counted) {
  const taken = new Set();
  return distance.map(to => {
    let best = -1;
    to.forEach((gap, person) => {
      if (!taken.has(person) && gap < limit && (best < 0 || counted(gap) < counted(to[best]))) best = person;
    });
    if (best >= 0) taken.add(best);
    return best;
  });
}

function hungarian(distance, scores, limit) {
  const turned = distance[0].length < distance.length;
  const held = cost => (Number.isNaN(cost) ? 1e10 : Math.min(Math.max(cost, -1e10), 1e10));
  const costs = distance.map((to, peak) => to.map(gap => held(rounded(gap) * 100 - (turned ? scores[peak] : 0))));
  const chosen = distance.map(() => -1);
  assigned(turned ? costs[0].map((_, person) => costs.map(row => row[person])) : costs).forEach((column, row) => {
    const [peak, person] = turned ? [column, row] : [row, column];
    if (distance[peak][person] < limit) chosen[peak] = person;
  });
  return chosen;
}

// The column of each row at the lowest total cost, rows <= columns, by shortest augmenting paths; equal costs are
// broken as lp_assign in decode.h breaks them.
function assigned(cost) {
  const rows = cost.length, columns = cost[0].length;
  const u = Array(rows).fill(0), v = Array(columns).fill(0), columnOf = Array(rows).fill(-1), rowOf = Array(columns).fill(-1);
  for (let current = 0; current < rows; current++) {
    const shortest = Array(columns).fill(Infinity), path = Array(columns).fill(-1);
    const left = Array.from({ length: columns }, (_, k) => columns - k - 1), inRows = new Set(), inColumns = new Set();
    let row = current, sink = -1, least = 0;
    while (sink < 0) {
      let index = 0, lowest = Infinity;
      inRows.add(row);
      left.forEach((column, k) => {
        const length = least + cost[row][column] - u[row] - v[column];
        if (length < shortest[column]) path[column] = row, shortest[column] = length;
        if (shortest[column] < lowest || (shortest[column] === lowest && rowOf[column] < 0)) lowest = shortest[column], index = k;
      });
      least = lowest;
      const column = left[index];
      if (rowOf[column] < 0) sink = column;
      else row = rowOf[column];
      inColumns.add(column);
      left[index] = left[left.length - 1], left.pop();
    }
    for (const each of inRows) u[each] += each === current ? least : least - shortest[columnOf[each]];
    for (const each of inColumns) v[each] -= least - shortest[each];
    for (let column = sink, from = -1; from !== current;) {
      from = path[column], rowOf[column] = from;
      [columnOf[from], column] = [column, columnOf[from]];
    }
  }
  return columnOf;
}
