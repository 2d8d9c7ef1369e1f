/* The people in the outputs of one exported pose network, by the rules that the toolkit itself decodes with.

   C99, no allocation, no global state, nothing but libm (-lm). docs: porting.md beside this file. Use:

       static lp_state state;                      // about LP_JOINTS * LP_PEAKS * 60 bytes
       static lp_person people[LP_PEOPLE];
       int count = lp_decode_maps(quarter, half, height, width, half, &state, people);
       lp_to_image(people, count, 2 / scale, 2 / scale, -offset_x / scale, -offset_y / scale);

   quarter is (2J, height / 2, width / 2), half (J, height, width), both contiguous float32 as the network gives
   them (NCHW); height and width are even. The merged heatmaps may overwrite half, as above.
   Of a network that ends in its best peaks: lp_decode_peaks(scores, positions, tags, peaks, &state, people). */
#ifndef LITEPOSE_DECODE_H
#define LITEPOSE_DECODE_H

#include <math.h>
#include <stddef.h>

#define LP_HUNGARIAN 0
#define LP_GREEDY 1
#define LP_FIRST 2

/* settings of the network: begin */
#define LP_JOINTS 14
#define LP_ORDER 12, 13, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11
#define LP_PEOPLE 30
#define LP_PEAKS 30
#define LP_WINDOW 3
#define LP_THRESHOLD 0.1f
#define LP_TAG_THRESHOLD 1.0
#define LP_REFINE 1
#define LP_MATCHING LP_HUNGARIAN
/* settings of the network: end */

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define LP_FOUND (LP_JOINTS * LP_PEAKS)
#define LP_SIDE (LP_PEAKS > LP_PEOPLE ? LP_PEAKS : LP_PEOPLE)

typedef struct {
    float x, y, score; /* continuous: pixel i spans [i, i + 1); all 0 where nothing was found */
} lp_joint;

typedef struct {
    lp_joint joints[LP_JOINTS];
    float tag;   /* mean of its joints' tags */
    float score; /* mean over all joints of the heat that grouping found */
} lp_person;

/* Scratch memory of one call; its contents before and after do not matter. */
typedef struct {
    int count[LP_JOINTS];
    int row[LP_FOUND], column[LP_FOUND];
    float x[LP_FOUND], y[LP_FOUND], score[LP_FOUND], tag[LP_FOUND];
    int person[LP_FOUND]; /* of each peak */
    int founded;
    double tag_sum[LP_FOUND];
    double score_sum[LP_FOUND];
    int members[LP_FOUND];
    int chosen[LP_PEAKS];
    int taken[LP_PEOPLE];
    double distance[LP_PEAKS * LP_PEOPLE];
#if LP_MATCHING == LP_HUNGARIAN
    double cost[LP_SIDE * LP_SIDE], u[LP_SIDE], v[LP_SIDE], shortest[LP_SIDE];
    int path[LP_SIDE], col4row[LP_SIDE], row4col[LP_SIDE], in_rows[LP_SIDE], in_cols[LP_SIDE], left[LP_SIDE];
#endif
} lp_state;

/* Mean of both scales' heatmaps on the finer grid: heat (J, height, width), which may be half itself. */
static inline void lp_merge(const float *quarter, const float *half, int height, int width, float *heat)
{
    const int rows = height / 2, columns = width / 2;
    for (int joint = 0; joint < LP_JOINTS; joint++) {
        const float *coarse = quarter + (size_t)joint * rows * columns;
        for (int y = 0; y < height; y++) {
            const int top = y ? (y - 1) / 2 : 0, bottom = (y + 1) / 2 < rows ? (y + 1) / 2 : rows - 1;
            const float low = y % 2 ? 0.25f : 0.75f;
            const float *above = coarse + (size_t)top * columns, *below = coarse + (size_t)bottom * columns;
            const size_t line = ((size_t)joint * height + y) * width;
            for (int x = 0; x < width; x++) {
                const int left = x ? (x - 1) / 2 : 0;
                const int right = (x + 1) / 2 < columns ? (x + 1) / 2 : columns - 1;
                const float far = left == right ? 0.0f : x % 2 ? 0.25f : 0.75f;
                const float upper = above[left] * (1.0f - far) + above[right] * far;
                const float lower = below[left] * (1.0f - far) + below[right] * far;
                heat[line + x] = (upper * (1.0f - low) + lower * low + half[line + x]) * 0.5f;
            }
        }
    }
}

/* Where the parabola through a peak and its two neighbours along one axis is highest. */
static inline float lp_vertex(const float *at, int index, int size, int step)
{
    float shift = 0.0f;
    if (index > 0 && index < size - 1) {
        const float before = at[-step], after = at[step];
        const float bend = 2.0f * *at - before - after;
        if (bend > 0.0f && isfinite(bend)) {
            shift = (after - before) / (2.0f * bend);
            shift = shift < -0.5f ? -0.5f : shift > 0.5f ? 0.5f : shift;
        }
    }
    return (float)((double)index + (double)shift + 0.5);
}

/* Higher than what stands before it in its window in reading order, not lower than what stands after. */
static inline int lp_is_peak(const float *heat, int height, int width, int row, int column)
{
    const int reach = LP_WINDOW / 2;
    const float value = heat[(size_t)row * width + column];
    for (int y = row - reach; y <= row + reach; y++) {
        if (y < 0 || y >= height)
            continue;
        for (int x = column - reach; x <= column + reach; x++) {
            if (x < 0 || x >= width || (y == row && x == column))
                continue;
            const float other = heat[(size_t)y * width + x];
            if (other > value || (other == value && (y < row || (y == row && x < column))))
                return 0;
        }
    }
    return 1;
}

/* The tag map (height / 2, width / 2) at the centre of a heatmap pixel, bilinear. */
static inline float lp_tag_at(const float *tags, int rows, int columns, int row, int column)
{
    const int top = row ? (row - 1) / 2 : 0, left = column ? (column - 1) / 2 : 0;
    const int bottom = top + 1 < rows ? top + 1 : rows - 1, right = left + 1 < columns ? left + 1 : columns - 1;
    const int last_row = row == 2 * rows - 1, last_column = column == 2 * columns - 1;
    const float down = !row || last_row ? 0.0f : row % 2 ? 0.25f : 0.75f;
    const float along = !column || last_column ? 0.0f : column % 2 ? 0.25f : 0.75f;
    const float *above = tags + (size_t)top * columns, *below = tags + (size_t)bottom * columns;
    const float upper = above[left] * (1.0f - along) + above[right] * along;
    const float lower = below[left] * (1.0f - along) + below[right] * along;
    return upper * (1.0f - down) + lower * down;
}

/* The LP_PEAKS highest peaks of every joint, the highest first, equal ones in reading order. */
static inline void lp_find_peaks(const float *heat, const float *tags, int height, int width, lp_state *state)
{
    for (int joint = 0; joint < LP_JOINTS; joint++) {
        const float *map = heat + (size_t)joint * height * width;
        const float *own = tags + (size_t)joint * (height / 2) * (width / 2);
        const int base = joint * LP_PEAKS, most = LP_PEAKS < LP_PEOPLE ? LP_PEAKS : LP_PEOPLE;
        int count = 0;
        for (int row = 0; row < height; row++) {
            for (int column = 0; column < width; column++) {
                const float value = map[(size_t)row * width + column];
                if (!(value > LP_THRESHOLD) || (count == most && value <= state->score[base + most - 1]))
                    continue;
                if (!lp_is_peak(map, height, width, row, column))
                    continue;
                int place = count < most ? count++ : most - 1;
                for (; place > 0 && state->score[base + place - 1] < value; place--) {
                    state->score[base + place] = state->score[base + place - 1];
                    state->row[base + place] = state->row[base + place - 1];
                    state->column[base + place] = state->column[base + place - 1];
                }
                state->score[base + place] = value;
                state->row[base + place] = row;
                state->column[base + place] = column;
            }
        }
        state->count[joint] = count;
        for (int place = base; place < base + count; place++) {
            const int row = state->row[place], column = state->column[place];
            const float *at = map + (size_t)row * width + column;
            state->x[place] = lp_vertex(at, column, width, 1);
            state->y[place] = lp_vertex(at, row, height, width);
            state->tag[place] = lp_tag_at(own, height / 2, width / 2, row, column);
        }
    }
}

#if LP_MATCHING == LP_HUNGARIAN
/* Shortest augmenting paths (Crouse, "On implementing 2D rectangular assignment algorithms", 2016), the order of
   equal costs included as in SciPy's linear_sum_assignment; rows <= columns. */
static inline void lp_assign(lp_state *s, int rows, int columns)
{
    for (int i = 0; i < rows; i++)
        s->u[i] = 0.0, s->col4row[i] = -1;
    for (int j = 0; j < columns; j++)
        s->v[j] = 0.0, s->row4col[j] = -1, s->path[j] = -1;
    for (int current = 0; current < rows; current++) {
        int i = current, sink = -1, remaining = columns;
        double least = 0.0;
        for (int j = 0; j < columns; j++)
            s->left[j] = columns - j - 1, s->in_cols[j] = 0, s->shortest[j] = HUGE_VAL;
        for (int r = 0; r < rows; r++)
            s->in_rows[r] = 0;
        while (sink < 0) {
            int index = 0;
            double lowest = HUGE_VAL;
            s->in_rows[i] = 1;
            for (int k = 0; k < remaining; k++) {
                const int j = s->left[k];
                const double r = least + s->cost[i * columns + j] - s->u[i] - s->v[j];
                if (r < s->shortest[j])
                    s->path[j] = i, s->shortest[j] = r;
                if (s->shortest[j] < lowest || (s->shortest[j] == lowest && s->row4col[j] < 0))
                    lowest = s->shortest[j], index = k;
            }
            least = lowest;
            const int j = s->left[index];
            if (s->row4col[j] < 0)
                sink = j;
            else
                i = s->row4col[j];
            s->in_cols[j] = 1;
            s->left[index] = s->left[--remaining];
        }
        s->u[current] += least;
        for (int r = 0; r < rows; r++)
            if (s->in_rows[r] && r != current)
                s->u[r] += least - s->shortest[s->col4row[r]];
        for (int j = 0; j < columns; j++)
            if (s->in_cols[j])
                s->v[j] -= least - s->shortest[j];
        for (int j = sink, r = -1; r != current;) {
            r = s->path[j];
            s->row4col[j] = r;
            const int next = s->col4row[r];
            s->col4row[r] = j;
            j = next;
        }
    }
}

/* The lowest total of round(distance) * 100, less the heat where there are more peaks than persons. */
static inline void lp_pair(lp_state *s, const float *score, int peaks, int persons)
{
    const int turned = persons < peaks;
    for (int peak = 0; peak < peaks; peak++) {
        for (int person = 0; person < persons; person++) {
            double cost = rint(s->distance[peak * persons + person]) * 100.0;
            if (turned)
                cost -= (double)score[peak];
            cost = isnan(cost) ? 1e10 : cost > 1e10 ? 1e10 : cost < -1e10 ? -1e10 : cost;
            s->cost[turned ? person * peaks + peak : peak * persons + person] = cost;
        }
    }
    lp_assign(s, turned ? persons : peaks, turned ? peaks : persons);
    for (int row = 0; row < (turned ? persons : peaks); row++) {
        const int peak = turned ? s->col4row[row] : row, person = turned ? row : s->col4row[row];
        if (s->distance[peak * persons + person] < LP_TAG_THRESHOLD)
            s->chosen[peak] = person;
    }
}
#else
/* The highest peak first, to the nearest person left by rounded distance (LP_FIRST: by none); of equals, who was
   founded first. */
static inline void lp_pair(lp_state *s, const float *score, int peaks, int persons)
{
    (void)score;
    for (int person = 0; person < persons; person++)
        s->taken[person] = 0;
    for (int peak = 0; peak < peaks; peak++) {
        double nearest = HUGE_VAL;
        for (int person = 0; person < persons; person++) {
            const double distance = s->distance[peak * persons + person];
            const double counted = LP_MATCHING == LP_FIRST ? 0.0 : rint(distance);
            if (s->taken[person] || !(distance < LP_TAG_THRESHOLD) || !(counted < nearest))
                continue;
            nearest = counted;
            s->chosen[peak] = person;
        }
        if (s->chosen[peak] >= 0)
            s->taken[s->chosen[peak]] = 1;
    }
}
#endif

/* Peaks to persons, joint by joint in LP_ORDER; who finds no person founds one. */
static inline void lp_match(lp_state *s)
{
    static const int order[LP_JOINTS] = {LP_ORDER};
    s->founded = 0;
    for (int place = 0; place < LP_FOUND; place++)
        s->tag_sum[place] = 0.0, s->members[place] = 0;
    for (int turn = 0; turn < LP_JOINTS; turn++) {
        const int base = order[turn] * LP_PEAKS, peaks = s->count[order[turn]];
        const int persons = s->founded < LP_PEOPLE ? s->founded : LP_PEOPLE;
        for (int peak = 0; peak < peaks; peak++) {
            s->chosen[peak] = -1;
            for (int person = 0; person < persons; person++) {
                const double mean = s->tag_sum[person] / s->members[person];
                const double gap = (double)s->tag[base + peak] - mean;
                s->distance[peak * persons + person] = sqrt(gap * gap);
            }
        }
        if (persons && peaks)
            lp_pair(s, s->score + base, peaks, persons);
        for (int peak = 0; peak < peaks; peak++) {
            const int person = s->chosen[peak] < 0 ? s->founded++ : s->chosen[peak];
            s->person[base + peak] = person;
            s->tag_sum[person] += (double)s->tag[base + peak];
            s->members[person]++;
        }
    }
}

/* The LP_PEOPLE best persons of the matched peaks, the best first, of equals who was founded first. */
static inline int lp_collect(lp_state *s, lp_person *people)
{
    int ranked[LP_PEOPLE], count = 0;
    for (int person = 0; person < s->founded; person++)
        s->score_sum[person] = 0.0, s->tag_sum[person] = 0.0;
    for (int joint = 0; joint < LP_JOINTS; joint++) {
        for (int place = joint * LP_PEAKS; place < joint * LP_PEAKS + s->count[joint]; place++) {
            s->score_sum[s->person[place]] += (double)s->score[place];
            s->tag_sum[s->person[place]] += (double)s->tag[place];
        }
    }
    for (int person = 0; person < s->founded; person++) {
        const float score = (float)(s->score_sum[person] / LP_JOINTS);
        s->score_sum[person] = (double)score;
        if (count == LP_PEOPLE && !((double)score > s->score_sum[ranked[count - 1]]))
            continue;
        int place = count < LP_PEOPLE ? count++ : LP_PEOPLE - 1;
        for (; place > 0 && s->score_sum[ranked[place - 1]] < (double)score; place--)
            ranked[place] = ranked[place - 1];
        ranked[place] = person;
    }
    for (int rank = 0; rank < count; rank++) {
        const int person = ranked[rank];
        const lp_joint none = {0.0f, 0.0f, 0.0f};
        people[rank].tag = (float)(s->tag_sum[person] / s->members[person]);
        people[rank].score = (float)s->score_sum[person];
        for (int joint = 0; joint < LP_JOINTS; joint++) {
            people[rank].joints[joint] = none;
            for (int place = joint * LP_PEAKS; place < joint * LP_PEAKS + s->count[joint]; place++) {
                if (s->person[place] == person) {
                    const lp_joint found = {s->x[place], s->y[place], s->score[place]};
                    people[rank].joints[joint] = found;
                }
            }
        }
    }
    return count;
}

#if LP_REFINE
/* Joints that grouping missed, where heat - round(distance of the tag there to the person's) is highest: each
   pixel of the tag map with the highest of its four heats. */
static inline void lp_refine(const float *heat, const float *tags, int height, int width, lp_person *people, int count)
{
    const int rows = height / 2, columns = width / 2;
    for (int joint = 0; joint < LP_JOINTS; joint++) {
        const float *map = heat + (size_t)joint * height * width;
        const float *own = tags + (size_t)joint * rows * columns;
        float best[LP_PEOPLE];
        int at[LP_PEOPLE], who[LP_PEOPLE], wanted = 0;
        for (int person = 0; person < count; person++)
            if (people[person].joints[joint].score == 0.0f)
                best[wanted] = -HUGE_VALF, at[wanted] = 0, who[wanted++] = person;
        for (int cell = 0; wanted && cell < rows * columns; cell++) {
            const float *corner = map + (size_t)(cell / columns) * 2 * width + (size_t)(cell % columns) * 2;
            float highest = corner[0] < corner[1] ? corner[1] : corner[0];
            highest = highest < corner[width] ? corner[width] : highest;
            highest = highest < corner[width + 1] ? corner[width + 1] : highest;
            for (int k = 0; k < wanted; k++) {
                if (!(highest > best[k]))
                    continue;
                const float gap = own[cell] - people[who[k]].tag;
                const float value = highest - rintf(sqrtf(gap * gap));
                if (value > best[k])
                    best[k] = value, at[k] = cell;
            }
        }
        for (int k = 0; k < wanted; k++) {
            int row = at[k] / columns * 2, column = at[k] % columns * 2;
            const float *corner = map + (size_t)row * width + column;
            int pick = corner[1] > corner[0] ? 1 : 0;
            pick = corner[width] > corner[pick] ? width : pick;
            pick = corner[width + 1] > corner[pick] ? width + 1 : pick;
            if (!(corner[pick] > 0.0f))
                continue;
            row += pick >= width;
            column += pick >= width ? pick - width : pick;
            const float *peak = map + (size_t)row * width + column;
            const lp_joint found = {lp_vertex(peak, column, width, 1), lp_vertex(peak, row, height, width), *peak};
            people[who[k]].joints[joint] = found;
        }
    }
}
#endif

/* The people of merged heatmaps (J, height, width) and tags (J, height / 2, width / 2), in heatmap pixels, the
   best first; what is not a number in heat becomes 0 there. Returns how many, or -1 for sides that do not fit. */
static inline int lp_decode(float *heat, const float *tags, int height, int width, lp_state *state, lp_person *people)
{
    if (height < 2 || width < 2 || height % 2 || width % 2)
        return -1;
    for (size_t i = 0; i < (size_t)LP_JOINTS * height * width; i++)
        heat[i] = isnan(heat[i]) ? 0.0f : heat[i];
    lp_find_peaks(heat, tags, height, width, state);
    lp_match(state);
    const int count = lp_collect(state, people);
#if LP_REFINE
    lp_refine(heat, tags, height, width, people, count);
#endif
    return count;
}

/* The people of a network's outputs quarter (2J, height / 2, width / 2) and half (J, height, width); heat is
   room for (J, height, width), or half itself. */
static inline int lp_decode_maps(const float *quarter, const float *half, int height, int width, float *heat,
                                 lp_state *state, lp_person *people)
{
    if (height < 2 || width < 2 || height % 2 || width % 2)
        return -1;
    lp_merge(quarter, half, height, width, heat);
    return lp_decode(heat, quarter + (size_t)LP_JOINTS * (height / 2) * (width / 2), height, width, state, people);
}

/* The people of a network that ends in its best peaks: scores (J, peaks), positions (J, peaks, 2) and tags
   (J, peaks). Returns how many, or -1 if peaks exceeds LP_PEAKS. */
static inline int lp_decode_peaks(const float *scores, const float *positions, const float *tags, int peaks,
                                  lp_state *state, lp_person *people)
{
    if (peaks < 0 || peaks > LP_PEAKS)
        return -1;
    for (int joint = 0; joint < LP_JOINTS; joint++) {
        int count = 0;
        for (int place = joint * peaks; place < (joint + 1) * peaks; place++) {
            if (!(scores[place] > LP_THRESHOLD))
                continue;
            state->score[joint * LP_PEAKS + count] = scores[place];
            state->x[joint * LP_PEAKS + count] = positions[2 * place];
            state->y[joint * LP_PEAKS + count] = positions[2 * place + 1];
            state->tag[joint * LP_PEAKS + count++] = tags[place];
        }
        state->count[joint] = count;
    }
    lp_match(state);
    return lp_collect(state, people);
}

/* x and y of all found joints become x * scale_x + offset_x and y * scale_y + offset_y. */
static inline void lp_to_image(lp_person *people, int count, float scale_x, float scale_y, float offset_x,
                               float offset_y)
{
    for (int person = 0; person < count; person++) {
        for (int joint = 0; joint < LP_JOINTS; joint++) {
            lp_joint *at = &people[person].joints[joint];
            if (at->score != 0.0f) {
                at->x = at->x * scale_x + offset_x;
                at->y = at->y * scale_y + offset_y;
            }
        }
    }
}

#endif
