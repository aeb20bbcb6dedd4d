/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab's memory: one SQLite file in WAL mode. The service and the administrator's commands open it at the same time.
 * What changes every few seconds (who was heard of when) is not kept here but by the service.
 *
 * Functions return 0 or a negative errno: -ENOENT (no such row), -EEXIST (the name is taken), -EBUSY (somebody else
 * kept it locked), -ENOSPC, -EIO, -EBADMSG (a damaged file), -ENOMEM. jmp_store_reason() has SQLite's words for the
 * last failure.
 */
#pragma once

#include "base/error.h"
#include "labd/lease.h"

#define JMP_STORE_CLIENTS_MAX 10000u
#define JMP_STORE_EXPORTERS_MAX 1000u
#define JMP_STORE_LEASES_MAX 1000u            /* that have not ended */
#define JMP_STORE_HISTORY_MAX 20000u          /* ended ones; older ones are forgotten */

struct jmp_store;

/** jmp_store_open() - open, make or bring up to date; checks that the file is sound
 * @create:  make it when there is none; otherwise -ENOENT */
int jmp_store_open(const char *path, bool create, struct jmp_store **ret, struct jmp_error *reterr);
struct jmp_store *jmp_store_free(struct jmp_store *store);
JMP_DEFINE_CLEANUP(struct jmp_store *, jmp_store_free)
const char *jmp_store_reason(struct jmp_store *store);

/** jmp_store_begin() - all or nothing until jmp_store_commit(); without it each change stands alone
 * @durable:  on the disk when jmp_store_commit() returns, so that even a power failure keeps it; otherwise a killed
 *            process loses nothing but the machine may lose the last seconds */
int jmp_store_begin(struct jmp_store *store, bool durable);
int jmp_store_commit(struct jmp_store *store);
void jmp_store_rollback(struct jmp_store *store);   /* nothing to undo: nothing happens */

/** jmp_store_version() - changes whenever another process has changed something */
int64_t jmp_store_version(struct jmp_store *store);

/** jmp_store_get_meta() - free() @ret */
int jmp_store_get_meta(struct jmp_store *store, const char *key, char **ret);
int jmp_store_set_meta(struct jmp_store *store, const char *key, const char *value);

int jmp_store_add_client(struct jmp_store *store, const struct jmp_client *client);
int jmp_store_get_client(struct jmp_store *store, const char *name, struct jmp_client *ret);
int jmp_store_delete_client(struct jmp_store *store, const char *name);
/** jmp_store_each_client() - by name; @each returns 0 to go on, else its value is returned */
int jmp_store_each_client(struct jmp_store *store, int (*each)(struct jmp_client *client, void *user), void *user);

int jmp_store_add_exporter(struct jmp_store *store, const struct jmp_exporter *exporter);
int jmp_store_get_exporter(struct jmp_store *store, const char *name, struct jmp_exporter *ret);
/** jmp_store_put_exporter() - everything but name, uid and creation; in one transaction with the reading, as service
 * and administrator write different parts of it */
int jmp_store_put_exporter(struct jmp_store *store, const struct jmp_exporter *exporter);
/** jmp_store_put_state() - only what the exporter says of itself: registered, status, message, devices, seen */
int jmp_store_put_state(struct jmp_store *store, const struct jmp_exporter *exporter);
int jmp_store_delete_exporter(struct jmp_store *store, const char *name);
/** jmp_store_each_exporter() - those after the name @after ("": all), by name */
int jmp_store_each_exporter(struct jmp_store *store, const char *after,
                            int (*each)(struct jmp_exporter *exporter, void *user), void *user);

/** jmp_store_add_lease() - @lease gets its id */
int jmp_store_add_lease(struct jmp_store *store, struct jmp_lease *lease);
int jmp_store_get_lease(struct jmp_store *store, const char *name, struct jmp_lease *ret);
/** jmp_store_get_lease_of() - the lease that has not ended and holds this exporter */
int jmp_store_get_lease_of(struct jmp_store *store, const char *exporter, struct jmp_lease *ret);
/** jmp_store_put_lease() - a release that was asked for stays so, whatever @lease says */
int jmp_store_put_lease(struct jmp_store *store, const struct jmp_lease *lease);
/** jmp_store_release_leases() - ask for the end of all leases of a client or on an exporter (the other NULL) */
int jmp_store_release_leases(struct jmp_store *store, const char *client, const char *exporter);
/** jmp_store_each_lease() - those after the name @after ("": all), by name */
int jmp_store_each_lease(struct jmp_store *store, const char *after, bool only_active,
                         int (*each)(struct jmp_lease *lease, void *user), void *user);
/** jmp_store_each_active_lease() - in order of arrival */
int jmp_store_each_active_lease(struct jmp_store *store, int (*each)(struct jmp_lease *lease, void *user), void *user);
/** jmp_store_count_leases() - that have not ended; of one client, or all (NULL) */
int64_t jmp_store_count_leases(struct jmp_store *store, const char *client);
/** jmp_store_prune() - forget leases that ended before @before (wall clock), and those beyond JMP_STORE_HISTORY_MAX */
int jmp_store_prune(struct jmp_store *store, int64_t before);
