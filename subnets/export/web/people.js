// From a network's outputs to people: "Decoding" of porting.md in plain JavaScript. Needs no page.
import { RULES, rounded } from './matching.js';

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
  const joints = network.skeleton.joints.length;
  const rows = view.height / 4;
  const columns = view.width / 4;
  const map = (data, joint, size) => data.subarray(joint * size, (joint + 1) * size);
  const size = rows * columns;
  const found = [];
  const heats = [];
  const tags = [];
  for (let joint = 0; joint < joints; joint++) {
    heats[joint] = merged(map(quarter, joint, size), map(half, joint, 4 * size), rows, columns);
    tags[joint] = map(quarter, joints + joint, size);
    found[joint] = peaks(heats[joint], 2 * rows, 2 * columns, threshold, nms_window)
      .slice(0, max_people)
      .map(peak => ({ ...peak, tag: tagAt(tags[joint], rows, columns, peak.row, peak.column) }));
  }
  const persons = grouped(found, network);
  if (refine) addMissed(persons, heats, tags, rows, columns);
  return inPicture(persons, view, 2);
}

function fromPeaks({ scores, positions, tags }, view, network) {
  const joints = network.skeleton.joints.length;
  const count = scores.length / joints;
  const found = [];
  for (let joint = 0; joint < joints; joint++) {
    found[joint] = [];
    for (let at = joint * count; at < (joint + 1) * count; at++)
      if (scores[at] > network.decode.threshold)
        found[joint].push({
          score: scores[at],
          x: positions[2 * at],
          y: positions[2 * at + 1],
          tag: tags[at],
        });
  }
  return inPicture(grouped(found, network), view, 2);
}

function fromPeople(outputs, view, network) {
  const joints = network.skeleton.joints.length;
  const joint = (_, at) => Array.from(outputs.people.subarray(3 * at, 3 * at + 3));
  const all = Array.from({ length: outputs.scores.length * joints }, joint);
  const persons = Array.from(outputs.scores, (score, person) => ({
    score,
    joints: all.slice(person * joints, (person + 1) * joints),
  }));
  const there = persons.filter(({ score }) => score > network.least);
  return inPicture(there.slice(0, network.decode.max_people), view, 1);
}

function inPicture(persons, { factor, offset }, stride) {
  const place = ([x, y, score]) =>
    score === 0 ? [0, 0, 0] : [(stride * x - offset[0]) / factor, (stride * y - offset[1]) / factor, score];
  return persons.map(({ score, joints }) => ({ score, joints: joints.map(place) }));
}

// Mean of both scales' heatmaps on the finer grid; what is no number becomes 0.
function merged(coarse, fine, rows, columns) {
  const height = 2 * rows;
  const width = 2 * columns;
  const heat = new Float32Array(height * width);
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
  const place = Math.max((i + 0.5) / 2 - 0.5, 0);
  const low = Math.floor(place);
  return low >= size - 1 ? [size - 1, size - 1, 0] : [low, low + 1, place - low];
}

// Of a map the pixels above the threshold, higher than those before them in the window (in reading order) and
// not lower than those after; the highest first.
function peaks(heat, height, width, threshold, window) {
  const found = [];
  const reach = (window - 1) / 2;
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      if (!(heat[at] > threshold) || !isPeak(heat, height, width, row, column, reach)) continue;
      const [x, y] = vertices(heat, height, width, row, column);
      found.push({ row, column, x, y, score: heat[at] });
    }
  }
  return found.sort((a, b) => b.score - a.score);
}

function isPeak(heat, height, width, row, column, reach) {
  const value = heat[row * width + column];
  for (let y = Math.max(row - reach, 0); y <= Math.min(row + reach, height - 1); y++) {
    for (let x = Math.max(column - reach, 0); x <= Math.min(column + reach, width - 1); x++) {
      const other = heat[y * width + x];
      const before = y < row || (y === row && x < column);
      if (other > value || (other === value && before)) return false;
    }
  }
  return true;
}

function vertices(heat, height, width, row, column) {
  const at = row * width + column;
  return [vertex(heat, at, column, width, 1), vertex(heat, at, row, height, width)];
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
  const [above, below, low] = between(row, rows);
  const [left, right, far] = between(column, columns);
  const upper = tags[above * columns + left] * (1 - far) + tags[above * columns + right] * far;
  const lower = tags[below * columns + left] * (1 - far) + tags[below * columns + right] * far;
  return Math.fround(upper * (1 - low) + lower * low);
}

// Peaks of every joint, the highest first, to the best persons, best first.
function grouped(found, { skeleton, decode, matching }) {
  const persons = [];
  const joints = skeleton.joints.length;
  for (const joint of skeleton.order) {
    const there = persons.slice(0, decode.max_people);
    const distance = found[joint].map(peak =>
      there.map(({ sum, count }) => Math.abs(peak.tag - sum / count)),
    );
    const scores = found[joint].map(peak => peak.score);
    const some = there.length && scores.length;
    const chosen = some ? RULES[matching](distance, scores, decode.tag_threshold) : [];
    found[joint].forEach((peak, index) => {
      const none = { sum: 0, count: 0, tags: [], joints: Array.from({ length: joints }, () => [0, 0, 0]) };
      const person = there[chosen[index] ?? -1] ?? none;
      if (person === none) persons.push(person);
      person.joints[joint] = [peak.x, peak.y, peak.score];
      person.tags[joint] = peak.tag;
      person.sum += peak.tag;
      person.count++;
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
    const lacking = persons
      .filter(person => person.joints[joint][2] === 0)
      .map(person => ({ person, best: -Infinity, at: 0 }));
    for (let cell = 0; lacking.length && cell < rows * columns; cell++) {
      const corner = Math.floor(cell / columns) * 2 * width + (cell % columns) * 2;
      const highest = Math.max(
        heat[corner],
        heat[corner + 1],
        heat[corner + width],
        heat[corner + width + 1],
      );
      for (const one of lacking) {
        if (!(highest > one.best)) continue;
        const gap = Math.fround(tags[joint][cell] - one.person.tag);
        const value = Math.fround(highest - rounded(Math.sqrt(Math.fround(gap * gap))));
        if (value > one.best) Object.assign(one, { best: value, at: corner });
      }
    }
    for (const { person, at } of lacking) {
      const cells = [at, at + 1, at + width, at + width + 1];
      const pick = cells.reduce((best, next) => (heat[next] > heat[best] ? next : best));
      const place = vertices(heat, 2 * rows, width, Math.floor(pick / width), pick % width);
      if (heat[pick] > 0) person.joints[joint] = [...place, heat[pick]];
    }
  });
}
