/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/call_double.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/test.h"

#define PATIENCE (10 * JMP_USEC_PER_SEC)
#define LOG_SIZE 16384u

struct server {
    struct server *next;
    pthread_t thread;
    struct device *device;
    const struct jmp_method *method;
    int fd;
};

struct device {
    const struct jmp_driver_class *driver;
    struct device *parent;
    struct { const char *name; struct device *device; } given[4];
    void *self;
    struct jmp_tree *config, *results;
    bool open;
    int cancel;            /* eventfd */
    int lent;
    bool cut;
    double pace;
    unsigned hangups, newest;
    bool private;
    const struct jmp_node *result;
    char error[1024];
    pthread_mutex_t lock;  /* of the log */
    char log[LOG_SIZE];
    struct server *servers;
    struct kept { char name[64]; int fd; } kept[8];   /* an unused one has no name */
};

struct jmp_call {
    struct device *device;
    const struct jmp_method *method;
    const struct jmp_node *args;
    struct jmp_writer *writer;
    struct jmp_node *items;
    bool committed;
};

static struct jmp_tree *tree_new(void)
{
    struct jmp_tree *tree = NULL;

    assert_int_equal(jmp_tree_new(0, &tree), 0);
    return tree;
}

static const struct jmp_node *parse(struct jmp_tree *tree, const char *json)
{
    struct jmp_error error = JMP_ERROR_INIT;
    const struct jmp_node *node = NULL;

    if (!json)
        return NULL;
    if (jmp_json_parse(json, strlen(json), tree, &node, &error) < 0)
        fail_msg("%s: %s", json, error.text);
    return node;
}

const char *device_problem(const struct jmp_driver_class *driver, const char *config)
{
    static char text[1024];
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = tree_new();
    _cleanup_free_ void *self = calloc(1, driver->size + 1);
    static const struct jmp_option none[] = { {} };
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;

    assert_non_null(self);
    jmp_options_read(driver->options ? driver->options : none, 0, self, parse(tree, config), NULL, "", &problems);
    if (problems.first)
        error = problems.first->error;
    else if (driver->check)
        driver->check(self, &error);
    jmp_problems_clear(&problems);
    if (error.error == 0)
        return NULL;

    snprintf(text, sizeof(text), "%s: %s", error.path, error.text);
    return text;
}

struct device *device_new(const struct jmp_driver_class *driver, const char *config)
{
    static const struct jmp_option none[] = { {} };
    struct device *device = calloc(1, sizeof(*device));
    const char *problem = device_problem(driver, config);
    struct jmp_problems problems = { 0 };

    assert_non_null(device);
    if (problem)
        fail_msg("%s", problem);

    device->driver = driver;
    device->self = calloc(1, driver->size + 1);
    assert_non_null(device->self);
    device->config = tree_new();
    device->results = tree_new();
    device->lent = -EBADF;
    device->cancel = eventfd(0, EFD_CLOEXEC);
    assert_true(device->cancel >= 0);
    pthread_mutex_init(&device->lock, NULL);
    assert_int_equal(jmp_options_read(driver->options ? driver->options : none, 0, device->self,
                                      parse(device->config, config), NULL, "", &problems), 0);
    return device;
}

struct device *device_child(struct device *parent, const char *name, const char *config)
{
    for (const struct jmp_child *child = parent->driver->children; child && child->name; child++) {
        if (strcmp(child->name, name) == 0) {
            struct device *device = device_new(child->driver, config);

            device->parent = parent;
            return device;
        }
    }
    fail_msg("no child %s", name);
    return NULL;
}

void device_give(struct device *device, const char *name, struct device *child)
{
    for (size_t i = 0; i < ELEMENTSOF(device->given); i++)
        if (!device->given[i].name) {
            device->given[i].name = name;
            device->given[i].device = child;
            return;
        }
    fail_msg("%s has too many children", name);
}

void device_cancel(struct device *device)
{
    const uint64_t one = 1;

    assert_int_equal(write(device->cancel, &one, sizeof(one)), sizeof(one));
}

static void let_go(struct kept *kept)
{
    if (kept->name[0])
        jmp_close(kept->fd);
    *kept = (struct kept){ 0 };
}

void device_restart(struct device *device)
{
    if (device->servers)
        device_cancel(device);
    while (device->servers) {
        struct server *server = device->servers;

        device->servers = server->next;
        pthread_join(server->thread, NULL);
        free(server);
    }
    if (device->open && device->driver->close)
        device->driver->close(device->self);
    device->open = false;
}

void device_close(struct device *device)
{
    device_restart(device);
    for (size_t i = 0; i < ELEMENTSOF(device->kept); i++)
        let_go(&device->kept[i]);
}

struct device *device_free(struct device *device)
{
    if (!device)
        return NULL;

    device_close(device);
    jmp_close(device->cancel);
    jmp_tree_free(device->config);
    jmp_tree_free(device->results);
    pthread_mutex_destroy(&device->lock);
    free(device->self);
    free(device);
    return NULL;
}

int device_open(struct device *device)
{
    struct jmp_call call = { .device = device };

    device->error[0] = '\0';
    device->open = true;
    return device->driver->open ? device->driver->open(device->self, &call) : 0;
}

static const struct jmp_method *find_method(const struct device *device, const char *name)
{
    for (const struct jmp_method *method = device->driver->methods; method && method->name; method++)
        if (strcmp(method->name, name) == 0)
            return method;
    fail_msg("no method %s", name);
    return NULL;
}

int device_call(struct device *device, const char *method, const char *args)
{
    struct jmp_call call = { .device = device, .method = find_method(device, method) };
    int r;

    device->error[0] = '\0';
    device->result = NULL;
    jmp_tree_free(device->results);
    device->results = tree_new();
    call.args = parse(device->results, args);
    assert_int_equal(jmp_writer_new(device->results, &call.writer), 0);

    if (call.method->items) {
        call.items = jmp_node_new(device->results, JMP_NODE_LIST);
        r = call.method->items(device->self, &call);
        device->result = call.items;
    } else {
        assert_non_null(call.method->call);
        r = call.method->call(device->self, &call);
        assert_int_equal(jmp_writer_finish(call.writer, &device->result), 0);
    }

    jmp_writer_free(call.writer);
    device->lent = -EBADF;
    return r;
}

static void *serve(void *data)
{
    struct server *server = data;
    struct jmp_call call = { .device = server->device, .method = server->method };

    server->method->serve(server->device->self, &call, server->fd);
    server->fd = jmp_close(server->fd);
    return NULL;
}

int device_stream(struct device *device, const char *method, int *ret)
{
    struct jmp_call call = { .device = device, .method = find_method(device, method) };
    struct server *server;
    int pair[2], r;

    device->error[0] = '\0';
    if (call.method->open) {
        device->pace = 0;
        r = call.method->open(device->self, &call, ret);
        if (r >= 0)
            assert_true(fcntl(*ret, F_GETFL) & O_NONBLOCK);
        return r;
    }

    assert_non_null(call.method->serve);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    server = calloc(1, sizeof(*server));
    assert_non_null(server);
    *server = (struct server){ .device = device, .method = call.method, .fd = pair[0], .next = device->servers };
    device->servers = server;
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    *ret = pair[1];
    return 0;
}

const struct jmp_node *device_result(const struct device *device) { return device->result; }
const char *device_error(const struct device *device) { return device->error; }
const char *device_log(const struct device *device) { return device->log; }
bool device_is_private(const struct device *device) { return device->private; }
double device_pace(const struct device *device) { return device->pace; }
void device_lend(struct device *device, int fd)
{
    device->lent = fd;
    device->cut = false;
}

void device_lend_cut(struct device *device, int fd)
{
    device->lent = fd;
    device->cut = true;
}

unsigned device_hangups(const struct device *device, unsigned *retnewest)
{
    *retnewest = device->newest;
    return device->hangups;
}

int device_kept(const struct device *device, const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(device->kept); i++)
        if (strcmp(device->kept[i].name, name) == 0)
            return device->kept[i].fd;
    return -ENOENT;
}

/* The core's side of driver.h */

void jmp_call_unkeep(struct jmp_call *call, const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(call->device->kept); i++)
        if (strcmp(call->device->kept[i].name, name) == 0)
            let_go(&call->device->kept[i]);
}

int jmp_call_keep(struct jmp_call *call, const char *name, int fd)
{
    jmp_call_unkeep(call, name);
    for (size_t i = 0; i < ELEMENTSOF(call->device->kept); i++) {
        struct kept *kept = &call->device->kept[i];

        if (kept->name[0])
            continue;
        assert_true(name[0] && strlen(name) < sizeof(kept->name));
        strcpy(kept->name, name);
        kept->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        assert_true(kept->fd >= 0);
        return 1;
    }
    fail_msg("%s keeps too much", name);
    return -ENOSPC;
}

int jmp_call_kept(struct jmp_call *call, const char *name)
{
    int fd = device_kept(call->device, name);

    return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static const struct jmp_node *argument(struct jmp_call *call, const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(call->method->args) && call->method->args[i].name; i++)
        if (strcmp(call->method->args[i].name, name) == 0)
            return jmp_node_at(call->args, i);
    fail_msg("%s has no argument %s", call->method->name, name);
    return NULL;
}

double jmp_call_number(struct jmp_call *call, const char *arg)
{
    const struct jmp_node *node = argument(call, arg);

    return node ? node->number : 0;
}

bool jmp_call_bool(struct jmp_call *call, const char *arg)
{
    const struct jmp_node *node = argument(call, arg);

    return node && node->boolean;
}

const char *jmp_call_string(struct jmp_call *call, const char *arg) { return jmp_node_string(argument(call, arg)); }
const struct jmp_node *jmp_call_node(struct jmp_call *call, const char *arg) { return argument(call, arg); }
bool jmp_call_has(struct jmp_call *call, const char *arg) { return !jmp_node_is_null(argument(call, arg)); }
struct jmp_writer *jmp_call_reply(struct jmp_call *call) { return call->writer; }
int jmp_call_cancel_fd(struct jmp_call *call) { return call->device->cancel; }
void jmp_call_pace(struct jmp_call *call, double rate) { call->device->pace = rate; }
void *jmp_call_parent(struct jmp_call *call) { return call->device->parent ? call->device->parent->self : NULL; }

static struct device *given(struct jmp_call *call, const char *name)
{
    struct device *device = call->device;

    for (size_t i = 0; i < ELEMENTSOF(device->given) && device->given[i].name; i++)
        if (strcmp(device->given[i].name, name) == 0)
            return device->given[i].device;
    return NULL;
}

bool jmp_call_has_child(struct jmp_call *call, const char *child, const char *method)
{
    struct device *device = given(call, child);

    if (device)
        for (const struct jmp_method *row = device->driver->methods; row && row->name; row++)
            if (strcmp(row->name, method) == 0)
                return row->call;
    return false;
}

int jmp_call_child(struct jmp_call *call, const char *child, const char *method)
{
    int r;

    if (!jmp_call_has_child(call, child, method))
        return jmp_call_fail(call, -ENOENT, "%s: there is no such child", child);
    r = device_call(given(call, child), method, NULL);
    return r < 0 ? jmp_call_fail(call, r == -ENODEV ? -ECONNABORTED : r, "%s: %s", child,
                                 device_error(given(call, child)))
                 : 0;
}

int jmp_call_fd(struct jmp_call *call, const char *arg, bool write)
{
    argument(call, arg);
    assert_true(call->device->lent >= 0);
    return call->device->lent;
}

uint64_t jmp_call_size(struct jmp_call *call, const char *arg)
{
    const struct jmp_node *size = jmp_node_get(argument(call, arg), "x_jmp_content_length");

    return size ? (uint64_t)size->number : 0;
}

int jmp_call_complete(struct jmp_call *call)
{
    return call->device->cut ? jmp_call_fail(call, -ECONNRESET, "the client broke its upload off") : 0;
}

void jmp_call_private(struct jmp_call *call)
{
    assert_true(call->method->shared);
    call->device->private = true;
}

void jmp_call_hangup(struct jmp_call *call, unsigned newest)
{
    call->device->hangups++;
    call->device->newest = newest;
}

int jmp_call_emit(struct jmp_call *call)
{
    const struct jmp_node *value = NULL;
    int r;

    r = jmp_writer_finish(call->writer, &value);
    assert_int_equal(r, 0);
    jmp_node_append(call->items, jmp_node_copy(call->device->results, value));
    return 0;
}

int jmp_call_wait(struct jmp_call *call, int fd, short events, uint64_t deadline)
{
    int cancel = call->committed ? -1 : call->device->cancel;   /* poll() passes over -1 */
    struct pollfd fds[2] = { { .fd = cancel, .events = POLLIN }, { .fd = fd, .events = events } };

    for (;;) {
        uint64_t now = jmp_now(), left = deadline > now ? deadline - now : 0;
        struct timespec limit = { .tv_sec = (time_t)(left / JMP_USEC_PER_SEC),
                                  .tv_nsec = (long)(left % JMP_USEC_PER_SEC * 1000) };
        int r = ppoll(fds, 2, deadline == JMP_USEC_INFINITY ? NULL : &limit, NULL);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (fds[0].revents)
            return -ECANCELED;
        if (fds[1].revents)
            return fds[1].revents;
        if (r == 0)
            return fd < 0 ? 0 : -ETIMEDOUT;
    }
}

int jmp_call_commit(struct jmp_call *call, uint64_t limit)
{
    struct pollfd cancelled = { .fd = call->device->cancel, .events = POLLIN };

    assert_true(limit <= JMP_COMMIT_MAX);
    if (poll(&cancelled, 1, 0) != 0)
        return -ECANCELED;
    call->committed = true;
    return 0;
}

int jmp_call_fail(struct jmp_call *call, int error, const char *fmt, ...)
{
    va_list ap;

    errno = -error;
    va_start(ap, fmt);
    vsnprintf(call->device->error, sizeof(call->device->error), fmt, ap);
    va_end(ap);
    return error;
}

void jmp_call_log(struct jmp_call *call, int level, const char *fmt, ...)
{
    struct device *device = call->device;
    va_list ap;
    size_t used;

    pthread_mutex_lock(&device->lock);
    used = strlen(device->log);
    va_start(ap, fmt);
    vsnprintf(device->log + used, LOG_SIZE - used, fmt, ap);
    va_end(ap);
    used = strlen(device->log);
    snprintf(device->log + used, LOG_SIZE - used, "\n");
    pthread_mutex_unlock(&device->lock);
}

/* Descriptors */

static void wait_for(int fd, short events, const char *what)
{
    struct pollfd pollfd = { .fd = fd, .events = events };
    int r;

    do
        r = poll(&pollfd, 1, PATIENCE / JMP_USEC_PER_MSEC);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        fail_msg("%s: nothing happened for ten seconds", what);
}

void fd_write_all(int fd, const void *data, size_t size)
{
    const char *bytes = data;

    while (size > 0) {
        ssize_t n;

        wait_for(fd, POLLOUT, "write");
        n = write(fd, bytes, size);
        if (n < 0 && errno == EAGAIN)
            continue;
        assert_true(n > 0);
        bytes += n;
        size -= (size_t)n;
    }
}

void fd_read_all(int fd, void *data, size_t size)
{
    char *bytes = data;

    while (size > 0) {
        ssize_t n;

        wait_for(fd, POLLIN, "read");
        n = read(fd, bytes, size);
        if (n < 0 && errno == EAGAIN)
            continue;
        assert_true(n > 0);
        bytes += n;
        size -= (size_t)n;
    }
}

void fd_expect_end(int fd)
{
    char byte;
    ssize_t n;

    do {
        wait_for(fd, POLLIN, "end");
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EAGAIN);
    assert_true(n == 0 || (n < 0 && (errno == EIO || errno == ECONNRESET)));
}

void fd_read_until(int fd, const char *needle, char *text, size_t size)
{
    uint64_t deadline = jmp_now() + PATIENCE;
    size_t used = 0;

    text[0] = '\0';
    while (!strstr(text, needle)) {
        ssize_t n;

        if (used + 1 >= size || jmp_now() > deadline)
            fail_msg("\"%s\" did not come, but this: %s", needle, text);
        wait_for(fd, POLLIN, needle);
        n = read(fd, text + used, size - 1 - used);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            fail_msg("end before \"%s\" came, after this: %s", needle, text);
        used += (size_t)n;
        text[used] = '\0';
    }
}

bool fd_is_silent(int fd, unsigned milliseconds)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };

    return poll(&pollfd, 1, (int)milliseconds) == 0;
}
