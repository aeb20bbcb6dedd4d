/* SPDX-License-Identifier: Apache-2.0 */
/* The test is the service manager: it receives what is parked, and hands it to a new process as systemd does. */
#include "agent/keep.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "agent/device_bench.h"

#define PART "{\"a\":{\"type\":\"part\",\"config\":{\"label\":\"x\"}}}"
#define FIRST 3   /* where a manager puts what it hands over */

struct manager {
    char directory[32];
    int socket;
    struct { char label[256]; int fd; } store[8];
    unsigned count;
};

static struct manager *manager_new(void)
{
    struct manager *manager = calloc(1, sizeof(*manager));
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    assert_non_null(manager);
    strcpy(manager->directory, "/tmp/jmp-keep-XXXXXX");
    assert_non_null(mkdtemp(manager->directory));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", manager->directory);
    manager->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(manager->socket >= 0);
    assert_int_equal(bind(manager->socket, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    return manager;
}

static void manager_free(struct manager *manager)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/notify", manager->directory);
    unlink(path);
    rmdir(manager->directory);
    unsetenv("NOTIFY_SOCKET");
    for (unsigned i = 0; i < manager->count; i++)
        close(manager->store[i].fd);
    close(manager->socket);
    free(manager);
}

static void manager_forget(struct manager *manager, const char *label)
{
    for (unsigned i = 0; i < manager->count; i++) {
        if (strcmp(manager->store[i].label, label) != 0)
            continue;
        close(manager->store[i].fd);
        manager->store[i--] = manager->store[--manager->count];
    }
}

static bool same_file(int a, int b)
{
    struct stat one, two;

    assert_int_equal(fstat(a, &one), 0);
    assert_int_equal(fstat(b, &two), 0);
    return one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

/* All that has been sent so far: sending is synchronous. Like systemd, it does not take the same file twice. */
static void manager_listen(struct manager *manager)
{
    for (;;) {
        char text[512] = "", label[256] = "";
        union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
        struct iovec iov = { text, sizeof(text) - 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                                  .msg_controllen = sizeof(control) };
        const char *name;
        bool known = false;
        int fd;

        if (recvmsg(manager->socket, &message, MSG_CMSG_CLOEXEC) < 0) {
            assert_int_equal(errno, EAGAIN);
            return;
        }
        name = strstr(text, "FDNAME=");
        assert_non_null(name);
        sscanf(name, "FDNAME=%255[^\n]", label);
        assert_null(strpbrk(label, ":\t\r"));
        if (strncmp(text, "FDSTOREREMOVE=1\n", 16) == 0) {
            manager_forget(manager, label);
            continue;
        }
        assert_memory_equal(text, "FDSTORE=1\n", 10);
        assert_true(message.msg_controllen > 0);
        memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
        for (unsigned i = 0; i < manager->count; i++)
            known = known || same_file(manager->store[i].fd, fd);
        if (known) {
            close(fd);
            continue;
        }
        assert_true(manager->count < ELEMENTSOF(manager->store));
        strcpy(manager->store[manager->count].label, label);
        manager->store[manager->count++].fd = fd;
    }
}

static int manager_has(struct manager *manager, const char *label)
{
    manager_listen(manager);
    for (unsigned i = 0; i < manager->count; i++)
        if (strcmp(manager->store[i].label, label) == 0)
            return manager->store[i].fd;
    return -ENOENT;
}

/* @run in the next process of the service */
static void manager_restart(struct manager *manager, void (*run)(void))
{
    int status = 0;
    pid_t child;

    manager_listen(manager);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char names[1024] = "", number[16];
        int fds[ELEMENTSOF(manager->store)];

        alarm(60);
        for (unsigned i = 0; i < manager->count; i++)
            fds[i] = fcntl(manager->store[i].fd, F_DUPFD, 100);
        for (unsigned i = 0; i < manager->count; i++) {
            dup2(fds[i], FIRST + (int)i);
            close(fds[i]);
            strcat(strcat(names, i > 0 ? ":" : ""), manager->store[i].label);
        }
        snprintf(number, sizeof(number), "%d", getpid());
        setenv("LISTEN_PID", number, 1);
        snprintf(number, sizeof(number), "%u", manager->count);
        setenv("LISTEN_FDS", number, 1);
        setenv("LISTEN_FDNAMES", names, 1);
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    manager_listen(manager);
}

static struct jmp_keep *keep_new(void)
{
    struct jmp_keep *keep = NULL;

    assert_int_equal(jmp_keep_new(&keep), 0);
    return keep;
}

JMP_TEST(a_descriptor_is_parked_under_device_and_name)
{
    struct manager *manager = manager_new();
    _cleanup_(jmp_keep_freep) struct jmp_keep *keep = keep_new();
    _cleanup_close_pair_ int pipes[2] = { -EBADF, -EBADF }, others[2] = { -EBADF, -EBADF };

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(pipe2(others, O_CLOEXEC), 0);
    assert_int_equal(jmp_keep_put(keep, "board.power", "line", pipes[1]), 1);
    assert_int_equal(jmp_keep_put(keep, "board.power", "other", others[1]), 1);
    assert_true(same_file(manager_has(manager, "board.power/line"), pipes[1]));
    assert_true(same_file(manager_has(manager, "board.power/other"), others[1]));

    /* Again, and with something else */
    assert_int_equal(jmp_keep_put(keep, "board.power", "other", others[1]), 1);
    assert_true(same_file(manager_has(manager, "board.power/other"), others[1]));
    jmp_keep_drop(keep, "board.power", "other");
    assert_int_equal(manager_has(manager, "board.power/other"), -ENOENT);
    assert_int_equal(jmp_keep_put(keep, "board.power", "line", others[1]), 1);
    assert_true(same_file(manager_has(manager, "board.power/line"), others[1]));

    /* What this process has parked is for the next one. */
    assert_int_equal(jmp_keep_take(keep, "board.power", "line"), -ENOENT);
    assert_int_equal(jmp_keep_settle(keep), 0);
    jmp_keep_drop(keep, "board", NULL);
    assert_true(manager_has(manager, "board.power/line") >= 0);
    jmp_keep_drop(keep, "board.power", NULL);
    assert_int_equal(manager->count, 1);
    manager_listen(manager);
    assert_int_equal(manager->count, 0);
    manager_free(manager);
}

JMP_TEST(any_name_of_a_device_makes_a_label)
{
    struct manager *manager = manager_new();
    _cleanup_(jmp_keep_freep) struct jmp_keep *keep = keep_new();
    static char endless[400];
    const char *const paths[] = { "a:b", "tab\there", "Prüfling", endless };

    memset(endless, 'x', sizeof(endless) - 1);
    for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
        _cleanup_close_pair_ int pipes[2] = { -EBADF, -EBADF };

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(jmp_keep_put(keep, paths[i], "x", pipes[0]), 1);
        manager_listen(manager);
        assert_int_equal(manager->count, i + 1);
        assert_int_equal(strlen(manager->store[i].label), 36);
    }
    manager_free(manager);
}

JMP_TEST(without_a_store_nothing_is_parked)
{
    struct manager *manager = manager_new();
    struct jmp_keep *keep;

    setenv("FDSTORE", "0", 1);
    keep = keep_new();
    assert_int_equal(jmp_keep_put(keep, "a", "b", STDERR_FILENO), 0);
    jmp_keep_free(keep);
    unsetenv("FDSTORE");
    assert_int_equal(manager_has(manager, "a/b"), -ENOENT);
    manager_free(manager);

    keep = keep_new();
    assert_int_equal(jmp_keep_put(keep, "a", "b", STDERR_FILENO), 0);
    jmp_keep_free(keep);
}

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            _exit(1); \
        } \
    } while (0)

static void take_one_of_two(void)
{
    struct jmp_keep *keep = NULL;
    int fd;

    CHECK(jmp_keep_new(&keep) == 0);
    CHECK(!getenv("LISTEN_FDS"));
    fd = jmp_keep_take(keep, "a", "wanted");
    CHECK(fd >= FIRST && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    CHECK(write(fd, "x", 1) == 1);
    CHECK(jmp_keep_take(keep, "a", "wanted") == -ENOENT);
    CHECK(jmp_keep_take(keep, "a", "never") == -ENOENT);
    CHECK(jmp_keep_settle(keep) == 1);
    CHECK(jmp_keep_settle(keep) == 0);
    jmp_keep_free(keep);
}

JMP_TEST(the_next_process_takes_what_it_asks_for_and_lets_go_of_the_rest)
{
    struct manager *manager = manager_new();
    struct jmp_keep *keep = keep_new();
    int pipes[2], others[2];
    char byte;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(pipe2(others, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(jmp_keep_put(keep, "a", "wanted", pipes[1]), 1);
    assert_int_equal(jmp_keep_put(keep, "a", "unwanted", others[1]), 1);
    jmp_keep_free(keep);
    close(pipes[1]);
    close(others[1]);

    manager_restart(manager, take_one_of_two);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_true(manager_has(manager, "a/wanted") >= 0);
    assert_int_equal(manager_has(manager, "a/unwanted"), -ENOENT);
    assert_int_equal(read(others[0], &byte, 1), 0);   /* the last writer has gone */
    close(pipes[0]);
    close(others[0]);
    manager_free(manager);
}

static int to_park = -EBADF;

static void open_and_park(void)
{
    struct jmp_keep *keep = NULL;
    struct bench *bench = bench_new(PART);

    CHECK(jmp_keep_new(&keep) == 0);
    bench_world.park = to_park;
    jmp_devices_keep(bench->devices, keep);
    bench_start(bench);
    bench_free(bench);
}

static void open_and_end(void)
{
    struct jmp_keep *keep = NULL;
    struct bench *bench = bench_new(PART);

    CHECK(jmp_keep_new(&keep) == 0);
    jmp_devices_keep(bench->devices, keep);
    bench_start(bench);
    CHECK(bench_world.inherited >= FIRST);
    CHECK(write(bench_world.inherited, "x", 1) == 1);
    bench_free(bench);
}

static void open_and_lose(void)
{
    struct jmp_keep *keep = NULL;
    struct bench *bench = bench_new(PART);

    CHECK(jmp_keep_new(&keep) == 0);
    jmp_devices_keep(bench->devices, keep);
    bench_start(bench);
    CHECK(bench_world.inherited >= FIRST);
    bench_world.present = false;
    jmp_device_gone(jmp_devices_find_path(bench->devices, "a"), "unplugged");
    bench_until_closed(bench, 1);
    bench_free(bench);
}

static void open_nothing(void)
{
    struct jmp_keep *keep = NULL;
    struct bench *bench = bench_new("{}");

    CHECK(jmp_keep_new(&keep) == 0);
    jmp_devices_keep(bench->devices, keep);
    bench_start(bench);
    bench_free(bench);
}

/* One agent opens the device and ends; others come after it. Each is a process: threads of ours would not survive the
 * fork. */
static void with_parked_device(void (*next)(void), bool stays)
{
    struct manager *manager = manager_new();
    int pipes[2];
    char byte;

    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    to_park = pipes[1];
    manager_restart(manager, open_and_park);
    assert_true(same_file(manager_has(manager, "a/thing"), pipes[1]));
    close(pipes[1]);

    manager_restart(manager, open_and_end);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_true(manager_has(manager, "a/thing") >= 0);

    manager_restart(manager, next);
    assert_int_equal(manager_has(manager, "a/thing") >= 0, stays);
    if (!stays)
        assert_int_equal(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
    manager_free(manager);
}

JMP_TEST(a_device_finds_what_it_parked_after_every_restart)
{
    with_parked_device(open_and_end, true);
}

JMP_TEST(a_device_that_goes_away_lets_go)
{
    with_parked_device(open_and_lose, false);
}

JMP_TEST(a_device_that_is_no_longer_exported_lets_go)
{
    with_parked_device(open_nothing, false);
}
