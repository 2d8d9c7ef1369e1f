// The rules by which peaks join people, as porting.md tells them.

/** To the nearest whole number, halves to the even one. */
export function rounded(value) {
  const whole = Math.round(value);
  return whole - value === 0.5 && whole % 2 ? whole - 1 : whole;
}

// (N, P) distances of peaks, the highest first, to persons; heat of the peaks; the distance
// from which on none joins -> for each peak the number of its person, -1 for none.
export const RULES = {
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
  const cost = (gap, peak) => held(rounded(gap) * 100 - (turned ? scores[peak] : 0));
  const costs = distance.map((to, peak) => to.map(gap => cost(gap, peak)));
  const chosen = distance.map(() => -1);
  assigned(turned ? costs[0].map((_, person) => costs.map(row => row[person])) : costs).forEach(
    (column, row) => {
      const [peak, person] = turned ? [column, row] : [row, column];
      if (distance[peak][person] < limit) chosen[peak] = person;
    },
  );
  return chosen;
}

// The column of each row at the lowest total cost, rows <= columns, by shortest augmenting paths; equal costs
// are broken as lp_assign in decode.h breaks them.
function assigned(cost) {
  const rows = cost.length;
  const columns = cost[0].length;
  const u = Array(rows).fill(0);
  const v = Array(columns).fill(0);
  const columnOf = Array(rows).fill(-1);
  const rowOf = Array(columns).fill(-1);
  for (let current = 0; current < rows; current++) {
    const shortest = Array(columns).fill(Infinity);
    const path = Array(columns).fill(-1);
    const left = Array.from({ length: columns }, (_, k) => columns - k - 1);
    const inRows = new Set();
    const inColumns = new Set();
    let row = current;
    let sink = -1;
    let least = 0;
    while (sink < 0) {
      let index = 0;
      let lowest = Infinity;
      inRows.add(row);
      for (let k = 0; k < left.length; k++) {
        const column = left[k];
        const length = least + cost[row][column] - u[row] - v[column];
        if (length < shortest[column]) {
          path[column] = row;
          shortest[column] = length;
        }
        const free = shortest[column] === lowest && rowOf[column] < 0;
        if (shortest[column] < lowest || free) {
          lowest = shortest[column];
          index = k;
        }
      }
      least = lowest;
      const column = left[index];
      if (rowOf[column] < 0) sink = column;
      else row = rowOf[column];
      inColumns.add(column);
      left[index] = left[left.length - 1];
      left.pop();
    }
    for (const each of inRows) u[each] += each === current ? least : least - shortest[columnOf[each]];
    for (const each of inColumns) v[each] -= least - shortest[each];
    for (let column = sink, from = -1; from !== current;) {
      from = path[column];
      rowOf[column] = from;
      [columnOf[from], column] = [column, columnOf[from]];
    }
  }
  return columnOf;
}
