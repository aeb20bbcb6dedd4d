/* SPDX-License-Identifier: Apache-2.0 */
/* All objects of a kind, kept up to date: a list, then a watch from where it ended, for ever. */
#pragma once

#include "kube/kube.h"

struct jmp_kube_watch;

struct jmp_kube_watch_events {
    /** an object is new or another version of it is; also for each of the first list */
    void (*changed)(const char *name, json_t *object, void *user);
    void (*gone)(const char *name, void *user);
    /** the list has been told whole: once at the start, and after each new list */
    void (*synced)(void *user);
    /** it does not work at the moment and is tried again; may be NULL */
    void (*failing)(const struct jmp_kube_status *status, void *user);
};

/**
 * jmp_kube_watch_new() - objects below @path, of one namespace
 * @selector:  label selector, or NULL
 * @field:     field selector such as "metadata.name=x", or NULL
 *
 * A watch that ends cleanly goes on at the last version seen, bookmarks included; one that is too old (410) begins with
 * a new list, of which only differences are told; other ends with back-off.
 */
int jmp_kube_watch_new(struct jmp_kube *kube, const char *path, const char *selector, const char *field,
                       const struct jmp_kube_watch_events *events, void *user, struct jmp_kube_watch **ret);
struct jmp_kube_watch *jmp_kube_watch_free(struct jmp_kube_watch *watch);
JMP_DEFINE_CLEANUP(struct jmp_kube_watch *, jmp_kube_watch_free)
