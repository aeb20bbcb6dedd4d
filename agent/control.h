/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: whoever may stop this process may ask it what it does, and tell it to leave. One JSON object a
 * line, either way. (docs/control.md)
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"
#include "base/writer.h"

struct jmp_control;

struct jmp_control_events {
    /* Write the members of the map that "status" answers; @writer keeps its errors. */
    void (*describe)(struct jmp_writer *writer, void *user);
    /* "drain": leave after the lease. Return: what happens, for people; static. */
    const char *(*drain)(void *user);
};

/**
 * jmp_control_new() - listen at @path, which is replaced if it is there; mode 0600
 * @events:  borrowed
 *
 * Only root and the user that we run as are answered.
 *
 * Return: 0, -ENAMETOOLONG, -ENOMEM or errno, with words.
 */
int jmp_control_new(struct jmp_loop *loop, const char *path, const struct jmp_control_events *events, void *user,
                    struct jmp_control **ret, struct jmp_error *reterr);
/** jmp_control_free() - close all; the socket's file is left to the directory's owner */
struct jmp_control *jmp_control_free(struct jmp_control *control);
JMP_DEFINE_CLEANUP(struct jmp_control *, jmp_control_free)

/** jmp_control_changed() - something that "status" tells has changed: those who watch hear of it, soon and once. NULL
 * is fine. */
void jmp_control_changed(struct jmp_control *control);
