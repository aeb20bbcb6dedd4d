/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that meet at a storage mux, with the core's threads and turns. */
#include "drivers/storage/mux.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/device_bench.h"
#include "agent/resource.h"
#include "drivers/registry.h"

static char medium[] = "/var/tmp/jmp-mux-XXXXXX";
static char positions[64];   /* guarded by the turn; read when no call runs */

static int mux_select(void *self, struct jmp_call *call, enum jmp_mux_position position)
{
    static const char *const names[] = { "? ", "host ", "dut ", "off " };

    strncat(positions, names[position], sizeof(positions) - strlen(positions) - 1);
    return 0;
}

static int mux_open(void *self, struct jmp_call *call)
{
    struct jmp_mux *mux = self;
    int r;

    r = jmp_mux_open(mux, call);
    mux->select = mux_select;
    mux->disk = (struct jmp_disk){ .device = medium, .timeout = 1, .fsync_timeout = 10 };
    return r;
}

static int mux_pass(void *self, struct jmp_call *call) { return 0; }

static struct jmp_method mux_methods[8];   /* those of every mux, and "pass" */
static const struct jmp_driver_class mux_class = {
    JMP_DRIVER_HEAD, .name = "mux", .kind = "storage", .client = "test.MuxClient", .size = sizeof(struct jmp_mux),
    .methods = mux_methods, .open = mux_open, .reset = jmp_mux_reset, .close = jmp_mux_close,
};
static const struct jmp_driver_class composite_class = {
    JMP_DRIVER_HEAD, .name = "composite", .kind = "composite", .client = "test.CompositeClient",
};
const struct jmp_driver_class *const jmp_builtin_drivers[] = { &composite_class, &mux_class, NULL };

static struct bench *mux_bench(void)
{
    struct bench *bench;
    size_t n = 0;
    int fd;

    strcpy(medium + strlen(medium) - 6, "XXXXXX");
    fd = mkstemp(medium);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    jmp_close(fd);
    for (; jmp_mux_methods[n].name; n++)
        mux_methods[n] = jmp_mux_methods[n];
    assert_true(n + 1 < ELEMENTSOF(mux_methods));
    mux_methods[n] = (struct jmp_method){ .name = "pass", .call = mux_pass };
    positions[0] = '\0';
    bench = bench_new("{\"mux\":{\"type\":\"mux\"}}");
    bench_start(bench);
    return bench;
}

/* Has its turn when all that were called before have had theirs, and wait for something. */
static void until_others_wait(struct bench *bench)
{
    _cleanup_outcome_ struct outcome outcome = OUTCOME;

    bench_answer(bench, "mux", "pass", NULL, &outcome);
    assert_int_equal(outcome.error, 0);
}

/* An image of which nothing comes. Return: the client's end. */
static int begin_write(struct bench *bench, struct outcome *outcome)
{
    char uuid[37], args[128];
    int fd;

    assert_int_equal(jmp_resource_open(jmp_devices_find_path(bench->devices, "mux"), NULL, uuid, &fd, NULL), 0);
    snprintf(args, sizeof(args), "[{\"kind\":\"client_stream\",\"uuid\":\"%s\",\"x_jmp_content_encoding\":null}]",
             uuid);
    bench_call(bench, "mux", "write", JMP_CALL_UNARY, args, outcome);
    until_others_wait(bench);
    return fd;
}

JMP_TEST(who_comes_during_a_cancelled_transfer_waits_for_its_end)
{
    _cleanup_(bench_freep) struct bench *bench = mux_bench();
    _cleanup_outcome_ struct outcome writing = OUTCOME, first = OUTCOME, second = OUTCOME;
    int fd = begin_write(bench, &writing);

    bench_call(bench, "mux", "dut", JMP_CALL_UNARY, NULL, &first);
    bench_call(bench, "mux", "off", JMP_CALL_UNARY, NULL, &second);
    until_others_wait(bench);
    assert_false(first.done || second.done);
    jmp_call_cancel(writing.call);
    bench_until(bench, &first.done);
    bench_until(bench, &second.done);
    bench_until(bench, &writing.done);
    assert_int_equal(writing.error, -ECANCELED);
    if (first.error < 0 || second.error < 0)
        fail_msg("%s %s", first.text, second.text);
    /* In whichever order. */
    if (strcmp(positions, "host dut off ") != 0)
        assert_string_equal(positions, "host off dut ");
    jmp_close(fd);
    unlink(medium);
}

JMP_TEST(who_waits_for_a_transfer_can_be_cancelled_too)
{
    _cleanup_(bench_freep) struct bench *bench = mux_bench();
    _cleanup_outcome_ struct outcome writing = OUTCOME, moving = OUTCOME;
    int fd = begin_write(bench, &writing);

    bench_call(bench, "mux", "dut", JMP_CALL_UNARY, NULL, &moving);
    until_others_wait(bench);
    jmp_call_cancel(moving.call);
    bench_until(bench, &moving.done);
    assert_int_equal(moving.error, -ECANCELED);
    assert_false(writing.done);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);   /* an empty image is one, too */
    bench_until(bench, &writing.done);
    assert_string_equal(positions, "host ");
    jmp_close(fd);
    unlink(medium);
}
