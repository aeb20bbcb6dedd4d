/* SPDX-License-Identifier: Apache-2.0 */
/* Everything at once, started and dropped at random points: afterwards nothing may be left. */
#include <dirent.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/device_bench.h"

#define ROUNDS 20000
#define SLOTS 24

struct slot {
    struct outcome outcome;
    int resource;
};

static unsigned random_below(uint32_t *state, unsigned below)
{
    *state = *state * 1103515245 + 12345;
    return (*state >> 16) % below;
}

static unsigned count_entries(const char *path)
{
    DIR *directory = opendir(path);
    unsigned n = 0;

    assert_non_null(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

static void begin(struct bench *bench, struct slot *slot, uint32_t *state)
{
    static const struct {
        const char *path, *method;
        enum jmp_call_kind kind;
        const char *args;
    } calls[] = {
        { "part", "get", JMP_CALL_UNARY, NULL }, { "part", "quick", JMP_CALL_UNARY, NULL },
        { "part", "wait", JMP_CALL_UNARY, NULL }, { "part", "wait", JMP_CALL_UNARY, "[0.001]" },
        { "part", "increment", JMP_CALL_UNARY, NULL }, { "part", "count", JMP_CALL_ITEMS, "[0]" },
        { "part", "count", JMP_CALL_ITEMS, "[5]" }, { "part", "pair", JMP_CALL_STREAM, NULL },
        { "part", "mirror", JMP_CALL_STREAM, NULL }, { "console", "connect", JMP_CALL_STREAM, NULL },
        { "console", "drop", JMP_CALL_UNARY, "[1]" }, { "part", "fail", JMP_CALL_UNARY, "[5]" },
    };
    unsigned which = random_below(state, ELEMENTSOF(calls) + 2);
    static const char *const encodings[] = { NULL, "gzip", "zstd" };
    char args[256], uuid[37];

    if (which < ELEMENTSOF(calls)) {
        bench_call(bench, calls[which].path, calls[which].method, calls[which].kind, calls[which].args, &slot->outcome);
        return;
    }
    if (jmp_resource_open(jmp_devices_find_path(bench->devices, "flasher"), encodings[random_below(state, 3)], uuid,
                          &slot->resource, NULL) < 0) {
        slot->outcome.done = true;
        return;
    }
    snprintf(args, sizeof(args), "[{\"kind\":\"client_stream\",\"uuid\":\"%s\"}]", uuid);
    bench_call(bench, "flasher", which == ELEMENTSOF(calls) ? "flash" : "dump", JMP_CALL_UNARY, args, &slot->outcome);
}

static void end(struct slot *slot)
{
    assert_true(slot->outcome.done);
    outcome_clear(&slot->outcome);
    slot->resource = jmp_close(slot->resource);
}

static void churn(struct bench *bench, struct slot *slots, uint32_t *state, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        struct slot *slot = &slots[random_below(state, SLOTS)];

        jmp_loop_dispatch(bench->loop, true);
        if (slot->outcome.done)
            end(slot);
        if (!slot->outcome.call) {
            begin(bench, slot, state);
            continue;
        }
        switch (random_below(state, 4)) {
        case 0:
            jmp_call_cancel(slot->outcome.call);
            break;
        case 1:
            if (slot->resource >= 0)
                shutdown(slot->resource, SHUT_WR);
            slot->outcome.fd = jmp_close(slot->outcome.fd);
            break;
        case 2:
            if (slot->resource >= 0)
                assert_true(send(slot->resource, "bytes", 5, MSG_NOSIGNAL | MSG_DONTWAIT) != 0);
            if (atomic_load(&bench_world.board) >= 0)
                assert_true(send(atomic_load(&bench_world.board), "text", 4, MSG_NOSIGNAL | MSG_DONTWAIT) != 0);
            break;
        default:
            sd_event_run(jmp_loop_event(bench->loop), 100);
            break;
        }
    }
}

static void lease_ends(struct bench *bench, struct slot *slots)
{
    bool done = false;

    assert_int_equal(jmp_devices_end_lease(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].outcome.call)
            fail_msg("a call has outlived its lease");
        if (slots[i].outcome.done)
            end(&slots[i]);
    }
    done = false;
    assert_int_equal(jmp_devices_reset(bench->devices, bench_done, &done), 0);
    bench_until(bench, &done);
}

JMP_TEST(nothing_is_left_of_calls_dropped_at_random)
{
    _cleanup_(bench_freep) struct bench *bench =
        bench_new("{\"part\":{\"type\":\"part\",\"config\":{\"label\":\"x\"}},\"console\":{\"type\":\"console\"},"
                  "\"flasher\":{\"type\":\"flasher\"}}");
    struct slot slots[SLOTS];
    uint32_t seed = 7;
    unsigned descriptors;

    for (size_t i = 0; i < SLOTS; i++)
        slots[i] = (struct slot){ .outcome = OUTCOME, .resource = -EBADF };
    bench_start(bench);
    churn(bench, slots, &seed, 200);
    lease_ends(bench, slots);
    descriptors = count_entries("/proc/self/fd");
    for (unsigned lease = 0; lease < 10; lease++) {
        churn(bench, slots, &seed, ROUNDS / 10);
        lease_ends(bench, slots);
        if (lease % 3 == 0) {
            /* And the hardware leaves now and then. */
            jmp_device_gone(jmp_devices_find_path(bench->devices, "part"), "pulled");
            jmp_device_gone(jmp_devices_find_path(bench->devices, "console"), "pulled");
            bench_until_missing(bench, "part", false);
            bench_until_missing(bench, "console", false);
        }
    }
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_null(bench->devices->calls);
    assert_true(count_entries("/proc/self/task") < 2 + 1 + 2 * SLOTS);
}
