/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of a call: look up, check, start, cancel, give up, answer. What drivers may do is in
 * call_driver.c. */
#include "agent/call.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/core.h"
#include "base/log.h"

static const char *kind_marker(enum jmp_call_kind kind)
{
    switch (kind) {
    case JMP_CALL_UNARY: return "marker_drivercall";
    case JMP_CALL_ITEMS: return "marker_streamingdrivercall";
    case JMP_CALL_STREAM: return "marker_streamcall";
    }
    return "marker";
}

static bool method_fits(const struct jmp_method *method, enum jmp_call_kind kind)
{
    switch (kind) {
    case JMP_CALL_UNARY: return method->call;
    case JMP_CALL_ITEMS: return method->items;
    case JMP_CALL_STREAM: return method->open || method->serve;
    }
    return false;
}

static const struct jmp_method *find_method(const struct jmp_driver_class *driver, const char *name)
{
    for (const struct jmp_method *method = driver->methods; method && method->name; method++)
        if (strcmp(method->name, name) == 0)
            return method;
    return NULL;
}

static unsigned shared_index(const struct jmp_driver_class *driver, const struct jmp_method *wanted)
{
    unsigned n = 0;

    for (const struct jmp_method *method = driver->methods; method != wanted; method++)
        if (method->open && method->shared)
            n++;
    return n;
}

/* A shared stream is a viewer's, unless the driver wants each to have its own. */
static bool is_viewed(const struct jmp_device *device, const struct jmp_method *method)
{
    return method->shared && !device->instance->private[shared_index(device->driver, method)];
}

static bool arg_fits(enum jmp_type type, const struct jmp_node *value)
{
    switch (type) {
    case JMP_BOOL:
        return value->kind == JMP_NODE_BOOL;
    case JMP_UINT:
        /* All numbers are doubles on the wire, so 3 arrives as 3.0. */
        return value->kind == JMP_NODE_NUMBER && value->number >= 0 && value->number <= UINT32_MAX &&
               floor(value->number) == value->number;
    case JMP_NUMBER:
        return value->kind == JMP_NODE_NUMBER && isfinite(value->number);
    case JMP_STRING:
        return value->kind == JMP_NODE_STRING;
    case JMP_STRINGS:
        if (value->kind != JMP_NODE_LIST)
            return false;
        JMP_NODE_EACH(item, value)
            if (item->kind != JMP_NODE_STRING)
                return false;
        return true;
    case JMP_NODE:
        return true;
    }
    return false;
}

static const char *type_words(enum jmp_type type)
{
    switch (type) {
    case JMP_BOOL: return "true or false";
    case JMP_UINT: return "a whole number from 0 to 4294967295";
    case JMP_NUMBER: return "a number";
    case JMP_STRING: return "a string";
    case JMP_STRINGS: return "a list of strings";
    case JMP_NODE: return "anything";
    }
    return "something else";
}

static int check_args(const struct jmp_method *method, const struct jmp_node *args, struct jmp_error *reterr)
{
    size_t given = args ? args->count : 0, declared = 0;

    if (args && args->kind != JMP_NODE_LIST)
        return jmp_error_set(reterr, -EINVAL, "the arguments of %s() must be a list", method->name);

    while (declared < ELEMENTSOF(method->args) && method->args[declared].name)
        declared++;
    if (given > declared)
        return jmp_error_set(reterr, -E2BIG, "%s() takes %zu argument%s, but %zu were given", method->name, declared,
                             declared == 1 ? "" : "s", given);

    for (size_t i = 0; i < declared; i++) {
        const struct jmp_arg *arg = &method->args[i];
        const struct jmp_node *value = jmp_node_at(args, i);

        if (!value && !arg->optional)
            return jmp_error_set(reterr, -E2BIG, "%s() misses its argument '%s'", method->name, arg->name);
        if (!value || (arg->optional && jmp_node_is_null(value)))
            continue;
        if (!arg_fits(arg->type, value))
            return jmp_error_set(reterr, -EINVAL, "argument '%s' of %s() must be %s, not %s", arg->name, method->name,
                                 type_words(arg->type), jmp_node_kind_name(value));
    }
    return 0;
}

static int call_renew_answer(struct jmp_call *call)
{
    int r;

    r = jmp_tree_new(0, &call->tree);
    if (r < 0)
        return r;
    r = jmp_writer_new(call->tree, &call->writer);
    if (r < 0)
        call->tree = jmp_tree_free(call->tree);
    return r;
}

static void call_free(struct jmp_call *call)
{
    jmp_resources_free(call);
    jmp_close(call->cancel_fd);
    jmp_close(call->stream_fd);
    jmp_close(call->serve_fd);
    jmp_writer_free(call->writer);
    jmp_tree_free(call->tree);
    for (; call->item_count > 0; call->item_count--)
        jmp_tree_free(call->items[call->item_first++ % JMP_ITEMS_AHEAD].tree);
    jmp_tree_free(call->args_tree);
    jmp_turn_destroy(&call->turn);
    free(call);
}

/* The loop and the thread hold a call; whoever is last frees it: after done(), or long after the device was given
 * up. */
static void call_drop(struct jmp_call *call)
{
    bool last;

    pthread_mutex_lock(&call->core->lock);
    last = --call->holders == 0;
    pthread_mutex_unlock(&call->core->lock);
    if (last)
        call_free(call);
}

static void call_unlink(struct jmp_call *call)
{
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->next = NULL;
    call->link = NULL;
    if (!call->internal && !call->watching) {
        call->device->calls--;
        call->devices->n_calls--;
    }
}

/* Says done() and lets go of the call; its thread may still hold it. */
static void call_answer(struct jmp_call *call, int error, const char *text, const struct jmp_node *result)
{
    struct jmp_device *device = call->device;
    struct jmp_devices *devices = call->devices;
    char words[sizeof(call->text)];

    jmp_timer_close(&call->limit);
    call->viewer = jmp_viewer_free(call->viewer);
    call_unlink(call);

    if (error == -ENODEV && !call->internal && call->instance == device->instance && device->state == DEVICE_OPEN)
        jmp_device_gone(device, text && text[0] ? text : strerror(-error));
    if (call->lost && (error == -ECANCELED || error == -ENODEV)) {
        error = -ENODEV;
        text = device->missing;
    }
    if (error < 0 && (!text || !text[0])) {
        snprintf(words, sizeof(words), "%s: %s", call->doing, strerror(-error));
        text = words;
    }
    call->events.done(call, error, error < 0 ? text : "", error < 0 ? NULL : result, call->user);
    jmp_devices_call_ended(devices, call);
    call_drop(call);
}

/* The next item, if its time has come; with the lock. */
static struct jmp_item take_item(struct jmp_call *call)
{
    struct jmp_item item;

    if (call->cancelled || call->item_out || call->item_count == 0)
        return (struct jmp_item){ 0 };
    item = call->items[call->item_first];
    call->item_first = (call->item_first + 1) % JMP_ITEMS_AHEAD;
    call->item_count--;
    call->item_out = true;
    /* A driver that waits for room gets half of it at once: waking it for each item would cost more than the items. */
    if (call->item_count == JMP_ITEMS_AHEAD / 2)
        pthread_cond_signal(&call->turn.wake);
    return item;
}

static void call_posted(struct jmp_post *post)
{
    struct jmp_call *call = CONTAINER_OF(post, struct jmp_call, post);
    struct jmp_item item;
    bool hangup, cancelled, finished, more;
    int fd;

    pthread_mutex_lock(&call->core->lock);
    item = take_item(call);
    more = call->item_count > 0 || call->finished;
    fd = TAKE_FD(call->stream_fd);
    hangup = call->hangup;
    call->hangup = false;
    cancelled = call->cancelled;
    finished = call->finished && (cancelled || !call->item_out);
    pthread_mutex_unlock(&call->core->lock);

    if (hangup)
        for (unsigned i = 0; i < JMP_SHARED_MAX; i++)
            if (call->device->fanouts[i])
                jmp_fanout_hangup(call->device->fanouts[i], call->hangup_newest);
    if (fd >= 0) {
        if (cancelled)
            jmp_close(fd);
        else
            call->events.stream(call, fd, call->user);
    }
    if (item.tree) {
        call->events.item(call, item.value, more, call->user);
        jmp_tree_free(item.tree);
    }
    if (!finished)
        return;

    /* The end may have been posted while we were on our way here with something earlier. */
    jmp_loop_unpost(call->devices->loop, &call->post);
    call_answer(call, call->error, call->text, call->result);
}

static void post_locked(struct jmp_call *call)
{
    if (!call->orphan && call->core->loop)
        jmp_loop_post(call->core->loop, &call->post);
}

/* The end of the driver's part, on its thread or, for a quick one, on the loop. */
static void call_conclude(struct jmp_call *call, int r)
{
    struct jmp_instance *instance = call->instance;
    struct jmp_core *core = call->core;
    bool may_block = !call->quick;
    int serve_fd;

    if (call->has_turn) {
        pthread_mutex_lock(&core->lock);
        jmp_turn_give(instance);
        pthread_mutex_unlock(&core->lock);
        call->has_turn = false;
    }
    r = jmp_resources_settle(call, r);

    if (r >= 0 && call->kind == JMP_CALL_UNARY && !call->internal) {
        r = jmp_writer_finish(call->writer, &call->result);
        if (r < 0)
            snprintf(call->text, sizeof(call->text), "the answer of %s() cannot be sent: %s", call->doing,
                     r == -EILSEQ ? "it is not UTF-8" : strerror(-r));
        if (r == -EILSEQ)
            r = -EINVAL;
    }

    pthread_mutex_lock(&core->lock);
    serve_fd = TAKE_FD(call->serve_fd);
    pthread_mutex_unlock(&core->lock);
    jmp_socket_end(serve_fd);

    pthread_mutex_lock(&core->lock);
    call->error = r < 0 ? r : 0;
    call->finished = true;
    post_locked(call);
    pthread_mutex_unlock(&core->lock);
    call_drop(call);
    jmp_instance_unref(instance, may_block);
}

static void call_job(struct jmp_job *job)
{
    struct jmp_call *call = CONTAINER_OF(job, struct jmp_call, job);
    struct jmp_core *core = call->core;
    int r = 0;

    pthread_mutex_lock(&core->lock);
    if (!call->outside)
        r = jmp_turn_wait(call->instance, &call->turn, &call->cancelled);
    else if (call->cancelled)
        r = -ECANCELED;
    else if (call->instance->dead)
        r = -ENODEV;
    call->has_turn = r == 0 && !call->outside;
    pthread_mutex_unlock(&core->lock);

    if (r == 0)
        r = call->body(call);
    call_conclude(call, r);
    jmp_core_job_done(core);
}

static int body_call(struct jmp_call *call) { return call->method->call(call->instance->self, call); }
static int body_items(struct jmp_call *call) { return call->method->items(call->instance->self, call); }
static int body_serve(struct jmp_call *call) { return call->method->serve(call->instance->self, call, call->serve_fd); }

static int body_open(struct jmp_call *call)
{
    _cleanup_close_ int fd = -EBADF;
    int flags, r;

    r = call->method->open(call->instance->self, call, &fd);
    if (r < 0)
        return r;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return jmp_call_fail(call, -errno, "%s() gave no usable descriptor: %m", call->doing);

    pthread_mutex_lock(&call->core->lock);
    call->stream_fd = TAKE_FD(fd);
    pthread_mutex_unlock(&call->core->lock);
    return 0;
}

static int call_new(struct jmp_device *device, const struct jmp_method *method, const char *doing,
                    struct jmp_call **ret)
{
    struct jmp_devices *devices = device->devices;
    struct jmp_call *call = calloc(1, sizeof(*call));
    int r;

    if (!call)
        return -ENOMEM;
    call->shared = JMP_SHARED_MAX;
    call->cancel_fd = call->stream_fd = call->serve_fd = -EBADF;
    r = call_renew_answer(call);
    if (r < 0) {
        free(call);
        return r;
    }
    jmp_turn_init(&call->turn);
    call->holders = 1;
    call->device = device;
    call->devices = devices;
    call->core = devices->core;
    call->method = method;
    call->doing = doing;
    call->job.run = call_job;
    call->post.run = call_posted;

    *ret = call;
    return 0;
}

static void call_link(struct jmp_call *call)
{
    struct jmp_devices *devices = call->devices;

    call->next = devices->calls;
    if (call->next)
        call->next->link = &call->next;
    call->link = &devices->calls;
    devices->calls = call;
    if (!call->internal && !call->watching) {
        call->device->calls++;
        devices->n_calls++;
    }
}

static void call_run_quick(struct jmp_call *call)
{
    call->quick = true;
    call->has_turn = true;
    call_conclude(call, call->body(call));
}

/* Starts a linked call; on failure it is as if it had never been. */
static int call_launch(struct jmp_call *call)
{
    bool quick = call->method && call->method->quick && !call->resources;
    int r;

    call->instance = jmp_instance_ref(call->device->instance);
    call->holders = 2;
    if (quick) {
        pthread_mutex_lock(&call->core->lock);
        quick = !call->instance->dead && jmp_turn_try(call->instance);
        pthread_mutex_unlock(&call->core->lock);
        if (quick) {
            call_run_quick(call);
            return 0;
        }
    }
    /* In line now, in the order of the calls; threads start in any order. */
    if (!call->outside) {
        pthread_mutex_lock(&call->core->lock);
        jmp_turn_queue(call->instance, &call->turn);
        pthread_mutex_unlock(&call->core->lock);
    }
    r = jmp_core_run(call->core, &call->job);
    if (r < 0 && !call->outside) {
        pthread_mutex_lock(&call->core->lock);
        jmp_turn_leave(call->instance, &call->turn);
        pthread_mutex_unlock(&call->core->lock);
    }
    if (r < 0) {
        jmp_instance_unref(call->instance, false);
        call->holders = 1;
    }
    return r;
}

static int call_prepare_stream(struct jmp_call *call, struct jmp_error *reterr)
{
    int pair[2], flags, r;

    if (call->method->serve) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
            return jmp_error_set(reterr, -errno, "no socket for %s(): %m", call->doing);
        /* The driver's end may block: cancelling shuts it down. */
        flags = fcntl(pair[0], F_GETFL);
        if (flags < 0 || fcntl(pair[0], F_SETFL, flags | O_NONBLOCK) < 0) {
            r = -errno;
            jmp_close_pairp(&pair);
            return jmp_error_set(reterr, r, "no socket for %s(): %m", call->doing);
        }
        call->stream_fd = pair[0];
        call->serve_fd = pair[1];
        call->outside = true;
    } else if (is_viewed(call->device, call->method)) {
        unsigned index = shared_index(call->device->driver, call->method);

        r = jmp_fanout_view(call->device->fanouts[index], call, &call->viewer, &call->stream_fd);
        if (r == -EBUSY)
            return jmp_error_set(reterr, r, "%s() has %u viewers already", call->doing, JMP_VIEWERS_MAX);
        if (r < 0)
            return jmp_error_set(reterr, r, "no viewer for %s(): %m", call->doing);
        call->watching = true;
    }
    return 0;
}

int jmp_call_start(struct jmp_device *device, const char *name, enum jmp_call_kind kind, const struct jmp_node *args,
                   const struct jmp_call_events *events, void *user, struct jmp_call **ret, struct jmp_error *reterr)
{
    const struct jmp_method *method = find_method(device->driver, name);
    struct jmp_call *call;
    int r;

    if (!method)
        return jmp_error_set(reterr, -ENOENT, "method %s not found on driver", name);
    if (!method_fits(method, kind))
        return jmp_error_set(reterr, -ENOENT, "method %s missing marker %s", name, kind_marker(kind));
    r = check_args(method, args, reterr);
    if (r < 0)
        return r;
    if (device->state != DEVICE_OPEN)
        return jmp_error_set(reterr, -ENODEV, "%s", device->missing);
    if (device->calls >= JMP_CALLS_MAX && !is_viewed(device, method))
        return jmp_error_set(reterr, -EBUSY, "%u calls are running on this device already", device->calls);
    if (device->devices->n_calls >= JMP_CALLS_TOTAL && !is_viewed(device, method))
        return jmp_error_set(reterr, -EBUSY, "%u calls are running on this exporter already", device->devices->n_calls);

    r = call_new(device, method, method->name, &call);
    if (r < 0)
        return jmp_error_set(reterr, r, "%s(): %m", name);
    call->kind = kind;
    call->events = *events;
    call->user = user;
    call->body = kind == JMP_CALL_UNARY   ? body_call
                 : kind == JMP_CALL_ITEMS ? body_items
                 : method->serve          ? body_serve
                                          : body_open;

    if (args && args->count > 0) {
        const struct jmp_node *copy = NULL;
        size_t i = 0;

        r = jmp_tree_new(0, &call->args_tree);
        if (r == 0) {
            copy = jmp_node_copy(call->args_tree, args);
            r = copy ? 0 : -ENOMEM;
        }
        if (r < 0) {
            call_free(call);
            return jmp_error_set(reterr, r, "the arguments of %s() do not fit into memory", name);
        }
        JMP_NODE_EACH(arg, copy)
            call->args[i++] = arg;
    }

    if (kind == JMP_CALL_STREAM) {
        r = call_prepare_stream(call, reterr);
        if (r < 0) {
            call_free(call);
            return r;
        }
    }

    call_link(call);
    if (!call->viewer) {
        jmp_resources_claim(call);
        r = call_launch(call);
        if (r < 0) {
            call_unlink(call);
            call_free(call);
            return jmp_error_set(reterr, r, "no thread for %s(): %m", name);
        }
    }
    if (call->viewer || call->outside) {
        pthread_mutex_lock(&call->core->lock);
        post_locked(call);
        pthread_mutex_unlock(&call->core->lock);
    }
    *ret = call;
    return 0;
}

static void on_limit(struct jmp_timer *timer);

static void start_limit(struct jmp_call *call, uint64_t usec)
{
    int r = jmp_timer_start(call->devices->loop, &call->limit, usec, on_limit);

    if (r < 0)
        jmp_log(JMP_LOG_ERROR, FIELDS(.driver = call->device->path, .operation = call->doing, .error = r),
                "no timer for %s, it is waited for without limit: %m", call->doing);
}

int jmp_call_internal(struct jmp_device *device, const char *doing, int (*body)(struct jmp_call *call), uint64_t limit,
                      void (*done)(struct jmp_call *call, int error, const char *text, const struct jmp_node *result,
                                   void *user),
                      struct jmp_call **ret)
{
    struct jmp_call *call;
    int r;

    r = call_new(device, NULL, doing, &call);
    if (r < 0)
        return r;
    call->internal = true;
    call->body = body;
    call->events.done = done;
    call->user = device;
    call_link(call);
    r = call_launch(call);
    if (r < 0) {
        call_unlink(call);
        call_free(call);
        return r;
    }
    start_limit(call, limit);
    if (ret)
        *ret = call;
    return 0;
}

static void call_cancel(struct jmp_call *call)
{
    uint64_t one = 1;

    pthread_mutex_lock(&call->core->lock);
    if (!call->cancelled) {
        call->cancelled = true;
        if (call->cancel_fd >= 0 && write(call->cancel_fd, &one, sizeof(one)) < 0)
            jmp_log(JMP_LOG_ERROR, FIELDS(.operation = call->doing, .error = -errno),
                    "a call cannot be told its end: %m");
        pthread_cond_signal(&call->turn.wake);
        if (call->serve_fd >= 0)
            shutdown(call->serve_fd, SHUT_RDWR);
        jmp_resources_cancel(call);
        if (call->finished)
            post_locked(call);   /* it may have waited for its last item to be taken */
    }
    pthread_mutex_unlock(&call->core->lock);
}

/* What a call that is to run to its end has left of its time. */
static uint64_t call_committed(struct jmp_call *call)
{
    uint64_t now = jmp_now(), until;

    pthread_mutex_lock(&call->core->lock);
    until = call->finished ? 0 : call->committed;
    pthread_mutex_unlock(&call->core->lock);
    return until > now ? until - now : 0;
}

void jmp_call_cancel(struct jmp_call *call)
{
    uint64_t left = call->cancelled ? 0 : call_committed(call);

    if (left > 0)
        start_limit(call, left);
    else
        jmp_call_stop(call);
}

void jmp_call_stop(struct jmp_call *call)
{
    if (call->cancelled)   /* only the loop sets it */
        return;
    call_cancel(call);
    if (call->viewer) {
        call->viewer = jmp_viewer_free(call->viewer);
        jmp_call_finish_viewer(call, -ECANCELED, "cancelled");
        return;
    }
    start_limit(call, call->devices->limits.give_up);
}

void jmp_call_lose(struct jmp_call *call)
{
    call->lost = true;
    jmp_call_stop(call);
}

void jmp_call_more(struct jmp_call *call)
{
    pthread_mutex_lock(&call->core->lock);
    call->item_out = false;
    if (call->item_count > 0 || call->finished)
        post_locked(call);
    pthread_mutex_unlock(&call->core->lock);
}

void jmp_call_finish_viewer(struct jmp_call *call, int error, const char *text)
{
    pthread_mutex_lock(&call->core->lock);
    if (!call->finished) {
        call->error = error;
        snprintf(call->text, sizeof(call->text), "%s", text);
        call->finished = true;
        post_locked(call);
    }
    pthread_mutex_unlock(&call->core->lock);
}

/* The loop listens no more. False: the thread has just finished. */
static bool call_orphan(struct jmp_call *call)
{
    bool finished;

    pthread_mutex_lock(&call->core->lock);
    finished = call->finished;
    call->orphan = !finished;
    pthread_mutex_unlock(&call->core->lock);
    jmp_loop_unpost(call->devices->loop, &call->post);
    return !finished;
}

static void call_give_up(struct jmp_call *call)
{
    struct jmp_device *device = call->device;
    char text[sizeof(call->text)];

    if (!call_orphan(call)) {
        call_answer(call, call->error, call->text, call->result);
        return;
    }
    snprintf(text, sizeof(text), "%s() did not return within %.3g s after it was cancelled", call->doing,
             (double)call->devices->limits.give_up / (double)JMP_USEC_PER_SEC);
    jmp_log(JMP_LOG_ERROR, FIELDS(.source = JMP_LOG_DRIVER, .driver = device->path, .driver_type = device->driver->kind,
                                  .operation = call->doing, .error = -ETIMEDOUT, .result = "failure"),
            "%s; its thread is left behind", text);
    if (!call->internal && call->instance == device->instance && device->state == DEVICE_OPEN)
        jmp_device_gone(device, text);
    call_answer(call, -ETIMEDOUT, text, NULL);
}

void jmp_call_abandon(struct jmp_call *call)
{
    if (call_orphan(call))
        call_answer(call, -ECANCELED, "the exporter is ending", NULL);
    else
        call_answer(call, call->error, call->text, call->result);
}

static void on_limit(struct jmp_timer *timer)
{
    struct jmp_call *call = CONTAINER_OF(timer, struct jmp_call, limit);

    if (!call->cancelled) {
        call->late = true;
        jmp_call_cancel(call);
        return;
    }
    call_give_up(call);
}
