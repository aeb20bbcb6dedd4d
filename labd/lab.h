/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab while its service runs: the store, the keys, who was heard of when, and who wants to know when something
 * changes. Reads go to the store every time, so what an administrator's command wrote is seen at once.
 */
#pragma once

#include "base/log.h"
#include "base/loop.h"
#include "labd/rules.h"
#include "labd/store.h"
#include "labd/token.h"

#define JMP_LAB_ENDPOINT_MAX 280u

struct jmp_presence;

struct jmp_lab_limits {          /* microseconds; tests shorten them */
    uint64_t offline;            /* without a Status stream or a report an exporter counts as gone */
    uint64_t hold_available;     /* how long Dial waits for an exporter that has not begun with the lease */
    uint64_t hold_listener;      /* and for one that has, but whose Listen is still on the way */
};

struct jmp_lab {
    struct jmp_loop *loop;
    struct jmp_lab_limits limits;
    struct jmp_store *store;
    struct jmp_rules rules;      /* of the file rules.yaml in the directory, read again when it changes */
    struct jmp_key identity_key, stream_key;
    char *directory;
    char *namespace_;
    char *endpoint;              /* what peers are told; NULL: the address they used */
    char *fallback;              /* what peers are told when theirs is no address */

    struct jmp_presence *presences;
    struct jmp_watch *watches;
    bool all_changed;
    struct jmp_post post;
    struct jmp_timer schedule, liveness;
    struct jmp_io inotify;
    int inotify_fd;
    int64_t version;             /* of the store, as last looked at */

    /* stream_service.c and router.c */
    struct jmp_listener *listeners;
    struct jmp_charge *streams, *dials;
    struct jmp_tunnel_end *parked;
    unsigned end_count;
};

/**
 * jmp_lab_open() - open a lab's directory; used by the service and by commands
 * @namespace_:  for a new lab; NULL: "default". An old one keeps its own: -EINVAL when they differ.
 * @loop:        NULL for commands: nothing is watched, nothing is scheduled
 */
int jmp_lab_open(const char *directory, const char *namespace_, struct jmp_loop *loop, struct jmp_lab **ret,
                 struct jmp_error *reterr);
struct jmp_lab *jmp_lab_free(struct jmp_lab *lab);
JMP_DEFINE_CLEANUP(struct jmp_lab *, jmp_lab_free)

/** jmp_lab_start() - begin to schedule, to watch for changes by others, and to miss exporters that do not come back */
int jmp_lab_start(struct jmp_lab *lab, struct jmp_error *reterr);

/*
 * Who wants to hear of an exporter: its lease, its status, its listeners may have changed. changed() is called after
 * the handler that changed something, and may come without a difference. It may take its own watch off, but no other.
 */
struct jmp_watch {
    struct jmp_watch *next, **link;
    void (*changed)(struct jmp_watch *watch);
    char *exporter;
    bool dirty;
};

int jmp_watch_start(struct jmp_lab *lab, struct jmp_watch *watch, const char *exporter,
                    void (*changed)(struct jmp_watch *watch));
void jmp_watch_stop(struct jmp_lab *lab, struct jmp_watch *watch);   /* accepts one that never started */
/** jmp_lab_changed() - tell the watches of @exporter, or all (NULL) */
void jmp_lab_changed(struct jmp_lab *lab, const char *exporter);

/*
 * Presence. An exporter is online while a Status stream of it is open, and for limits.offline after the last sign of
 * life.
 */
int jmp_lab_heard(struct jmp_lab *lab, const char *exporter);            /* a sign of life */
int jmp_lab_attach(struct jmp_lab *lab, const char *exporter);           /* a Status stream opens */
void jmp_lab_detach(struct jmp_lab *lab, const char *exporter);          /* and closes */
bool jmp_lab_is_attached(const struct jmp_lab *lab, const char *exporter);
bool jmp_lab_is_online(const struct jmp_lab *lab, const struct jmp_exporter *exporter);

/** jmp_lab_schedule() - look at every lease that has not ended; inside or outside of a transaction. Watches hear of
 * changes. */
int jmp_lab_schedule(struct jmp_lab *lab);

/** jmp_lab_sign() - a token for a client ("client") or an exporter ("exporter"); free() @ret */
int jmp_lab_sign(const struct jmp_lab *lab, const char *kind, const char *name, const char *uid, int64_t *retexpires,
                 char **ret);
/** jmp_lab_subject() - what stands in such a token; @ret has JMP_SUBJECT_MAX bytes */
char *jmp_lab_subject(const struct jmp_lab *lab, const char *kind, const char *name, const char *uid, char *ret);
