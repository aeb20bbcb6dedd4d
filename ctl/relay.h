/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a driver's byte stream and our own standard input and output, which may be terminals, pipes or files and are
 * never made non-blocking: others share them. Each direction moves at the pace of its slower side.
 */
#pragma once

#include "client/session_client.h"

struct jmp_relay_options {
    const char *uuid, *method;   /* the stream */
    int in;                      /* read from here; negative: nothing is sent */
    int out;                     /* write to here; negative: what comes is dropped */
    bool end_with_input;         /* the end of input is the end of all, once it was sent */
    /* Looks at input before it is sent; may shorten it. False: stop here. May be NULL. */
    bool (*look)(char *data, size_t *length, void *user);
    void *user;
};

enum jmp_relay_end {
    JMP_RELAY_CLOSED,      /* the driver's side has ended */
    JMP_RELAY_STOPPED,     /* look() said so */
    JMP_RELAY_SENT,        /* all input is sent, with end_with_input */
    JMP_RELAY_OUTPUT_GONE, /* nobody reads our output any more */
};

/** jmp_relay_run() - open the stream and relay until it ends; waits
 * @retend:   why it ended, on success
 * @retstats: bytes moved; may be NULL
 *
 * Return: 0, -ECANCELED (interrupted), -EPIPE and others with words: the stream could not be opened, or broke. */
int jmp_relay_run(struct jmp_session_client *session, const struct jmp_relay_options *options,
                  enum jmp_relay_end *retend, struct jmp_pump_stats *retstats, struct jmp_error *reterr);
