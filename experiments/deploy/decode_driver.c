/* Cases of stdin through decode.h to stdout: mode (0 outputs, 1 merged maps and tags, 2 peaks), height and width
   (or K and 0), then the arrays; back come the count and the people. */
#include <stdio.h>
#include <stdlib.h>

#include "decode.h"

static lp_state state;
static lp_person people[LP_PEOPLE];

static float *take(size_t count)
{
    float *values = malloc(count ? count * sizeof(float) : 1);
    if (!values || fread(values, sizeof(float), count, stdin) != count)
        exit(3);
    return values;
}

int main(void)
{
    int head[3];
    while (fread(head, sizeof(int), 3, stdin) == 3) {
        const size_t pixels = (size_t)head[1] * head[2], peaks = (size_t)LP_JOINTS * head[1];
        float *one = take(head[0] == 2 ? peaks : head[0] ? LP_JOINTS * pixels : LP_JOINTS * pixels / 2);
        float *two = take(head[0] == 2 ? 2 * peaks : head[0] ? LP_JOINTS * pixels / 4 : LP_JOINTS * pixels);
        float *three = head[0] == 2 ? take(peaks) : NULL;
        int count;
        if (head[0] == 0)
            count = lp_decode_maps(one, two, head[1], head[2], two, &state, people);
        else if (head[0] == 1)
            count = lp_decode(one, two, head[1], head[2], &state, people);
        else
            count = lp_decode_peaks(one, two, three, head[1], &state, people);
        lp_to_image(people, count, 1.0f, 1.0f, 0.0f, 0.0f);
        fwrite(&count, sizeof(int), 1, stdout);
        fwrite(people, sizeof(lp_person), count > 0 ? (size_t)count : 0, stdout);
        free(one);
        free(two);
        free(three);
    }
    return 0;
}
