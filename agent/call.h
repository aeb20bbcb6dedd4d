/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call of a driver method: the second door between threads. All functions here are called on the loop, all callbacks
 * come on the loop; what a driver may call is in drivers/driver.h.
 */
#pragma once

#include "agent/device.h"

enum jmp_call_kind {
    JMP_CALL_UNARY,    /* .call */
    JMP_CALL_ITEMS,    /* .items */
    JMP_CALL_STREAM,   /* .open or .serve */
};

struct jmp_call_events {
    /* ITEMS: one item; the next comes after jmp_call_more(), meanwhile the driver may emit a few more. Borrowed for the
     * time of the callback. @more: the next, or the end, is there already. */
    void (*item)(struct jmp_call *call, const struct jmp_node *value, bool more, void *user);
    /* STREAM: a descriptor, now the callee's: SOCK_STREAM or SOCK_DGRAM socket, tty, pipe; O_NONBLOCK. Comes at most
     * once, before done(). */
    void (*stream)(struct jmp_call *call, int fd, void *user);
    /* Last, exactly once; the call is gone afterwards. @error 0 or negative errno, @text its sentence (never NULL or
     * empty on an error), @result for UNARY (a null node for void methods). For .open streams it comes right after
     * stream(); for .serve and .shared when the driver's side has ended. */
    void (*done)(struct jmp_call *call, int error, const char *text, const struct jmp_node *result, void *user);
};

/**
 * jmp_call_start() - call a method
 * @kind:   must fit the method
 * @args:   a list node, or NULL for none; copied
 * @ret:    until done(); done() never comes before this function has returned
 *
 * Return: 0; otherwise no callback comes: -ENOENT with "method M not found on driver" or "method M missing marker
 * marker_drivercall" (marker_streamingdrivercall, marker_streamcall), -E2BIG for a wrong number of arguments, -EINVAL
 * for an argument of the wrong kind, -ENODEV with the reason while the device is missing, -ENOMEM. (docs/protocol.md,
 * "Driver calls")
 */
int jmp_call_start(struct jmp_device *device, const char *method, enum jmp_call_kind kind, const struct jmp_node *args,
                   const struct jmp_call_events *events, void *user, struct jmp_call **ret, struct jmp_error *reterr);
/** jmp_call_cancel() - the client has gone: waits end with -ECANCELED. done() still comes, within the limit at which a
 * driver that does not return is abandoned (then with -ETIMEDOUT). */
void jmp_call_cancel(struct jmp_call *call);
/** jmp_call_more() - the last item was taken: the next one, or the end, may come; later, on the loop */
void jmp_call_more(struct jmp_call *call);
