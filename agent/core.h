/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the device core know of each other: tree.c (configuration to devices), device.c (open, gone, open
 * again), call.c, fanout.c, resource.c. Everything belongs to the loop unless it says "lock": then it is guarded by
 * core->lock, and threads look at it too.
 */
#pragma once

#include "agent/call.h"
#include "agent/device.h"
#include "agent/fanout.h"
#include "agent/instance.h"
#include "agent/resource.h"
#include "base/backoff.h"
#include "base/uuid.h"

#define JMP_CALLS_MAX 256u        /* calls of one device at a time: a forward to a device that serves has a hundred */
#define JMP_CALLS_TOTAL 512u      /* of all together: each may take a thread */
/* Items that a driver may be ahead of its client: enough to keep both busy, too few to matter. */
#define JMP_ITEMS_AHEAD 8u
#define JMP_REPORT_LINES_MAX 10000u   /* lines of one report */

struct jmp_limits {               /* microseconds; tests shorten them */
    uint64_t open, reset;         /* how long a driver may take before it is cancelled */
    uint64_t give_up;             /* how long it may go on after it was cancelled */
    uint64_t retry;               /* first wait before a missing device is tried again */
    uint64_t gate;                /* consoles: how long a tty is left alone after a short read */
};

enum device_state {
    DEVICE_CLOSED,                /* not tried yet, or waiting for its parent */
    DEVICE_OPENING,
    DEVICE_OPEN,
    DEVICE_CLOSING,               /* gone; its calls end, then close() */
    DEVICE_MISSING,               /* waiting for the next try */
    DEVICE_STOPPED,               /* the tree is being freed */
};

struct jmp_hotplug;

struct jmp_device {
    struct jmp_devices *devices;
    struct jmp_device *parent, *children, *next;   /* as configured; next: sibling */
    struct jmp_device *all_next;                   /* of all devices, parents first */
    struct jmp_device *target;                     /* of a ref, resolved; NULL: a real device */
    const struct jmp_device_config *config;        /* NULL: the root or a driver's own child */
    bool own_child;                                /* brought along by its parent's driver */
    const struct jmp_driver_class *driver;         /* NULL for a ref */
    const char *name, *path;                       /* the tree's */
    char uuid[JMP_UUID_SIZE];
    const char *description;
    const struct jmp_node *methods_description, *labels;
    void *options;                                 /* template of self, as read from the configuration */
    unsigned mark;                                 /* of walks: cycles */
    size_t lines;                                  /* of its part of the report */

    enum device_state state;
    struct jmp_instance *instance;                 /* while OPENING, OPEN; a reference */
    struct jmp_instance *closing;                  /* while CLOSING; no reference */
    struct jmp_call *opening;                      /* while OPENING */
    char missing[512];                             /* why it is not open; "" while it is */
    bool reported;                                 /* that sentence has been logged */
    /* Something was plugged in meanwhile: do not wait for the next try. */
    bool again;
    bool tried;                                    /* counted by jmp_devices_start() */
    uint64_t opened_at;
    struct jmp_backoff backoff;
    struct jmp_timer timer;                        /* next try, or the limit of closing */

    unsigned calls;                                /* running ones, JMP_CALLS_MAX */
    struct jmp_fanout *fanouts[JMP_SHARED_MAX];    /* one for each .shared method, in order */
    struct jmp_resource *resources;                /* no call has asked for them yet */
    unsigned n_resources;
};

struct jmp_waiting {              /* for done() of start, reset, end_lease: one at a time each */
    void (*done)(void *user);
    void *user;
    unsigned pending;
    struct jmp_post post;
};

struct jmp_devices {
    struct jmp_loop *loop;
    struct jmp_core *core;
    struct jmp_tree *tree;        /* names, paths, labels */
    const struct jmp_exporter_config *config;
    struct jmp_device *root, *last;
    struct jmp_limits limits;
    struct jmp_call *calls;       /* all that run */
    unsigned n_calls;             /* of those, the clients' */
    struct jmp_waiting starting, resetting, ending;
    struct jmp_gate gate;
    struct jmp_hotplug *hotplug;
    bool stopping;
};

/* tree.c */
int jmp_tree_build(struct jmp_devices *devices, const struct jmp_plugins *plugins, struct jmp_problems *problems);

/* device.c */
/** jmp_device_gone() - its hardware has left: end its calls, close it, try again later; @text says why */
void jmp_device_gone(struct jmp_device *device, const char *text);
void jmp_devices_call_ended(struct jmp_devices *devices, struct jmp_call *call);
void jmp_devices_set_limits(struct jmp_devices *devices, const struct jmp_limits *limits);

/* call.c */
struct jmp_item {
    struct jmp_tree *tree;                 /* owns the value */
    const struct jmp_node *value;
};

struct jmp_call {
    struct jmp_call *next, **link;         /* in devices->calls */
    struct jmp_device *device;
    struct jmp_devices *devices;
    struct jmp_instance *instance;         /* a reference of the thread's, dropped at its end; NULL for a viewer */
    struct jmp_core *core;                 /* instance's, for both sides */
    const struct jmp_method *method;       /* NULL: open or reset of the device */
    const char *doing;                     /* for messages: the method's name, "open", "reset" */
    int (*body)(struct jmp_call *call);    /* on the thread, NULL for a viewer */
    bool outside;                          /* runs without the turn (serve) */
    enum jmp_call_kind kind;
    struct jmp_call_events events;
    void *user;
    bool internal;                         /* open or reset: no client behind it */
    bool watching;                         /* a viewer of a shared stream: no thread, does not count */
    bool quick;                            /* runs on the loop */
    bool lost;                             /* ended because the device has gone */
    bool ending;                           /* cancelled by the end of the lease, which waits for it */
    bool late;                             /* cancelled by its own limit */
    bool item_out;                         /* item() was called and jmp_call_more() was not */
    unsigned shared;                       /* which .shared method is being opened, for jmp_call_pace() */
    struct jmp_viewer *viewer;
    struct jmp_tree *args_tree;
    const struct jmp_node *args[ELEMENTSOF(((struct jmp_method *)0)->args)];
    struct jmp_resource *resources;        /* claimed when the call began */
    struct jmp_job job;
    struct jmp_post post;
    struct jmp_timer limit;

    /* the thread's until finished */
    struct jmp_turn turn;
    bool has_turn;
    struct jmp_tree *tree;                 /* of the answer or of the item being written */
    struct jmp_writer *writer;
    int error;
    char text[512];
    const struct jmp_node *result;

    /* lock */
    unsigned holders;                      /* the loop, the thread */
    bool cancelled, finished;
    uint64_t committed;                    /* jmp_now() until which only jmp_call_stop() cancels; 0: no such time */
    bool orphan;                           /* the loop listens no more */
    int cancel_fd;                         /* eventfd, made when first asked for */
    struct jmp_item items[JMP_ITEMS_AHEAD];    /* on their way to the loop, a circle */
    unsigned item_first, item_count;
    int stream_fd;                         /* the client's end, on its way to the loop */
    int serve_fd;                          /* the driver's end */
    bool hangup;
    unsigned hangup_newest;
};

/** jmp_call_internal() - run @body for the device's own purposes; done() comes as for any call */
int jmp_call_internal(struct jmp_device *device, const char *doing, int (*body)(struct jmp_call *call), uint64_t limit,
                      void (*done)(struct jmp_call *call, int error, const char *text, const struct jmp_node *result,
                                   void *user),
                      struct jmp_call **ret);
/** jmp_call_finish_viewer() - a viewer's stream has ended; done() comes later, on the loop */
void jmp_call_finish_viewer(struct jmp_call *call, int error, const char *text);
/** jmp_call_stop() - cancel, even what is committed to run to its end */
void jmp_call_stop(struct jmp_call *call);
/** jmp_call_lose() - cancel because the device has gone */
void jmp_call_lose(struct jmp_call *call);
/** jmp_call_abandon() - the tree is being freed: what can be said is said now, the rest is left to the thread */
void jmp_call_abandon(struct jmp_call *call);

/* resource.c; "thread" functions are called by the call's own thread */
void jmp_resources_claim(struct jmp_call *call);                                /* loop */
void jmp_resources_drop(struct jmp_device *device);                             /* loop */
void jmp_resources_cancel(struct jmp_call *call);                               /* with the lock */
int jmp_resource_use(struct jmp_call *call, const struct jmp_node *handle, bool write);   /* thread */
int jmp_resources_complete(struct jmp_call *call);                             /* thread; as jmp_call_complete() */
/** jmp_resources_settle() - the driver has returned @error: finish the transfers. Return: what the call ends with. */
int jmp_resources_settle(struct jmp_call *call, int error);                     /* thread */
void jmp_resources_free(struct jmp_call *call);                                 /* whoever frees the call */
