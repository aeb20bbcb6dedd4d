/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device for unit tests of drivers: it stands in for the core's side of driver.h, without its threads and turns.
 * Every call runs to its end in the caller, a stream's server in a thread of its own. Failures of the double itself
 * fail the test.
 */
#pragma once

#include <poll.h>

#include "base/limits.h"
#include "drivers/driver.h"

struct device;

/** device_new() - a device that is not open yet
 * @config:  its options as JSON, NULL: none. Wrong ones fail the test; see device_problem(). */
struct device *device_new(const struct jmp_driver_class *driver, const char *config);
/** device_child() - a device that @parent brings along */
struct device *device_child(struct device *parent, const char *name, const char *config);
/** device_give() - what jmp_call_child() of @device finds under @name; @child stays the test's */
void device_give(struct device *device, const char *name, struct device *child);
struct device *device_free(struct device *device);   /* closes it first, ends all servers; accepts NULL */
JMP_DEFINE_CLEANUP(struct device *, device_free)

/** device_problem() - what is wrong with @config: the first problem's words, or NULL; valid until the next one */
const char *device_problem(const struct jmp_driver_class *driver, const char *config);

int device_open(struct device *device);
void device_close(struct device *device);
void device_restart(struct device *device);   /* closed, but what is parked is there for the next device_open() */

/** device_call() - a .call or .items method; @args is a JSON list, or NULL. A list of items is the result of .items. */
int device_call(struct device *device, const char *method, const char *args);
/** device_stream() - an .open or .serve method; the test's end in @ret, O_NONBLOCK as drivers have to return it */
int device_stream(struct device *device, const char *method, int *ret);

const struct jmp_node *device_result(const struct device *device);   /* of the last call */
const char *device_error(const struct device *device);               /* sentence of the last failure, or "" */
const char *device_log(const struct device *device);                 /* all lines so far, each with its newline */
double device_pace(const struct device *device);                     /* of the last open */
bool device_is_private(const struct device *device);                 /* jmp_call_private() was called */
/* Number of jmp_call_hangup(), and the last one's argument. */
unsigned device_hangups(const struct device *device, unsigned *retnewest);
/** device_kept() - what is parked under @name, borrowed, or -ENOENT; device_close() lets go of it */
int device_kept(const struct device *device, const char *name);
/** device_lend() - the descriptor that jmp_call_fd() gives to the next call; stays the test's */
void device_lend(struct device *device, int fd);
void device_lend_cut(struct device *device, int fd);                 /* the same, but its end is not the whole file's */
/** device_cancel() - all waits of this device end with -ECANCELED from now on, but for calls that are committed; may
 * come from any thread */
void device_cancel(struct device *device);

/** Bounded helpers: they fail the test after ten seconds. */
void fd_write_all(int fd, const void *data, size_t size);
void fd_read_all(int fd, void *data, size_t size);
void fd_expect_end(int fd);                          /* end of file, or hang-up of a terminal */
/** fd_read_until() - reads until @needle has been seen; the text so far in @text, NUL-terminated */
void fd_read_until(int fd, const char *needle, char *text, size_t size);
bool fd_is_silent(int fd, unsigned milliseconds);    /* nothing to read for so long */
