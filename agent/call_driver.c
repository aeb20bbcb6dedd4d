/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver may do with its call (drivers/driver.h), on the call's own thread. */
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "agent/core.h"
#include "base/limits.h"
#include "base/log.h"

static const struct jmp_node *find_arg(struct jmp_call *call, const char *name)
{
    if (call->method)
        for (size_t i = 0; i < ELEMENTSOF(call->method->args) && call->method->args[i].name; i++)
            if (strcmp(call->method->args[i].name, name) == 0)
                return call->args[i];
    return NULL;
}

double jmp_call_number(struct jmp_call *call, const char *arg)
{
    const struct jmp_node *value = find_arg(call, arg);

    return value && value->kind == JMP_NODE_NUMBER ? value->number : 0;
}

bool jmp_call_bool(struct jmp_call *call, const char *arg)
{
    const struct jmp_node *value = find_arg(call, arg);

    return value && value->kind == JMP_NODE_BOOL && value->boolean;
}

const char *jmp_call_string(struct jmp_call *call, const char *arg) { return jmp_node_string(find_arg(call, arg)); }
const struct jmp_node *jmp_call_node(struct jmp_call *call, const char *arg) { return find_arg(call, arg); }
bool jmp_call_has(struct jmp_call *call, const char *arg) { return !jmp_node_is_null(find_arg(call, arg)); }

int jmp_call_fd(struct jmp_call *call, const char *arg, bool write)
{
    const struct jmp_node *handle = find_arg(call, arg);

    if (call->quick)
        return jmp_call_fail(call, -EDEADLK, "%s() is declared quick and cannot transfer an image", call->doing);
    if (jmp_node_is_null(handle))
        return jmp_call_fail(call, -EINVAL, "%s() needs an image as its argument '%s'", call->doing, arg);
    return jmp_resource_use(call, handle, write);
}

uint64_t jmp_call_size(struct jmp_call *call, const char *arg)
{
    const struct jmp_node *size = jmp_node_get(find_arg(call, arg), "x_jmp_content_length");

    /* Numbers travel as doubles. */
    return size && size->kind == JMP_NODE_NUMBER && size->number >= 1 && size->number < 0x1p53 ? (uint64_t)size->number
                                                                                              : 0;
}

int jmp_call_complete(struct jmp_call *call) { return jmp_resources_complete(call); }

void *jmp_call_parent(struct jmp_call *call) { return call->instance->parent ? call->instance->parent->self : NULL; }

void jmp_call_pace(struct jmp_call *call, double rate)
{
    if (call->shared < JMP_SHARED_MAX)
        call->instance->pace[call->shared] = rate;
}

void jmp_call_private(struct jmp_call *call)
{
    if (call->shared < JMP_SHARED_MAX)
        call->instance->private[call->shared] = true;
}

void jmp_call_hangup(struct jmp_call *call, unsigned newest)
{
    pthread_mutex_lock(&call->core->lock);
    call->hangup = true;
    call->hangup_newest = newest;
    pthread_mutex_unlock(&call->core->lock);
}

/* A driver that was given up and comes back late must not park things behind its successor's back. */
static struct jmp_keep *keep_of(struct jmp_call *call)
{
    bool dead;

    pthread_mutex_lock(&call->core->lock);
    dead = call->instance->dead;
    pthread_mutex_unlock(&call->core->lock);
    return dead ? NULL : call->core->keep;
}

int jmp_call_keep(struct jmp_call *call, const char *name, int fd)
{
    struct jmp_keep *keep = keep_of(call);

    if (!keep)
        return call->core->keep ? -ENODEV : 0;
    return jmp_keep_put(keep, call->instance->path, name, fd);
}

int jmp_call_kept(struct jmp_call *call, const char *name)
{
    struct jmp_keep *keep = keep_of(call);
    int fd = keep ? jmp_keep_take(keep, call->instance->path, name) : -ENOENT;

    if (fd >= 0)
        call->instance->inherited = true;
    return fd;
}

void jmp_call_unkeep(struct jmp_call *call, const char *name)
{
    struct jmp_keep *keep = keep_of(call);

    if (!keep)
        return;
    jmp_keep_drop(keep, call->instance->path, name);
    call->instance->inherited = false;
}

struct jmp_writer *jmp_call_reply(struct jmp_call *call) { return call->writer; }

static void turn_give(struct jmp_call *call)
{
    if (call->has_turn)
        jmp_turn_give(call->instance);
}

static void turn_take(struct jmp_call *call)
{
    if (!call->has_turn)
        return;
    jmp_turn_queue(call->instance, &call->turn);
    jmp_turn_wait(call->instance, &call->turn, NULL);
}

int jmp_call_emit(struct jmp_call *call)
{
    struct jmp_core *core = call->core;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *item;
    int r;

    if (!call->method || !call->method->items)
        return jmp_call_fail(call, -EINVAL, "%s() has one answer, it cannot emit items", call->doing);
    r = jmp_writer_finish(call->writer, &item);
    if (r < 0)
        return jmp_call_fail(call, r == -EILSEQ ? -EINVAL : r, "an item of %s() cannot be sent: %s", call->doing,
                             r == -EILSEQ ? "it is not UTF-8" : strerror(-r));
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return r;
    r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return r;

    pthread_mutex_lock(&core->lock);
    if (call->item_count == JMP_ITEMS_AHEAD && !call->cancelled && !call->quick) {
        turn_give(call);
        while (call->item_count == JMP_ITEMS_AHEAD && !call->cancelled)
            pthread_cond_wait(&call->turn.wake, &core->lock);
        turn_take(call);
    }
    if (call->cancelled) {
        r = -ECANCELED;
    } else if (call->item_count == JMP_ITEMS_AHEAD) {
        r = jmp_call_fail(call, -EDEADLK, "%s() is declared quick and cannot have more than %u items", call->doing,
                          JMP_ITEMS_AHEAD);
    } else {
        call->items[(call->item_first + call->item_count++) % JMP_ITEMS_AHEAD] = (struct jmp_item){ call->tree, item };
        call->tree = TAKE_PTR(tree);
        /* The writer goes before the tree that it wrote into does. */
        jmp_writer_free(call->writer);
        call->writer = TAKE_PTR(writer);
        /* The end of a quick one is posted as well. */
        if (!call->quick && !call->orphan && core->loop)
            jmp_loop_post(core->loop, &call->post);
    }
    pthread_mutex_unlock(&core->lock);
    return r;
}

static int cancel_fd_locked(struct jmp_call *call)
{
    if (call->cancel_fd < 0) {
        int fd = eventfd(call->cancelled ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);

        if (fd < 0)
            return -errno;
        call->cancel_fd = fd;
    }
    return call->cancel_fd;
}

int jmp_call_cancel_fd(struct jmp_call *call)
{
    int fd;

    pthread_mutex_lock(&call->core->lock);
    fd = cancel_fd_locked(call);
    pthread_mutex_unlock(&call->core->lock);
    return fd;
}

/* Without the turn. Return: as jmp_call_wait(), cancelling left aside. */
static int wait_fds(int fd, short events, int cancel_fd, uint64_t deadline)
{
    struct pollfd fds[2] = { { .fd = cancel_fd, .events = POLLIN }, { .fd = fd, .events = events } };

    for (;;) {
        uint64_t now = jmp_now(), left = deadline > now ? deadline - now : 0;
        struct timespec timeout = { .tv_sec = (time_t)(left / JMP_USEC_PER_SEC),
                                    .tv_nsec = (long)(left % JMP_USEC_PER_SEC) * 1000 };
        int r = ppoll(fds, fd >= 0 ? 2 : 1, deadline == JMP_USEC_INFINITY ? NULL : &timeout, NULL);

        if (r < 0 && errno != EINTR)
            return -errno;
        if (r <= 0 && (deadline == JMP_USEC_INFINITY || jmp_now() < deadline))
            continue;
        if (r <= 0)
            return fd >= 0 ? -ETIMEDOUT : 0;
        if (fds[0].revents)
            return -ECANCELED;
        return fds[1].revents;
    }
}

int jmp_call_commit(struct jmp_call *call, uint64_t limit)
{
    uint64_t until = jmp_now() + limit + JMP_COMMIT_SLACK;
    int r;

    if (limit > JMP_COMMIT_MAX)
        return jmp_call_fail(call, -EINVAL, "%s() wants to run for longer than %" PRIu64 " s on its own", call->doing,
                             JMP_COMMIT_MAX / JMP_USEC_PER_SEC);

    pthread_mutex_lock(&call->core->lock);
    r = call->cancelled ? -ECANCELED : 0;
    if (r == 0 && until > call->committed)
        call->committed = until;
    pthread_mutex_unlock(&call->core->lock);
    return r;
}

int jmp_call_wait(struct jmp_call *call, int fd, short events, uint64_t deadline)
{
    struct jmp_core *core = call->core;
    int cancel_fd, r;

    if (call->quick)
        return jmp_call_fail(call, -EDEADLK, "%s() is declared quick and cannot wait", call->doing);

    pthread_mutex_lock(&core->lock);
    cancel_fd = cancel_fd_locked(call);
    if (call->cancelled || cancel_fd < 0) {
        r = call->cancelled ? -ECANCELED : cancel_fd;
        pthread_mutex_unlock(&core->lock);
        return r;
    }
    turn_give(call);
    pthread_mutex_unlock(&core->lock);

    r = wait_fds(fd, events, cancel_fd, deadline);

    pthread_mutex_lock(&core->lock);
    turn_take(call);
    if (call->cancelled)
        r = -ECANCELED;
    pthread_mutex_unlock(&core->lock);
    return r;
}

int jmp_call_fail(struct jmp_call *call, int error, const char *fmt, ...)
{
    va_list args;

    errno = -error;
    va_start(args, fmt);
    vsnprintf(call->text, sizeof(call->text), fmt, args);
    va_end(args);
    return error;
}

void jmp_call_log(struct jmp_call *call, int level, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (level < JMP_LOG_DEBUG)
        level = JMP_LOG_DEBUG;
    if (level > JMP_LOG_CRITICAL)
        level = JMP_LOG_CRITICAL;
    jmp_log((enum jmp_log_level)level, FIELDS(.source = JMP_LOG_DRIVER, .driver = call->instance->path,
                                              .driver_type = call->instance->driver->kind, .operation = call->doing),
            "%s", text);
}

/*
 * A method of another device, a child of this one in the configuration: the thread asks the loop to make the call and
 * waits, without its turn, like anybody else who waits.
 */

#define TIDY_LIMIT 5000   /* milliseconds */

struct child_call {
    struct jmp_post post;
    struct jmp_core *core;         /* a reference */
    struct jmp_device *device;     /* the caller's; only to be looked at while core->loop is set */
    struct jmp_call *call;         /* the child's, while it runs; loop */
    char child[JMP_NAME_MAX + 1], method[64];
    int wake;                      /* eventfd: done */

    /* lock */
    unsigned holders;              /* the thread, the loop */
    bool abandoned, done;
    int error;
    char text[512];
};

static void child_drop(struct child_call *request)
{
    struct jmp_core *core = request->core;
    bool last;

    pthread_mutex_lock(&core->lock);
    last = --request->holders == 0;
    pthread_mutex_unlock(&core->lock);
    if (!last)
        return;
    jmp_close(request->wake);
    free(request);
    jmp_core_unref(core);
}

/* On the loop, once. */
static void child_end(struct child_call *request, int error, const char *text)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&request->core->lock);
    if (request->core->loop)
        jmp_loop_unpost(request->core->loop, &request->post);
    request->done = true;
    request->error = error;
    snprintf(request->text, sizeof(request->text), "%s", text);
    if (write(request->wake, &one, sizeof(one)) < 0)
        jmp_log(JMP_LOG_ERROR, FIELDS(.operation = request->method, .error = -errno),
                "a driver cannot be told an answer: %m");
    pthread_mutex_unlock(&request->core->lock);
    child_drop(request);
}

static void on_done(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user)
{
    struct child_call *request = user;

    request->call = NULL;
    child_end(request, error, text);
}

static struct jmp_device *find_child(const struct jmp_device *device, const char *name)
{
    for (struct jmp_device *child = device->children; child; child = child->next)
        if (strcmp(child->name, name) == 0)
            return child->target ? child->target : child;
    return NULL;
}

static void child_posted(struct jmp_post *post)
{
    struct child_call *request = CONTAINER_OF(post, struct child_call, post);
    static const struct jmp_call_events events = { .done = on_done };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_device *child;
    bool ended;
    int r;

    pthread_mutex_lock(&request->core->lock);
    ended = request->abandoned || !request->core->loop;
    pthread_mutex_unlock(&request->core->lock);
    if (ended && request->call) {
        jmp_call_cancel(request->call);
        return;
    }
    if (ended) {
        child_end(request, -ECANCELED, "");
        return;
    }
    child = find_child(request->device, request->child);
    if (!child) {
        child_end(request, -ENOENT, "there is no such child");
        return;
    }
    r = jmp_call_start(child, request->method, JMP_CALL_UNARY, NULL, &events, request, &request->call, &error);
    if (r < 0)
        child_end(request, r, error.text);
}

/* A call that is over already still tidies up, but not for long. */
static int wait_done(struct jmp_call *call, struct child_call *request, bool cancelled)
{
    struct pollfd fd = { .fd = request->wake, .events = POLLIN };

    if (!cancelled)
        return jmp_call_wait(call, request->wake, POLLIN, JMP_USEC_INFINITY);
    return poll(&fd, 1, TIDY_LIMIT) > 0 ? 0 : -ECANCELED;
}

int jmp_call_child(struct jmp_call *call, const char *child, const char *method)
{
    bool cancelled;
    struct jmp_core *core = call->core;
    struct child_call *request = calloc(1, sizeof(*request));
    char text[sizeof(request->text)];
    int r;

    if (!request)
        return -ENOMEM;
    request->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (request->wake < 0) {
        free(request);
        return jmp_call_fail(call, -errno, "%s: no descriptor for a call: %m", child);
    }
    request->core = core;
    request->device = call->device;
    request->post.run = child_posted;
    request->holders = 1;
    snprintf(request->child, sizeof(request->child), "%s", child);
    snprintf(request->method, sizeof(request->method), "%s", method);

    pthread_mutex_lock(&core->lock);
    core->refs++;
    cancelled = call->cancelled;
    r = call->orphan || !core->loop ? -ECANCELED : 0;
    if (r == 0) {
        request->holders = 2;
        jmp_loop_post(core->loop, &request->post);
    }
    pthread_mutex_unlock(&core->lock);
    if (r == 0)
        r = wait_done(call, request, cancelled);

    pthread_mutex_lock(&core->lock);
    if (request->done) {
        r = request->error;
        memcpy(text, request->text, sizeof(text));
    } else if (request->holders > 1 && core->loop) {
        request->abandoned = true;
        jmp_loop_post(core->loop, &request->post);
        text[0] = '\0';
    }
    pthread_mutex_unlock(&core->lock);
    child_drop(request);
    if (r == -ECANCELED)
        return r;
    /* Gone is the child, not who called it. */
    return r < 0 ? jmp_call_fail(call, r == -ENODEV ? -ECONNABORTED : r, "%s: %s", child, text) : 0;
}

bool jmp_call_has_child(struct jmp_call *call, const char *child, const char *method)
{
    bool found = false;

    pthread_mutex_lock(&call->core->lock);
    if (!call->orphan && call->core->loop) {
        const struct jmp_device *device = find_child(call->device, child);
        const struct jmp_method *row = device ? device->driver->methods : NULL;

        while (row && row->name && strcmp(row->name, method) != 0)
            row++;
        found = row && row->name && row->call;
    }
    pthread_mutex_unlock(&call->core->lock);
    return found;
}
