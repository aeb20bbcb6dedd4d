/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logstream.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/test.h"

struct world {
    struct jmp_loop *loop;
    struct jmp_logstream *logs;
};

static void world_open(struct world *w)
{
    assert_int_equal(jmp_loop_new(&w->loop), 0);
    assert_int_equal(jmp_logstream_new(w->loop, &w->logs), 0);
}

static void world_close(struct world *w)
{
    w->logs = jmp_logstream_free(w->logs);
    w->loop = jmp_loop_free(w->loop);
}

static void say(struct world *w, const char *message)
{
    jmp_logstream_push(w->logs, &(struct jmp_log_record){ .level = JMP_LOG_INFO, .message = message, .realtime = 1 });
}

struct listener {
    struct jmp_log_reader reader;
    unsigned calls;
};

static void on_ready(struct jmp_log_reader *reader) { CONTAINER_OF(reader, struct listener, reader)->calls++; }

static void expect(struct jmp_log_reader *reader, const char *message)
{
    uint64_t lost;
    const struct jmp_log_record *record = jmp_log_reader_next(reader, &lost);

    assert_int_equal(lost, 0);
    if (message) {
        assert_non_null(record);
        assert_string_equal(record->message, message);
    } else {
        assert_null(record);
    }
}

JMP_TEST(each_reader_gets_every_record_from_its_position_on)
{
    struct world w;
    struct listener a = { 0 }, b = { 0 };
    uint64_t start;

    world_open(&w);
    say(&w, "before the session");
    start = jmp_logstream_head(w.logs);
    assert_int_equal(start, 1);

    jmp_log_reader_open(&a.reader, w.logs, start, on_ready);
    say(&w, "one");
    say(&w, "two");
    expect(&a.reader, NULL);   /* records arrive by the loop */
    jmp_loop_dispatch(w.loop, true);
    assert_int_equal(a.calls, 1);
    expect(&a.reader, "one");

    jmp_log_reader_open(&b.reader, w.logs, 0, on_ready);
    expect(&b.reader, "before the session");
    expect(&b.reader, "one");
    expect(&a.reader, "two");
    expect(&b.reader, "two");
    expect(&a.reader, NULL);
    expect(&b.reader, NULL);

    jmp_log_reader_close(&a.reader);
    say(&w, "three");
    jmp_loop_dispatch(w.loop, true);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    expect(&b.reader, "three");
    jmp_log_reader_close(&b.reader);
    jmp_log_reader_close(&b.reader);
    world_close(&w);
}

JMP_TEST(a_slow_reader_is_moved_forward_and_told_what_it_lost)
{
    struct world w;
    struct listener a = { 0 };
    uint64_t lost;
    char text[32];

    world_open(&w);
    jmp_log_reader_open(&a.reader, w.logs, 0, on_ready);
    for (unsigned i = 0; i < JMP_LOG_RING + 10; i++) {
        snprintf(text, sizeof(text), "%u", i);
        say(&w, text);
        if (i % 100 == 0)
            jmp_loop_dispatch(w.loop, true);
    }
    jmp_loop_dispatch(w.loop, true);
    assert_string_equal(jmp_log_reader_next(&a.reader, &lost)->message, "10");
    assert_int_equal(lost, 10);
    expect(&a.reader, "11");
    jmp_log_reader_close(&a.reader);
    world_close(&w);
}

JMP_TEST(large_records_are_bounded_by_their_bytes)
{
    struct world w;
    struct listener a = { 0 };
    unsigned count = 0;
    uint64_t lost, all = 0;
    char text[4097];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    world_open(&w);
    jmp_log_reader_open(&a.reader, w.logs, 0, on_ready);
    for (unsigned i = 0; i < 500; i++)
        say(&w, text);
    jmp_loop_dispatch(w.loop, true);
    while (jmp_log_reader_next(&a.reader, &lost)) {
        all += lost;
        count++;
    }
    assert_true(count > 50 && count < 130);
    assert_int_equal(count + all, 500);
    jmp_log_reader_close(&a.reader);
    world_close(&w);
}

JMP_TEST(records_that_came_faster_than_the_loop_are_counted)
{
    struct world w;
    struct listener a = { 0 };
    uint64_t lost, all = 0, count = 0;

    world_open(&w);
    jmp_log_reader_open(&a.reader, w.logs, 0, on_ready);
    for (unsigned i = 0; i < JMP_LOG_RING + 7; i++)
        say(&w, "x");
    jmp_loop_dispatch(w.loop, true);
    while (jmp_log_reader_next(&a.reader, &lost)) {
        all += lost;
        count++;
    }
    assert_int_equal(count + all + lost, JMP_LOG_RING + 7);
    assert_int_equal(all + lost, 7 + 7);   /* seven never came in, for whose places seven old ones went */
    jmp_log_reader_close(&a.reader);
    world_close(&w);
}

JMP_TEST(what_the_process_logs_is_recorded_with_the_fields_clients_may_see)
{
    struct world w;
    struct listener a = { 0 };
    const struct jmp_log_record *record;
    uint64_t lost;

    world_open(&w);
    jmp_log_open("test", JMP_LOG_INFO, JMP_LOG_TEXT);
    jmp_log_reader_open(&a.reader, w.logs, 0, on_ready);
    jmp_log(JMP_LOG_WARNING, FIELDS(.source = JMP_LOG_DRIVER, .driver = "board.power", .driver_type = "power",
                                    .operation = "on", .result = "failure", .error_type = "timeout",
                                    .peer = "ipv4:192.0.2.1:1", .endpoint = "router:1"), "no answer in %d s", 3);
    jmp_loop_dispatch(w.loop, true);
    record = jmp_log_reader_next(&a.reader, &lost);
    assert_non_null(record);
    assert_int_equal(record->level, JMP_LOG_WARNING);
    assert_string_equal(record->message, "no answer in 3 s");
    assert_true(record->realtime > 1600000000 * JMP_USEC_PER_SEC);
    assert_int_equal(record->fields->source, JMP_LOG_DRIVER);
    assert_string_equal(record->fields->driver, "board.power");
    assert_string_equal(record->fields->driver_type, "power");
    assert_string_equal(record->fields->operation, "on");
    assert_string_equal(record->fields->result, "failure");
    assert_string_equal(record->fields->error_type, "timeout");
    assert_null(record->fields->peer);
    assert_null(record->fields->endpoint);
    jmp_log_reader_close(&a.reader);
    world_close(&w);
}

static void *shout(void *user)
{
    struct world *w = user;

    for (unsigned i = 0; i < 200; i++)
        say(w, "from a thread");
    return NULL;
}

JMP_TEST(any_thread_may_speak)
{
    struct world w;
    struct listener a = { 0 };
    pthread_t threads[4];
    unsigned count = 0;
    uint64_t lost;

    world_open(&w);
    jmp_log_reader_open(&a.reader, w.logs, 0, on_ready);
    for (unsigned i = 0; i < ELEMENTSOF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shout, &w), 0);
    for (unsigned i = 0; i < ELEMENTSOF(threads); i++)
        pthread_join(threads[i], NULL);
    jmp_loop_dispatch(w.loop, true);
    while (jmp_log_reader_next(&a.reader, &lost))
        count++;
    assert_int_equal(count, 800);
    jmp_log_reader_close(&a.reader);
    world_close(&w);
}
