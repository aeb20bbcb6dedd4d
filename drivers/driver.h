/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driver is. A driver describes itself in tables and answers method calls; the core does everything else:
 * threads, turns, leases, streams, reopening, reports. See docs/writing-a-driver.md.
 *
 * The promises of the core:
 *  - own thread, own turn: driver code may block and never runs on the loop. A device serves one call at a time, in the
 *    order in which they came; jmp_call_wait() and jmp_call_emit() give the turn away while they sleep. Between waits
 *    code is atomic: no locks. (serve runs outside the turn; a .quick method runs on the loop and must not block.) It
 *    need not be the same thread each time; its stack has 512 KiB and all signals are blocked there, so that a broken
 *    pipe is -EPIPE.
 *  - a byte stream is a descriptor, the core's once returned; datagram sockets keep their boundaries. So is an image
 *    (jmp_call_fd): from the client, decompressed. Should it stop early the call fails, even when the driver says 0.
 *  - errors are a negative errno and a sentence. -ENODEV means gone: the core closes the device, explains it to callers
 *    and opens it again when it is back; neighbours never notice.
 *  - memory is the core's: self and options until close, arguments until return. Each opening has a new self.
 *  - cancel ends every wait with -ECANCELED, and shuts down the sockets of serve and jmp_call_fd(), which may therefore
 *    be read and written blockingly. Who does not return within 10 s after that is given up: its thread and its self
 *    stay, the device is opened anew. open and reset have 10 s before they are cancelled.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/node.h"
#include "base/option.h"
#include "base/writer.h"

#define JMP_DRIVER_ABI 1   /* changes only when old plug-ins can no longer run */

struct jmp_call;

struct jmp_arg {
    const char *name;
    enum jmp_type type;      /* JMP_NODE: anything */
    bool optional;           /* may be missing or null */
};

struct jmp_method {                  /* exactly one function is set; it decides the RPC */
    const char *name, *help;         /* help: for methods_description, or NULL */
    struct jmp_arg args[6];          /* positional; ends at a NULL name */
    int (*call)(void *self, struct jmp_call *call);             /* one answer */
    int (*items)(void *self, struct jmp_call *call);            /* many: jmp_call_emit() each */
    int (*open)(void *self, struct jmp_call *call, int *ret);   /* bytes: return a descriptor */
    int (*serve)(void *self, struct jmp_call *call, int fd);    /* bytes: be the server on fd (blocking, not owned) */
    bool shared;                     /* of open: open once; record, fan out, reopen when lost */
    bool quick;                      /* of call and items: never blocks, run it on the loop; at most 8 items */
};

/*
 * A child device that a driver brings along. Its options come from the parent's "config" map under the child's name. It
 * has a thread and a turn of its own; its parent is opened before it and closed after it, so that jmp_call_parent()
 * always is an open device. What both touch needs a lock.
 */
struct jmp_child {
    const char *name;
    const struct jmp_driver_class *driver;
};

struct jmp_driver_class {
    size_t abi, class_size, option_size, method_size;   /* JMP_DRIVER_HEAD sets these four */
    const char *name;            /* short native name: "serial" */
    const char *python_type;     /* stock class path, or NULL */
    const char *client;          /* stock client class of the report */
    /* driver_type of log records: power storage network serial console composite gpio other */
    const char *kind;
    const char *help;            /* one line for jmp-agent drivers and the manual */
    size_t size;                 /* of self, which the core allocates, zeroes and fills from @options */
    const struct jmp_option *options;    /* ends with a NULL key; NULL: none */
    const struct jmp_method *methods;    /* ends with a NULL name; NULL: none */
    const struct jmp_child *children;    /* ends with a NULL name; NULL: none */
    int (*open)(void *self, struct jmp_call *call);    /* claim the hardware; NULL: nothing to claim */
    int (*reset)(void *self, struct jmp_call *call);   /* a lease begins; NULL: nothing to reset */
    void (*close)(void *self);       /* follows every open, also a failed one */
    /* Options that rows cannot check; no I/O; may be NULL. */
    int (*check)(const void *self, struct jmp_error *reterr);
};

#define JMP_DRIVER_HEAD .abi = JMP_DRIVER_ABI, .class_size = sizeof(struct jmp_driver_class), \
    .option_size = sizeof(struct jmp_option), .method_size = sizeof(struct jmp_method)

/* In a plug-in, once: JMP_PLUGIN(&my_first_class, &my_second_class) */
#define JMP_PLUGIN(...) \
    __attribute__((visibility("default"))) \
    const struct jmp_driver_class *const jmp_plugin_drivers[] = { __VA_ARGS__, NULL }

/* Arguments by name. Kinds were checked; a missing optional one reads as 0, false, NULL. */
double jmp_call_number(struct jmp_call *call, const char *arg);
bool jmp_call_bool(struct jmp_call *call, const char *arg);
const char *jmp_call_string(struct jmp_call *call, const char *arg);
const struct jmp_node *jmp_call_node(struct jmp_call *call, const char *arg);
bool jmp_call_has(struct jmp_call *call, const char *arg);   /* given and not null */

/** jmp_call_fd() - the descriptor of an image argument (a resource handle), the core's, valid until return: readable
 * plain bytes to @write false, writable to @write true. Return: the descriptor, or negative errno with the error
 * set. */
int jmp_call_fd(struct jmp_call *call, const char *arg, bool write);
/** jmp_call_size() - of an image argument that is to be read: how many bytes its client says it has, as jmp_call_fd()
 * gives them; 0: nothing is known. Good for refusing early, not for believing. */
uint64_t jmp_call_size(struct jmp_call *call, const char *arg);
/** jmp_call_complete() - whether the images that were read to their end are whole. A call with one that was broken off,
 * or that came damaged, fails in any case; this is for who has to know before. Return: 0, or negative errno with the
 * error set. */
int jmp_call_complete(struct jmp_call *call);

/** jmp_call_parent() - self of the driver that brought this device along as its child; NULL for any other device */
void *jmp_call_parent(struct jmp_call *call);

/**
 * jmp_call_child() - call a method without arguments of a device that the configuration gives this one as its child, by
 * "children" or by a ref in it; its answer is thrown away
 *
 * Waits without the turn, like jmp_call_wait(); in a call that was cancelled before, to tidy up, up to 5 seconds with
 * it. Not for children that the driver brings along itself: those have its self.
 *
 * Return: 0, or with a sentence that begins with the child's name: what the method returned; -ENOENT (no such child or
 * method), -ECONNABORTED (its hardware is missing); -ECANCELED.
 */
int jmp_call_child(struct jmp_call *call, const char *child, const char *method);
/** jmp_call_has_child() - is there such a child, with such a method? */
bool jmp_call_has_child(struct jmp_call *call, const char *child, const char *method);

/** jmp_call_pace() - in the open of a .shared method: what viewers write reaches the descriptor one byte at a time, at
 * most @rate bytes a second; 0: no limit, the default of every open. Holds until the descriptor is closed. */
void jmp_call_pace(struct jmp_call *call, double rate);
/** jmp_call_private() - in the open of a .shared method: this device shares nothing, each stream is to have a
 * descriptor of its own; the core asks again for each, and closes this first one */
void jmp_call_private(struct jmp_call *call);
/** jmp_call_hangup() - end viewers of this device's .shared streams, each with an orderly end of stream, before this
 * call is answered; the descriptor stays open and keeps being read
 * @newest:  how many, the most recently opened first; 0: all */
void jmp_call_hangup(struct jmp_call *call, unsigned newest);

/**
 * jmp_call_keep() - in open: park a duplicate of @fd across restarts of the agent
 * @name:  the driver's own word for it; what was parked under it before is let go
 *
 * The service manager holds the duplicate: while the agent is started anew, nothing that the descriptor stands for is
 * let go (a GPIO line, an open port). It is let go when the device closes while the agent goes on, when the service is
 * stopped, and when the next agent does not ask for it in the first open.
 *
 * Return: 1 parked, 0 there is no manager that keeps descriptors: a restart lets go, a reload of the file does not;
 * -ENOMEM, -EMFILE, -ENODEV (this device has been given up) or what sending says.
 */
int jmp_call_keep(struct jmp_call *call, const char *name, int fd);
/** jmp_call_kept() - in open: take what an earlier agent parked for this device under @name; it stays parked. The file
 * may have been edited meanwhile: look whether it is still what the options ask for. Return: a descriptor, the
 * driver's, or -ENOENT, -ENOMEM. */
int jmp_call_kept(struct jmp_call *call, const char *name);
void jmp_call_unkeep(struct jmp_call *call, const char *name);   /* let go of what is parked under @name, if anything */

/** jmp_call_reply() - where the answer is written; keeps its first error */
struct jmp_writer *jmp_call_reply(struct jmp_call *call);
/** jmp_call_emit() - in items: send what was written to jmp_call_reply() as one item; waits, without the turn, while
 * the client is slow. Return: 0, -ECANCELED, -ENOMEM. */
int jmp_call_emit(struct jmp_call *call);

/**
 * jmp_call_wait() - sleep without the turn
 * @fd:        descriptor to wait for, or -1
 * @events:    POLLIN, POLLOUT
 * @deadline:  jmp_now() + microseconds, or JMP_USEC_INFINITY
 *
 * Return: revents > 0, 0 when @fd is -1 and the deadline has come, -ETIMEDOUT when @fd is not -1 and it has come,
 * -ECANCELED when the client has gone or the lease ended; -EMFILE and the like. The turn is back on return.
 */
int jmp_call_wait(struct jmp_call *call, int fd, short events, uint64_t deadline);
/**
 * jmp_call_commit() - from here on this call runs to its end, even when its client goes or the lease ends: for what
 * must not stop in its middle, such as a power cycle. The next lease begins after it.
 * @limit:  microseconds that it may still take, at most JMP_COMMIT_MAX; waits end with -ECANCELED again some time
 *          after that, and at any time when the agent itself ends or the device is lost. Said again, the later end
 *          counts.
 *
 * Return: 0; -ECANCELED when it is too late, -EINVAL.
 */
int jmp_call_commit(struct jmp_call *call, uint64_t limit);
/** jmp_call_cancel_fd() - becomes readable (POLLIN) once the client has gone; for code with a poll loop of its own */
int jmp_call_cancel_fd(struct jmp_call *call);
/** jmp_call_fail() - set the sentence of an error; %m is the text of @error. Return: @error. */
int jmp_call_fail(struct jmp_call *call, int error, const char *fmt, ...) JMP_PRINTF(3, 4);
/** jmp_call_log() - a line for the lease's log, source DRIVER */
void jmp_call_log(struct jmp_call *call, int level, const char *fmt, ...) JMP_PRINTF(3, 4);
uint64_t jmp_now(void);   /* microseconds, the clock of jmp_call_wait() */
