/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers that do odd things on demand: what the tests of the device core have instead of hardware. */
#include "agent/device_bench.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "drivers/registry.h"

struct bench_world bench_world;

static const struct jmp_driver_class composite_class = {
    JMP_DRIVER_HEAD, .name = "composite", .kind = "composite", .python_type = "test.Composite",
    .client = "test.CompositeClient",
};

/* part: a device that does what it is told, also wrong things */
struct part {
    const char *label;
    unsigned start;
    double factor;
    bool loud;
    const struct jmp_node *extra;
    unsigned value;               /* guarded by nothing but the turn */
};

static const struct jmp_option part_options[] = {
    { JMP_FIELD(struct part, label), .required = true, .help = "a word" },
    { JMP_FIELD(struct part, start), .preset = "7", .help = "first value" },
    { JMP_FIELD(struct part, factor), .preset = "1.5", .help = "a factor" },
    { JMP_FIELD(struct part, loud), .help = "unused" },
    { JMP_FIELD(struct part, extra), .help = "anything" },
    {}
};

static int part_check(const void *self, struct jmp_error *reterr)
{
    const struct part *part = self;

    if (part->start > 1000)
        return jmp_error_set(reterr, -EINVAL, "start is beyond 1000");
    return 0;
}

/* Of the process, for a thread that a test has left behind may still count. */
static int counted;
static void make_counted(void) { counted = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int bench_counted(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_counted);
    return counted;
}

static void count(atomic_int *what, int change)
{
    atomic_fetch_add(what, change);
    eventfd_write(bench_counted(), 1);
}

static void spin_until(const atomic_bool *flag)
{
    while (!atomic_load(flag))
        poll(NULL, 0, 1);
}

static int part_claim(struct jmp_call *call)
{
    int fd = jmp_call_kept(call, "thing"), r = 0;

    if (fd >= 0)
        atomic_store(&bench_world.inherited, fd);
    else if (atomic_load(&bench_world.park))
        r = jmp_call_keep(call, "thing", atomic_load(&bench_world.park));
    return r < 0 ? r : 0;
}

static int part_open(void *self, struct jmp_call *call)
{
    struct part *part = self;

    count(&bench_world.open_count, 1);
    part->value = part->start;
    if (atomic_load(&bench_world.stuck_open))
        spin_until(&bench_world.released);
    if (!atomic_load(&bench_world.present))
        return jmp_call_fail(call, -ENODEV, "nothing is plugged in");
    return part_claim(call);
}

static void part_close(void *self)
{
    if (atomic_load(&bench_world.stuck_close))
        spin_until(&bench_world.released);
    count(&bench_world.close_count, 1);
}

static int part_reset(void *self, struct jmp_call *call)
{
    struct part *part = self;

    atomic_fetch_add(&bench_world.reset_count, 1);
    part->value = part->start;
    return atomic_load(&bench_world.reset_error);
}

static int part_get(void *self, struct jmp_call *call)
{
    jmp_writer_integer(jmp_call_reply(call), ((struct part *)self)->value);
    return 0;
}

static int part_set(void *self, struct jmp_call *call)
{
    ((struct part *)self)->value = (unsigned)jmp_call_number(call, "value");
    return 0;
}

static int part_echo(void *self, struct jmp_call *call)
{
    struct jmp_writer *reply = jmp_call_reply(call);

    jmp_writer_begin_list(reply);
    jmp_writer_number(reply, jmp_call_number(call, "number"));
    jmp_writer_bool(reply, jmp_call_bool(call, "flag"));
    jmp_writer_string(reply, jmp_call_string(call, "text"));
    if (jmp_call_has(call, "any"))
        jmp_writer_node(reply, jmp_call_node(call, "any"));
    jmp_writer_end_list(reply);
    return 0;
}

static int part_fail(void *self, struct jmp_call *call)
{
    int error = -(int)jmp_call_number(call, "error");

    if (!jmp_call_has(call, "text"))
        return error;
    return jmp_call_fail(call, error, "%s", jmp_call_string(call, "text"));
}

static int part_garbage(void *self, struct jmp_call *call)
{
    jmp_writer_string(jmp_call_reply(call), "\xff\xfe");
    return 0;
}

/* Reads, lets others run, writes: only right if it has the turn to itself between waits. */
static int part_increment(void *self, struct jmp_call *call)
{
    struct part *part = self;

    for (unsigned i = 0; i < 100; i++) {
        unsigned value = part->value;
        int r;

        part->value = value + 1;
        if (i % 10 == 0) {
            r = jmp_call_wait(call, -1, 0, jmp_now() + 100);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int part_wait(void *self, struct jmp_call *call)
{
    int r;

    count(&bench_world.inside, 1);
    r = jmp_call_wait(call, -1, 0,
                      jmp_call_has(call, "seconds")
                          ? jmp_now() + (uint64_t)(jmp_call_number(call, "seconds") * (double)JMP_USEC_PER_SEC)
                          : JMP_USEC_INFINITY);
    count(&bench_world.inside, -1);
    return r < 0 ? jmp_call_fail(call, r, "the wait ended: %m") : 0;
}

/* Waits like part_wait(), but to its end. */
static int part_commit(void *self, struct jmp_call *call)
{
    int r;

    r = jmp_call_commit(call, (uint64_t)(jmp_call_number(call, "seconds") * (double)JMP_USEC_PER_SEC));
    return r < 0 ? r : part_wait(self, call);
}

static int part_wait_fd(void *self, struct jmp_call *call)
{
    _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };
    int r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (jmp_call_bool(call, "ready") && write(pair[1], "x", 1) != 1)
        return -errno;
    r = jmp_call_wait(call, pair[0], POLLIN, jmp_now() + 20 * JMP_USEC_PER_MSEC);
    if (r < 0)
        return jmp_call_fail(call, r, "nothing came: %m");
    jmp_writer_integer(jmp_call_reply(call), r & POLLIN ? 1 : 0);
    return 0;
}

/* Holds the turn and ignores that it was cancelled. */
static int part_stuck(void *self, struct jmp_call *call)
{
    count(&bench_world.inside, 1);
    spin_until(&bench_world.released);
    count(&bench_world.inside, -1);
    return 0;
}

/* The same of a server. */
static int part_deaf(void *self, struct jmp_call *call, int fd) { return part_stuck(self, call); }

static int part_count(void *self, struct jmp_call *call)
{
    unsigned n = (unsigned)jmp_call_number(call, "to");

    for (unsigned i = 0; n == 0 || i < n; i++) {
        int r;

        jmp_writer_integer(jmp_call_reply(call), i);
        r = jmp_call_emit(call);
        if (r < 0)
            return r;
    }
    return 0;
}

static int part_quick(void *self, struct jmp_call *call)
{
    int r = jmp_call_wait(call, -1, 0, jmp_now());

    /* On the loop waiting is refused, on a thread it is not: tells the test where it ran. */
    jmp_writer_bool(jmp_call_reply(call), r == -EDEADLK);
    return 0;
}

static int part_some(void *self, struct jmp_call *call)
{
    int r = jmp_call_wait(call, -1, 0, jmp_now());

    for (unsigned i = 0, n = (unsigned)jmp_call_number(call, "to"); i < n; i++) {
        struct jmp_writer *reply = jmp_call_reply(call);

        jmp_writer_begin_list(reply);
        jmp_writer_integer(reply, i);
        jmp_writer_bool(reply, r == -EDEADLK);
        jmp_writer_end_list(reply);
        if (jmp_call_emit(call) < 0)
            return -EDEADLK;   /* with the words of emit */
    }
    return 0;
}

static int part_pair(void *self, struct jmp_call *call, int *ret)
{
    _cleanup_close_pair_ int pair[2] = { -EBADF, -EBADF };

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (write(pair[1], "hello", 5) != 5)
        return -errno;
    *ret = TAKE_FD(pair[0]);
    return 0;
}

static int part_mirror(void *self, struct jmp_call *call, int fd)
{
    char data[4096];
    ssize_t n;

    count(&bench_world.inside, 1);
    while ((n = read(fd, data, sizeof(data))) > 0)
        if (write(fd, data, (size_t)n) != n)
            break;
    count(&bench_world.inside, -1);
    return 0;
}

static const struct jmp_method part_methods[] = {
    { .name = "get", .call = part_get, .help = "the value" },
    { .name = "set_value", .call = part_set, .args = { { "value", JMP_UINT } }, .help = "change the value" },
    { .name = "echo",
      .call = part_echo,
      .args = { { "number", JMP_NUMBER },
                { "flag", JMP_BOOL, true },
                { "text", JMP_STRING, true },
                { "any", JMP_NODE, true } } },
    { .name = "fail", .call = part_fail, .args = { { "error", JMP_UINT }, { "text", JMP_STRING, true } } },
    { .name = "garbage", .call = part_garbage },
    { .name = "increment", .call = part_increment },
    { .name = "wait", .call = part_wait, .args = { { "seconds", JMP_NUMBER, true } } },
    { .name = "commit", .call = part_commit, .args = { { "seconds", JMP_NUMBER } } },
    { .name = "wait_fd", .call = part_wait_fd, .args = { { "ready", JMP_BOOL } } },
    { .name = "stuck", .call = part_stuck },
    { .name = "count", .items = part_count, .args = { { "to", JMP_UINT } } },
    { .name = "quick", .call = part_quick, .quick = true },
    { .name = "some", .items = part_some, .args = { { "to", JMP_UINT } }, .quick = true },
    { .name = "pair", .open = part_pair },
    { .name = "mirror", .serve = part_mirror },
    { .name = "deaf", .serve = part_deaf },
    {}
};

static const struct jmp_driver_class part_class = {
    JMP_DRIVER_HEAD, .name = "part", .kind = "other", .python_type = "test.Part", .client = "test.PartClient",
    .size = sizeof(struct part), .options = part_options, .methods = part_methods, .check = part_check,
    .open = part_open, .reset = part_reset, .close = part_close,
};

/* plain: nothing to open, so it opens at once */
static int plain_get(void *self, struct jmp_call *call) { return 0; }
static int plain_gone(void *self, struct jmp_call *call) { return jmp_call_fail(call, -ENODEV, "it fell off"); }

static const struct jmp_method plain_methods[] = {
    { .name = "get", .call = plain_get, .quick = true },
    { .name = "gone", .call = plain_gone },
    {}
};

static const struct jmp_driver_class plain_class = {
    JMP_DRIVER_HEAD, .name = "plain", .kind = "power", .client = "test.PlainClient", .methods = plain_methods,
};

/* console: its port is one end of a socketpair, the test has the other */
struct console {
    double cps;
    bool alone;                   /* nothing is shared */
    bool pty;                     /* the port is a pseudo-terminal's slave, the test has the master */
};

static const struct jmp_option console_options[] = {
    { JMP_FIELD(struct console, cps), .help = "bytes a second" },
    { JMP_FIELD(struct console, alone), .help = "a port for each" },
    { JMP_FIELD(struct console, pty), .help = "a pseudo-terminal" },
    {}
};

static int open_pty(int *ret)
{
    struct termios settings;
    int master, slave;

    if (openpty(&master, &slave, NULL, NULL, NULL) < 0)
        return -errno;
    tcgetattr(slave, &settings);
    cfmakeraw(&settings);
    tcsetattr(slave, TCSANOW, &settings);
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    jmp_close(atomic_exchange(&bench_world.board, master));
    *ret = slave;
    return 0;
}

static int console_connect(void *self, struct jmp_call *call, int *ret)
{
    struct console *console = self;
    int pair[2];

    if (!atomic_load(&bench_world.present))
        return jmp_call_fail(call, -ENODEV, "no such port");
    if (console->pty)
        return open_pty(ret);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    jmp_call_pace(call, console->cps);
    if (console->alone)
        jmp_call_private(call);
    jmp_close(atomic_exchange(&bench_world.board, pair[1]));
    *ret = pair[0];
    return 0;
}

static int console_drop(void *self, struct jmp_call *call)
{
    jmp_call_hangup(call, jmp_call_has(call, "newest") ? (unsigned)jmp_call_number(call, "newest") : 0);
    return 0;
}

static const struct jmp_method console_methods[] = {
    { .name = "connect", .open = console_connect, .shared = true },
    { .name = "drop", .call = console_drop, .args = { { "newest", JMP_UINT, true } } },
    {}
};

static const struct jmp_driver_class console_class = {
    JMP_DRIVER_HEAD, .name = "console", .kind = "console", .client = "test.ConsoleClient",
    .size = sizeof(struct console), .options = console_options, .methods = console_methods,
};

/* flasher: images in and out */
static int flasher_flash(void *self, struct jmp_call *call)
{
    int fd = jmp_call_fd(call, "image", false);
    size_t size = 0;
    ssize_t n;

    if (fd < 0)
        return fd;
    while (size < sizeof(bench_world.image) &&
           (n = read(fd, bench_world.image + size, sizeof(bench_world.image) - size)) > 0) {
        size += (size_t)n;
        if (jmp_call_has(call, "most") && size >= (size_t)jmp_call_number(call, "most"))
            break;
    }
    atomic_store(&bench_world.image_complete, jmp_call_complete(call));
    atomic_store(&bench_world.image_size, size);
    return 0;
}

static int flasher_dump(void *self, struct jmp_call *call)
{
    size_t sent = 0, size = atomic_load(&bench_world.image_size);
    int fd = jmp_call_fd(call, "image", true);

    if (fd < 0)
        return fd;
    while (sent < size) {
        size_t at = sent % sizeof(bench_world.image), left = sizeof(bench_world.image) - at;
        ssize_t n = write(fd, bench_world.image + at, size - sent < left ? size - sent : left);

        if (n < 0)
            return jmp_call_fail(call, -errno, "the image cannot be sent: %m");
        sent += (size_t)n;
    }
    if (jmp_call_bool(call, "fail"))
        return jmp_call_fail(call, -EIO, "the card is broken");
    return 0;
}

static int flasher_size(void *self, struct jmp_call *call)
{
    jmp_writer_number(jmp_call_reply(call), (double)jmp_call_size(call, "image"));
    return 0;
}

static int flasher_ignore(void *self, struct jmp_call *call) { return 0; }

static const struct jmp_method flasher_methods[] = {
    { .name = "flash", .call = flasher_flash, .args = { { "image", JMP_NODE }, { "most", JMP_UINT, true } } },
    { .name = "dump", .call = flasher_dump, .args = { { "image", JMP_NODE }, { "fail", JMP_BOOL, true } } },
    { .name = "size", .call = flasher_size, .args = { { "image", JMP_NODE } } },
    { .name = "ignore", .call = flasher_ignore, .args = { { "image", JMP_NODE } } },
    {}
};

static const struct jmp_driver_class flasher_class = {
    JMP_DRIVER_HEAD, .name = "flasher", .kind = "storage", .client = "test.FlasherClient", .methods = flasher_methods,
};

/* family: a driver with children that work on its state */
struct family {
    unsigned wealth;
};

static int family_open(void *self, struct jmp_call *call)
{
    ((struct family *)self)->wealth = 42;
    if (!atomic_load(&bench_world.present))
        return jmp_call_fail(call, -ENODEV, "nobody is at home");
    return 0;
}

static void family_close(void *self) { ((struct family *)self)->wealth = 0; }
static int family_leave(void *self, struct jmp_call *call) { return jmp_call_fail(call, -ENODEV, "moved away"); }

struct child {
    const char *toy;
};

static const struct jmp_option child_options[] = {
    { JMP_FIELD(struct child, toy), .preset = "ball", .help = "what it plays with" },
    {}
};

static int child_open(void *self, struct jmp_call *call) { return jmp_call_parent(call) ? 0 : -EINVAL; }

static int child_ask(void *self, struct jmp_call *call)
{
    const struct family *family = jmp_call_parent(call);

    jmp_writer_begin_list(jmp_call_reply(call));
    jmp_writer_string(jmp_call_reply(call), ((struct child *)self)->toy);
    jmp_writer_integer(jmp_call_reply(call), family->wealth);
    jmp_writer_end_list(jmp_call_reply(call));
    return 0;
}

static const struct jmp_method child_methods[] = { { .name = "ask", .call = child_ask }, {} };
static const struct jmp_driver_class child_class = {
    JMP_DRIVER_HEAD, .name = "child", .kind = "other", .client = "test.ChildClient", .size = sizeof(struct child),
    .options = child_options, .methods = child_methods, .open = child_open,
};

static const struct jmp_child family_children[] = { { "son", &child_class }, { "daughter", &child_class }, {} };
static const struct jmp_method family_methods[] = { { .name = "leave", .call = family_leave }, {} };
static const struct jmp_driver_class family_class = {
    JMP_DRIVER_HEAD, .name = "family", .kind = "other", .client = "test.FamilyClient", .size = sizeof(struct family),
    .methods = family_methods, .children = family_children, .open = family_open, .close = family_close,
};

/* caller: passes a call on to its child "next" */
static int caller_pass(void *self, struct jmp_call *call)
{
    return jmp_call_child(call, "next", jmp_call_string(call, "method"));
}

static int caller_knows(void *self, struct jmp_call *call)
{
    jmp_writer_bool(jmp_call_reply(call), jmp_call_has_child(call, "next", jmp_call_string(call, "method")));
    return 0;
}

/* Waits until it is cancelled, and calls then. */
static int caller_tidy(void *self, struct jmp_call *call)
{
    int r = jmp_call_wait(call, -1, 0, JMP_USEC_INFINITY);

    return jmp_call_child(call, "next", jmp_call_string(call, "method")) < 0 ? -EIO : r;
}

static const struct jmp_method caller_methods[] = {
    { .name = "pass", .call = caller_pass, .args = { { "method", JMP_STRING } } },
    { .name = "knows", .call = caller_knows, .args = { { "method", JMP_STRING } } },
    { .name = "tidy", .call = caller_tidy, .args = { { "method", JMP_STRING } } },
    {}
};
static const struct jmp_driver_class caller_class = {
    JMP_DRIVER_HEAD, .name = "caller", .kind = "other", .client = "test.CallerClient", .methods = caller_methods,
};

/* A test with drivers of its own has this array of its own, too. */
__attribute__((weak)) const struct jmp_driver_class *const jmp_builtin_drivers[] = {
    &caller_class, &composite_class, &part_class, &plain_class, &console_class, &flasher_class, &family_class, NULL,
};
