/* SPDX-License-Identifier: Apache-2.0 */
/* A driver's console on our terminal, or its bytes on standard input and output. */
#pragma once

#include "client/session_client.h"

/** jmp_console_run() - raw terminal until the driver's side ends or Ctrl-B comes three times in a row; waits. Without a
 * terminal as standard input this is jmp_pipe_run(). The terminal is put back however the program ends. */
int jmp_console_run(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *method,
                    struct jmp_error *reterr);

struct jmp_pipe_options {
    const char *file;        /* output goes there instead of standard output */
    bool append;
    bool input, output;      /* whether standard input is sent, and what comes is shown */
};

/** jmp_pipe_run() - until the driver's side ends; without output until the end of input; waits */
int jmp_pipe_run(struct jmp_session_client *session, const struct jmp_driver_ref *driver, const char *method,
                 const struct jmp_pipe_options *options, struct jmp_error *reterr);

/*
 * The way out of a console, byte by byte: pure, for its test.
 */
struct jmp_escape {
    unsigned count;          /* of Ctrl-B in a row */
};

/** jmp_escape_look() - true once the third Ctrl-B in a row came; what stands before it is left in @data */
bool jmp_escape_look(struct jmp_escape *escape, char *data, size_t *length);
