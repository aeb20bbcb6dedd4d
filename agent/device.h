/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of one exporter: opened once when the agent starts, reset when a lease begins, closed when the agent
 * ends. A device whose hardware is missing is greyed out alone: its calls fail with -ENODEV and say why, and it is
 * opened again with back-off (and when udev reports a change). All functions run on the loop.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "base/node.h"
#include "config/exporter_config.h"
#include "drivers/driver.h"

struct jmp_devices;
struct jmp_device;
struct jmp_keep;
struct jmp_plugins;

/**
 * jmp_devices_new() - build the tree: one root composite, the entries of the config, children of drivers, refs
 * @config:    borrowed; outlives the tree
 * @plugins:   further driver classes, or NULL; borrowed
 * @problems:  every unknown type (with the nearest known), wrong option, dangling or circular ref; nothing is opened
 *             yet
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int jmp_devices_new(struct jmp_loop *loop, const struct jmp_exporter_config *config, const struct jmp_plugins *plugins,
                    struct jmp_devices **ret, struct jmp_problems *problems);
/** jmp_devices_free() - cancel all calls, close every device. Bounded: a driver that does not return is abandoned with
 * an error after @JMP_DEVICE_CLOSE_LIMIT. */
struct jmp_devices *jmp_devices_free(struct jmp_devices *devices);
JMP_DEFINE_CLEANUP(struct jmp_devices *, jmp_devices_free)

/** jmp_devices_keep() - what drivers park goes to @keep, which is taken; before jmp_devices_start(), which lets go of
 * what an earlier process parked and no device has asked for */
void jmp_devices_keep(struct jmp_devices *devices, struct jmp_keep *keep);

/** jmp_devices_take_keep() - at the end, before jmp_devices_free(): the caller's from now on, or NULL */
struct jmp_keep *jmp_devices_take_keep(struct jmp_devices *devices);

/** jmp_devices_start() - begin opening all devices, each on its own thread; @done is called on the loop once every one
 * was tried (opened or greyed out) */
int jmp_devices_start(struct jmp_devices *devices, void (*done)(void *user), void *user);

/** jmp_devices_reset() - a lease begins: run every open device's reset, in parallel; @done once all have returned
 * or their limit passed; a device whose reset failed is greyed out */
int jmp_devices_reset(struct jmp_devices *devices, void (*done)(void *user), void *user);
/** jmp_devices_end_lease() - a lease is over: cancel every call and close every stream and resource; @done once all
 * that the lease opened is gone or abandoned (bounded) */
int jmp_devices_end_lease(struct jmp_devices *devices, void (*done)(void *user), void *user);

/* One line of the report; strings live as long as the tree. Order: parents first. A ref appears as its target's uuid,
 * class and subtree under its own name and parent. */
struct jmp_device_report {
    const char *uuid, *parent_uuid;     /* parent NULL: the root */
    const char *name;                   /* NULL for the root */
    const char *client;                 /* client class */
    const char *description;            /* or NULL; what a greyed-out device says is added by the log, not here */
    const struct jmp_node *methods_description;   /* map of strings, or NULL */
    const struct jmp_node *labels;                /* map of strings, or NULL */
};

/** jmp_devices_report() - walk the report in order; stops when @each returns non-zero and returns that */
int jmp_devices_report(const struct jmp_devices *devices,
                       int (*each)(const struct jmp_device_report *report, void *user), void *user);

/** jmp_devices_each() - all that have hardware or may have it, parents first: neither the root nor refs */
void jmp_devices_each(const struct jmp_devices *devices, void (*each)(const struct jmp_device *device, void *user),
                      void *user);

/** jmp_devices_find() - by canonical uuid (jmp_uuid_parse()), or NULL */
struct jmp_device *jmp_devices_find(struct jmp_devices *devices, const char *uuid);
/** jmp_devices_find_path() - by dotted path, or NULL */
struct jmp_device *jmp_devices_find_path(struct jmp_devices *devices, const char *path);
const char *jmp_device_path(const struct jmp_device *device);     /* "board.power"; "" for the root */
const char *jmp_device_kind(const struct jmp_device *device);     /* driver_type of log records */
const char *jmp_device_uuid(const struct jmp_device *device);
const struct jmp_driver_class *jmp_device_class(const struct jmp_device *device);
/** jmp_device_missing() - NULL while the device is open, otherwise the sentence why it is not */
const char *jmp_device_missing(const struct jmp_device *device);

#define JMP_DEVICE_CLOSE_LIMIT (2 * JMP_USEC_PER_SEC)
