/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted while time runs, and printed. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_MAX (4u * 1000 * 1000)

uint64_t done_count, done_bytes;
bool measuring;

static uint64_t measure_from, measure_to;     /* now_ns(); set by measure_start() */
static uint64_t cpu_from;
static uint32_t *samples;
static size_t sample_count;

void measure_start(void)
{
    samples = must_alloc(SAMPLES_MAX * sizeof(*samples));
    measure_from = now_ns() + (uint64_t)(opt.warm_up * 1e9);
    measure_to = measure_from + (uint64_t)(opt.seconds * 1e9);
}

bool measure_on(void)
{
    uint64_t now = now_ns();

    if (!measuring && now >= measure_from) {
        measuring = true;
        measure_from = now;
        measure_to = now + (uint64_t)(opt.seconds * 1e9);
        cpu_from = cpu_ns(opt.pids, opt.pid_count);
    }
    return now < measure_to;
}

void measure_one(uint64_t latency_ns, uint64_t bytes)
{
    if (!measuring)
        return;
    done_count++;
    done_bytes += bytes;
    if (sample_count < SAMPLES_MAX && latency_ns)
        samples[sample_count++] = latency_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_ns;
}

static int compare_samples(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile_us(double p)
{
    return sample_count ? samples[(size_t)(p * (double)(sample_count - 1))] / 1000.0 : 0;
}

void measure_print(const char *more)
{
    double seconds = (double)(now_ns() - measure_from) / 1e9;
    double cpu = (double)(cpu_ns(opt.pids, opt.pid_count) - cpu_from) / 1e9;

    if (!measuring || !done_count)
        die("%s: nothing was measured", opt.mode);
    qsort(samples, sample_count, sizeof(*samples), compare_samples);
    printf("{\"mode\": \"%s\", \"seconds\": %.3f, \"count\": %" PRIu64 ", \"rate\": %.1f, \"bytes_rate\": %.0f, "
           "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"cpu\": %.4f, \"cpu_us_each\": %.3f%s}\n",
           opt.mode, seconds, done_count, (double)done_count / seconds, (double)done_bytes / seconds,
           percentile_us(0.5), percentile_us(0.9), percentile_us(0.99), cpu / seconds, cpu * 1e6 / (double)done_count,
           more);
    fflush(stdout);
}

void run_queue(bool (*more)(void))
{
    while (more()) {
        gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(20, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(cq, deadline, NULL);
        struct tag *tag = event.tag;

        if (event.type == GRPC_OP_COMPLETE)
            tag->done(tag->user, event.success);
    }
}
