/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a device: opened, gone, tried again. One that is missing is greyed out alone. */
#include "agent/device.h"

#include <fcntl.h>
#include <string.h>

#include "agent/core.h"
#include "agent/hotplug.h"
#include "base/log.h"

static const struct jmp_limits default_limits = {
    .open = 10 * JMP_USEC_PER_SEC, .reset = 10 * JMP_USEC_PER_SEC, .give_up = 10 * JMP_USEC_PER_SEC,
    .retry = JMP_USEC_PER_SEC, .gate = 6 * JMP_USEC_PER_MSEC,
};

static void device_open(struct jmp_device *device);

#define DEVICE_FIELDS(device, ...) \
    FIELDS(.source = JMP_LOG_DRIVER, .driver = (device)->path, .driver_type = (device)->driver->kind, __VA_ARGS__)

#define EACH_DEVICE(device, devices) \
    for (struct jmp_device *device = (devices)->root; device; device = device->all_next) \
        if (device->driver)

static void waiting_posted(struct jmp_post *post)
{
    struct jmp_waiting *waiting = CONTAINER_OF(post, struct jmp_waiting, post);
    void (*done)(void *user) = waiting->done;

    waiting->done = NULL;
    if (done)
        done(waiting->user);
}

static void waiting_check(struct jmp_devices *devices, struct jmp_waiting *waiting)
{
    if (waiting->done && waiting->pending == 0 && !devices->stopping)
        jmp_loop_post(devices->loop, &waiting->post);
}

static int waiting_begin(struct jmp_waiting *waiting, void (*done)(void *user), void *user)
{
    if (waiting->done)
        return -EBUSY;
    waiting->done = done;
    waiting->user = user;
    waiting->pending = 0;
    waiting->post.run = waiting_posted;
    return 0;
}

static bool waits_for_parent(const struct jmp_device *device)
{
    return device->own_child && device->parent->state != DEVICE_OPEN;
}

/* What is still unclaimed when every device was tried belongs to nothing that this file describes. */
static void check_started(struct jmp_devices *devices)
{
    unsigned left = 0;

    if (devices->starting.done && devices->starting.pending == 0 && devices->core->keep)
        left = jmp_keep_settle(devices->core->keep);
    if (left > 0)
        jmp_log(JMP_LOG_INFO, NULL, "%u descriptor%s of an earlier process let go: no device asked for %s", left,
                left == 1 ? " was" : "s were", left == 1 ? "it" : "them");
    waiting_check(devices, &devices->starting);
}

/* The first try of a device has an outcome, and so have those of the children that could not even be tried. */
static void device_tried(struct jmp_device *device)
{
    struct jmp_devices *devices = device->devices;

    if (!device->tried) {
        device->tried = true;
        if (devices->starting.done)
            devices->starting.pending--;
    }
    if (device->state != DEVICE_OPEN)
        for (struct jmp_device *child = device->children; child; child = child->next)
            if (child->own_child)
                device_tried(child);
    check_started(devices);
}

static void device_set_missing(struct jmp_device *device, const char *reason)
{
    char text[sizeof(device->missing)];
    bool news;

    snprintf(text, sizeof(text), "%s is not available: %s", device->path, reason);
    news = !device->reported || strcmp(text, device->missing) != 0;
    memcpy(device->missing, text, sizeof(text));
    device->reported = true;
    jmp_log(news ? JMP_LOG_WARNING : JMP_LOG_DEBUG, DEVICE_FIELDS(device, .error = -ENODEV, .result = "failure"), "%s",
            text);
}

static void on_retry(struct jmp_timer *timer) { device_open(CONTAINER_OF(timer, struct jmp_device, timer)); }

static void device_retry_later(struct jmp_device *device)
{
    int r;

    device->state = DEVICE_MISSING;
    if (waits_for_parent(device))
        return;   /* who opens it then */
    if (device->again) {
        device_open(device);
        return;
    }
    r = jmp_timer_start(device->devices->loop, &device->timer, jmp_backoff_next(&device->backoff), on_retry);
    if (r < 0)
        jmp_log(JMP_LOG_ERROR, DEVICE_FIELDS(device, .error = r),
                "%s is not tried again before its hardware is plugged in: %m", device->path);
}

static void on_closed(struct jmp_post *post)
{
    struct jmp_instance *instance = CONTAINER_OF(post, struct jmp_instance, post);
    struct jmp_device *device = instance->device;

    jmp_instance_free(instance);
    device->closing = NULL;
    jmp_timer_stop(&device->timer);
    device_retry_later(device);
}

static void on_close_limit(struct jmp_timer *timer)
{
    struct jmp_device *device = CONTAINER_OF(timer, struct jmp_device, timer);

    if (!jmp_instance_disown(TAKE_PTR(device->closing)))
        jmp_log(JMP_LOG_ERROR, DEVICE_FIELDS(device, .error = -ETIMEDOUT, .result = "failure"),
                "the driver of %s does not return; it is left behind and the device opened anew", device->path);
    device_retry_later(device);
}

static void device_close(struct jmp_device *device)
{
    struct jmp_devices *devices = device->devices;
    struct jmp_instance *instance = TAKE_PTR(device->instance);
    int r;

    device->state = DEVICE_CLOSING;
    for (unsigned i = 0; i < JMP_SHARED_MAX; i++)
        if (device->fanouts[i])
            jmp_fanout_detach(device->fanouts[i]);
    for (struct jmp_call *call = devices->calls; call; call = call->next)
        if (call->instance == instance)
            jmp_call_lose(call);
    for (struct jmp_device *child = device->children; child; child = child->next)
        if (child->own_child && child->state == DEVICE_OPEN)
            jmp_device_gone(child, device->missing);
    jmp_resources_drop(device);

    jmp_instance_kill(instance);
    if (devices->core->keep)
        jmp_keep_drop(devices->core->keep, device->path, NULL);
    device->closing = instance;
    r = jmp_timer_start(devices->loop, &device->timer, devices->limits.give_up + JMP_DEVICE_CLOSE_LIMIT,
                        on_close_limit);
    if (r < 0)
        jmp_log(JMP_LOG_ERROR, DEVICE_FIELDS(device, .error = r), "closing %s has no limit: %m", device->path);
    jmp_instance_unref(instance, false);
}

void jmp_device_gone(struct jmp_device *device, const char *text)
{
    if (device->state != DEVICE_OPEN)
        return;
    jmp_backoff_lasted(&device->backoff, jmp_now() - device->opened_at);
    device_set_missing(device, text);
    device_close(device);
}

static void device_opened(struct jmp_device *device)
{
    struct jmp_instance *instance = device->instance;
    int r;

    device->state = DEVICE_OPEN;
    device->opened_at = jmp_now();
    if (device->reported)
        jmp_log(JMP_LOG_INFO, DEVICE_FIELDS(device, .result = "success"), "%s is available again", device->path);
    device->reported = false;
    device->missing[0] = '\0';

    for (unsigned i = 0; i < JMP_SHARED_MAX; i++) {
        if (instance->shared[i] < 0)
            continue;
        r = jmp_fanout_attach(device->fanouts[i], TAKE_FD(instance->shared[i]), instance->pace[i]);
        if (r < 0) {
            jmp_device_gone(device, strerror(-r));
            device_tried(device);
            return;
        }
        jmp_fanout_replay(device->fanouts[i], instance->inherited);
    }
    device_tried(device);
    for (struct jmp_device *child = device->children; child; child = child->next)
        if (child->own_child)
            device_open(child);
}

static void device_failed(struct jmp_device *device, const char *text)
{
    device_set_missing(device, text);
    device_close(device);
    device_tried(device);
}

static int body_open(struct jmp_call *call)
{
    struct jmp_instance *instance = call->instance;
    const struct jmp_driver_class *driver = instance->driver;
    unsigned n = 0;
    int r;

    instance->open_called = true;
    if (driver->open) {
        r = driver->open(instance->self, call);
        if (r < 0)
            return r;
    }
    for (const struct jmp_method *method = driver->methods; method && method->name; method++) {
        _cleanup_close_ int fd = -EBADF;
        int flags;

        if (!method->open || !method->shared)
            continue;
        call->shared = n;
        r = method->open(instance->self, call, &fd);
        if (r < 0)
            return r;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return jmp_call_fail(call, -errno, "%s() gave no usable descriptor: %m", method->name);
        instance->shared[n] = instance->private[n] ? -EBADF : TAKE_FD(fd);
        n++;
    }
    return 0;
}

static void on_opened(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user)
{
    struct jmp_device *device = user;
    char words[128];

    device->opening = NULL;
    if (device->state != DEVICE_OPENING)
        return;
    if (error < 0 && call->late) {
        snprintf(words, sizeof(words), "it did not open within %.3g s",
                 (double)device->devices->limits.open / (double)JMP_USEC_PER_SEC);
        text = words;
    }
    if (error < 0)
        device_failed(device, text);
    else
        device_opened(device);
}

static bool opens_at_once(const struct jmp_driver_class *driver)
{
    if (driver->open)
        return false;
    for (const struct jmp_method *method = driver->methods; method && method->name; method++)
        if (method->open && method->shared)
            return false;
    return true;
}

static void device_open(struct jmp_device *device)
{
    struct jmp_devices *devices = device->devices;
    int r;

    if ((device->state != DEVICE_CLOSED && device->state != DEVICE_MISSING) || waits_for_parent(device))
        return;
    jmp_timer_stop(&device->timer);
    device->again = false;
    r = jmp_instance_new(devices->core, device->driver, device->options, device->path,
                         device->own_child ? device->parent->instance : NULL, device, on_closed, &device->instance);
    if (r < 0) {
        device_set_missing(device, strerror(-r));
        device_retry_later(device);
        device_tried(device);
        return;
    }
    device->state = DEVICE_OPENING;
    if (opens_at_once(device->driver)) {
        device->instance->open_called = true;
        device_opened(device);
        return;
    }
    r = jmp_call_internal(device, "open", body_open, devices->limits.open, on_opened, &device->opening);
    if (r < 0)
        device_failed(device, strerror(-r));
}

void jmp_devices_retry(struct jmp_devices *devices)
{
    EACH_DEVICE(device, devices) {
        if (device->state == DEVICE_OPEN)
            continue;
        device->backoff.failures = 0;
        device->again = device->state != DEVICE_MISSING;
        device_open(device);
    }
}

int jmp_devices_new(struct jmp_loop *loop, const struct jmp_exporter_config *config, const struct jmp_plugins *plugins,
                    struct jmp_devices **ret, struct jmp_problems *problems)
{
    _cleanup_(jmp_devices_freep) struct jmp_devices *devices = calloc(1, sizeof(*devices));
    int r;

    if (!devices)
        return -ENOMEM;
    devices->loop = loop;
    devices->config = config;
    devices->limits = default_limits;
    devices->gate.loop = loop;
    devices->gate.period = default_limits.gate;
    r = jmp_tree_new(0, &devices->tree);
    if (r < 0)
        return r;
    r = jmp_core_new(loop, &devices->core);
    if (r < 0)
        return r;
    r = jmp_tree_build(devices, plugins, problems);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(devices);
    return 0;
}

void jmp_devices_keep(struct jmp_devices *devices, struct jmp_keep *keep) { devices->core->keep = keep; }

struct jmp_keep *jmp_devices_take_keep(struct jmp_devices *devices) { return TAKE_PTR(devices->core->keep); }

void jmp_devices_set_limits(struct jmp_devices *devices, const struct jmp_limits *limits)
{
    devices->limits = *limits;
    devices->gate.period = limits->gate;
    EACH_DEVICE(device, devices)
        device->backoff.base = limits->retry;
}

/* Nobody waits for this device any more: its driver closes when its last thread has returned, whenever that is. */
static void device_stop(struct jmp_device *device)
{
    device->state = DEVICE_STOPPED;
    jmp_timer_close(&device->timer);
    jmp_resources_drop(device);
    if (device->closing)
        jmp_instance_disown(TAKE_PTR(device->closing));
    if (device->instance) {
        jmp_instance_disown(device->instance);
        jmp_instance_kill(device->instance);
        jmp_instance_unref(TAKE_PTR(device->instance), false);
    }
}

static void device_free(struct jmp_device *device)
{
    for (unsigned i = 0; i < JMP_SHARED_MAX; i++)
        jmp_fanout_free(device->fanouts[i]);
    jmp_timer_close(&device->timer);
    free(device->options);
    free(device);
}

static void stop_core(struct jmp_devices *devices)
{
    uint64_t deadline = jmp_now() + JMP_DEVICE_CLOSE_LIMIT;
    unsigned left;

    if (!jmp_core_wait_idle(devices->core, deadline))
        jmp_log(JMP_LOG_ERROR, FIELDS(.error = -ETIMEDOUT), "some drivers do not return and are left behind");
    while (devices->calls)
        jmp_call_abandon(devices->calls);

    pthread_mutex_lock(&devices->core->lock);
    devices->core->loop = NULL;
    pthread_mutex_unlock(&devices->core->lock);
    left = jmp_workers_stop(devices->core->workers, deadline);
    if (left > 0)
        jmp_log(JMP_LOG_ERROR, FIELDS(.error = -ETIMEDOUT), "%u threads are left behind in drivers", left);
    devices->core = jmp_core_unref(devices->core);
}

struct jmp_devices *jmp_devices_free(struct jmp_devices *devices)
{
    struct jmp_device *next;

    if (!devices)
        return NULL;
    devices->stopping = true;
    devices->hotplug = jmp_hotplug_free(devices->hotplug);
    for (struct jmp_call *call = devices->calls; call; call = call->next)
        jmp_call_stop(call);
    for (struct jmp_device *device = devices->root; device; device = device->all_next)
        device_stop(device);
    if (devices->core)
        stop_core(devices);

    jmp_loop_unpost(devices->loop, &devices->starting.post);
    jmp_loop_unpost(devices->loop, &devices->resetting.post);
    jmp_loop_unpost(devices->loop, &devices->ending.post);
    for (struct jmp_device *device = devices->root; device; device = next) {
        next = device->all_next;
        device_free(device);
    }
    jmp_timer_close(&devices->gate.timer);
    jmp_tree_free(devices->tree);
    free(devices);
    return NULL;
}

int jmp_devices_start(struct jmp_devices *devices, void (*done)(void *user), void *user)
{
    int r;

    r = waiting_begin(&devices->starting, done, user);
    if (r < 0)
        return r;
    r = jmp_hotplug_new(devices, devices->loop, &devices->hotplug);
    if (r < 0)   /* containers forbid it; the back-off remains */
        jmp_log(JMP_LOG_INFO, FIELDS(.error = r),
                "no news of plugged devices, missing ones are tried at intervals: %m");

    EACH_DEVICE(device, devices)
        devices->starting.pending++;
    EACH_DEVICE(device, devices)
        device_open(device);
    check_started(devices);
    return 0;
}

static int body_reset(struct jmp_call *call) { return call->instance->driver->reset(call->instance->self, call); }

static void on_reset(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user)
{
    struct jmp_device *device = user;
    struct jmp_devices *devices = device->devices;
    char words[sizeof(device->missing)];

    if (error < 0) {
        snprintf(words, sizeof(words), "it could not be reset: %s", call->late ? "it took too long" : text);
        jmp_device_gone(device, words);
    }
    devices->resetting.pending--;
    waiting_check(devices, &devices->resetting);
}

int jmp_devices_reset(struct jmp_devices *devices, void (*done)(void *user), void *user)
{
    int r;

    r = waiting_begin(&devices->resetting, done, user);
    if (r < 0)
        return r;
    EACH_DEVICE(device, devices) {
        /* What the console has said so far was for somebody else. */
        for (unsigned i = 0; i < JMP_SHARED_MAX; i++)
            if (device->fanouts[i])
                jmp_fanout_replay(device->fanouts[i], false);
        if (device->state != DEVICE_OPEN || !device->driver->reset)
            continue;
        r = jmp_call_internal(device, "reset", body_reset, devices->limits.reset, on_reset, NULL);
        if (r < 0)
            jmp_device_gone(device, strerror(-r));
        else
            devices->resetting.pending++;
    }
    waiting_check(devices, &devices->resetting);
    return 0;
}

void jmp_devices_call_ended(struct jmp_devices *devices, struct jmp_call *call)
{
    if (!devices->ending.done || call->internal)
        return;
    if (call->ending) {
        devices->ending.pending--;
        waiting_check(devices, &devices->ending);
    }
}

int jmp_devices_end_lease(struct jmp_devices *devices, void (*done)(void *user), void *user)
{
    int r;

    r = waiting_begin(&devices->ending, done, user);
    if (r < 0)
        return r;
    for (struct jmp_call *call = devices->calls; call; call = call->next) {
        if (call->internal)
            continue;
        call->ending = true;
        devices->ending.pending++;
        jmp_call_cancel(call);
    }
    for (struct jmp_device *device = devices->root; device; device = device->all_next)
        jmp_resources_drop(device);
    waiting_check(devices, &devices->ending);
    return 0;
}

static int report(struct jmp_device *device, const struct jmp_device *parent,
                  int (*each)(const struct jmp_device_report *, void *), void *user)
{
    struct jmp_device *real = device->target ? device->target : device;
    struct jmp_device_report line = {
        .uuid = real->uuid,
        .parent_uuid = parent ? parent->uuid : NULL,
        .name = device->name,
        .client = real->driver->client,
        .description = real->description,
        .methods_description = real->methods_description,
        .labels = real->labels,
    };
    int r;

    r = each(&line, user);
    for (struct jmp_device *child = real->children; r == 0 && child; child = child->next)
        r = report(child, real, each, user);
    return r;
}

int jmp_devices_report(const struct jmp_devices *devices,
                       int (*each)(const struct jmp_device_report *report, void *user), void *user)
{
    return report(devices->root, NULL, each, user);
}

void jmp_devices_each(const struct jmp_devices *devices, void (*each)(const struct jmp_device *device, void *user),
                      void *user)
{
    for (const struct jmp_device *device = devices->root; device; device = device->all_next)
        if (!device->target && device->parent)
            each(device, user);
}

struct jmp_device *jmp_devices_find(struct jmp_devices *devices, const char *uuid)
{
    EACH_DEVICE(device, devices)
        if (strcmp(device->uuid, uuid) == 0)
            return device;
    return NULL;
}

struct jmp_device *jmp_devices_find_path(struct jmp_devices *devices, const char *path)
{
    for (struct jmp_device *device = devices->root; device; device = device->all_next)
        if (strcmp(device->path, path) == 0)
            return device->target ? device->target : device;
    return NULL;
}

const char *jmp_device_path(const struct jmp_device *device) { return device->path; }
const char *jmp_device_kind(const struct jmp_device *device) { return device->driver->kind; }
const char *jmp_device_uuid(const struct jmp_device *device) { return device->uuid; }
const struct jmp_driver_class *jmp_device_class(const struct jmp_device *device) { return device->driver; }

const char *jmp_device_missing(const struct jmp_device *device)
{
    return device->state == DEVICE_OPEN ? NULL : device->missing;
}
