/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/test.h"

struct bench {
    struct jmp_loop *loop;
    struct jmp_control *control;
    char directory[64], path[96];
    unsigned number, drains;
    struct jmp_timer deadline;
};

/* A user at the other end of the socket. */
struct user {
    struct bench *bench;
    struct jmp_io io;
    int fd;
    char text[8192];
    size_t length;
    bool closed;
};

static void describe(struct jmp_writer *writer, void *user)
{
    struct bench *bench = user;

    jmp_writer_key(writer, "number");
    jmp_writer_integer(writer, bench->number);
}

static const char *drain(void *user)
{
    ((struct bench *)user)->drains++;
    return "it leaves";
}

static const struct jmp_control_events events = { .describe = describe, .drain = drain };

static void too_late(struct jmp_timer *timer) { fail_msg("no answer"); }

static void bench_open(struct bench *bench)
{
    *bench = (struct bench){ .number = 1 };
    strcpy(bench->directory, "/tmp/jmp-control-XXXXXX");
    assert_non_null(mkdtemp(bench->directory));
    snprintf(bench->path, sizeof(bench->path), "%s/control.sock", bench->directory);
    assert_int_equal(jmp_loop_new(&bench->loop), 0);
    assert_int_equal(jmp_control_new(bench->loop, bench->path, &events, bench, &bench->control, NULL), 0);
    assert_int_equal(jmp_timer_start(bench->loop, &bench->deadline, 20 * JMP_USEC_PER_SEC, too_late), 0);
}

static void bench_close(struct bench *bench)
{
    jmp_timer_close(&bench->deadline);
    bench->control = jmp_control_free(bench->control);
    bench->loop = jmp_loop_free(bench->loop);
    assert_int_equal(unlink(bench->path), 0);
    assert_int_equal(rmdir(bench->directory), 0);
}

static void on_answer(struct jmp_io *io, uint32_t revents)
{
    struct user *user = CONTAINER_OF(io, struct user, io);
    ssize_t n = recv(user->fd, user->text + user->length, sizeof(user->text) - 1 - user->length, MSG_DONTWAIT);

    if (n > 0) {
        user->length += (size_t)n;
        user->text[user->length] = '\0';
    } else {
        user->closed = true;
        jmp_io_pause(io);
    }
    if (user->closed || user->text[user->length - 1] == '\n')
        jmp_loop_exit(user->bench->loop, 0);
}

static void user_open(struct bench *bench, struct user *user)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    *user = (struct user){ .bench = bench };
    strcpy(address.sun_path, bench->path);
    user->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(user->fd >= 0);
    assert_int_equal(connect(user->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(jmp_io_start(bench->loop, &user->io, user->fd, EPOLLIN, on_answer), 0);
}

static void user_close(struct user *user)
{
    jmp_io_close(&user->io);
    jmp_close(user->fd);
}

/* The next line, or the end. */
static const char *listen_for(struct user *user)
{
    user->length = 0;
    jmp_loop_resume(user->bench->loop);
    assert_int_equal(jmp_loop_run(user->bench->loop), 0);
    return user->closed ? "" : user->text;
}

static const char *ask(struct user *user, const char *request)
{
    assert_int_equal(send(user->fd, request, strlen(request), 0), strlen(request));
    return listen_for(user);
}

JMP_TEST(questions_are_answered_a_line_each)
{
    struct bench bench;
    struct user user;

    bench_open(&bench);
    user_open(&bench, &user);
    assert_string_equal(ask(&user, "{\"verb\":\"status\"}\n"), "{\"ok\":true,\"status\":{\"number\":1}}\n");
    bench.number = 2;
    assert_string_equal(ask(&user, "{\"verb\": \"status\"}\n"), "{\"ok\":true,\"status\":{\"number\":2}}\n");
    assert_string_equal(ask(&user, "{\"verb\":\"drain\"}\n"), "{\"ok\":true,\"message\":\"it leaves\"}\n");
    assert_int_equal(bench.drains, 1);
    user_close(&user);
    bench_close(&bench);
}

JMP_TEST(what_is_no_question_gets_an_answer_all_the_same)
{
    static const char *const requests[] = { "\n", "nonsense\n", "[]\n", "{\"verb\":1}\n", "{\"verb\":\"dance\"}\n" };
    struct bench bench;
    struct user user;

    bench_open(&bench);
    user_open(&bench, &user);
    for (size_t i = 0; i < ELEMENTSOF(requests); i++)
        assert_non_null(strstr(ask(&user, requests[i]), "{\"ok\":false,\"error\":\""));
    assert_string_equal(ask(&user, "{\"verb\":\"status\"}\n"), "{\"ok\":true,\"status\":{\"number\":1}}\n");
    user_close(&user);
    bench_close(&bench);
}

JMP_TEST(who_watches_hears_of_changes_and_others_do_not)
{
    struct bench bench;
    struct user watcher, other;

    bench_open(&bench);
    user_open(&bench, &watcher);
    user_open(&bench, &other);
    ask(&watcher, "{\"verb\":\"watch\"}\n");
    ask(&other, "{\"verb\":\"status\"}\n");
    bench.number = 7;
    for (unsigned i = 0; i < 5; i++)
        jmp_control_changed(bench.control);
    assert_string_equal(listen_for(&watcher), "{\"ok\":true,\"status\":{\"number\":7}}\n");   /* once */
    assert_string_equal(ask(&other, "{\"verb\":\"drain\"}\n"), "{\"ok\":true,\"message\":\"it leaves\"}\n");
    user_close(&watcher);
    user_close(&other);
    bench_close(&bench);
}

JMP_TEST(a_line_without_an_end_ends_the_connection)
{
    char endless[4096];
    struct bench bench;
    struct user user, other;

    bench_open(&bench);
    user_open(&bench, &user);
    memset(endless, 'x', sizeof(endless));
    endless[sizeof(endless) - 1] = '\0';
    assert_string_equal(ask(&user, endless), "");
    user_close(&user);
    user_open(&bench, &other);
    assert_string_equal(ask(&other, "{\"verb\":\"status\"}\n"), "{\"ok\":true,\"status\":{\"number\":1}}\n");
    user_close(&other);
    bench_close(&bench);
}

JMP_TEST(more_users_than_there_is_room_for_are_turned_away)
{
    struct bench bench;
    struct user users[17];

    bench_open(&bench);
    for (size_t i = 0; i < ELEMENTSOF(users) - 1; i++) {
        user_open(&bench, &users[i]);
        ask(&users[i], "{\"verb\":\"status\"}\n");
    }
    user_open(&bench, &users[16]);
    assert_string_equal(listen_for(&users[16]), "");
    for (size_t i = 0; i < ELEMENTSOF(users); i++)
        user_close(&users[i]);
    bench_close(&bench);
}
