/* SPDX-License-Identifier: Apache-2.0 */
#include "labd/lab.h"

#include <inttypes.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "labd/scheduler.h"

/* The wall clock may be set at any time; while leases run it is looked at this often. */
#define RECHECK (60 * JMP_USEC_PER_SEC)

static const struct jmp_lab_limits default_limits = {
    .offline = 60 * JMP_USEC_PER_SEC, .hold_available = 30 * JMP_USEC_PER_SEC, .hold_listener = 2 * JMP_USEC_PER_SEC,
};
#define RULES_FILE "rules.yaml"
#define KEEP_HISTORY (INT64_C(30) * 24 * 3600 * JMP_SECOND)

struct jmp_presence {
    struct jmp_presence *next;
    char *exporter;
    unsigned streams;
    bool heard;             /* since this service started; before that, only given time to come back */
    uint64_t seen;          /* jmp_now() */
};

static int directory_make(const char *directory, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = strdup(directory);

    if (!path)
        return -ENOMEM;
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            int r = jmp_error_set(reterr, -errno, "cannot make %s: %m", path);

            jmp_error_hint(reterr, "choose another place with --data-dir, or run as a user who may write there");
            return r;
        }
        if (!slash)
            return 0;
        *slash = '/';
    }
}

static int load_key(struct jmp_lab *lab, const char *name, struct jmp_key *ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/%s", lab->directory, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }

    return jmp_key_load(path, ret, reterr);
}

/* The service alone needs them. On failure the rules stay as they were: a mistake in the file must not open the lab to
 * everybody. */
static int load_rules(struct jmp_lab *lab, struct jmp_error *reterr)
{
    struct jmp_rules rules = { 0 };
    _cleanup_free_ char *path = NULL;
    int r;

    if (asprintf(&path, "%s/" RULES_FILE, lab->directory) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    r = jmp_rules_load(path, &rules, reterr);
    if (r < 0)
        return r;

    jmp_rules_clear(&lab->rules);
    lab->rules = rules;
    return 0;
}

static int load_namespace(struct jmp_lab *lab, const char *wanted, struct jmp_error *reterr)
{
    int r = jmp_store_get_meta(lab->store, "namespace", &lab->namespace_);

    if (r == -ENOENT) {
        wanted = wanted ? wanted : "default";
        if (!jmp_label_name_valid(wanted, strlen(wanted)) || !jmp_subdomain_valid(wanted, strlen(wanted)))
            return jmp_error_set(reterr, -EINVAL, "\"%s\" is no name for a namespace", wanted);
        r = jmp_store_set_meta(lab->store, "namespace", wanted);
        if (r == 0)
            r = jmp_store_get_meta(lab->store, "namespace", &lab->namespace_);
    }
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot read the namespace of %s: %s", lab->directory,
                             jmp_store_reason(lab->store));
    if (wanted && strcmp(wanted, lab->namespace_) != 0) {
        r = jmp_error_set(reterr, -EINVAL, "the namespace of this lab is %s, not %s", lab->namespace_, wanted);
        jmp_error_hint(reterr, "it is fixed when a lab is made, because every token contains it");
        return r;
    }

    return 0;
}

int jmp_lab_open(const char *directory, const char *namespace_, struct jmp_loop *loop, struct jmp_lab **ret,
                 struct jmp_error *reterr)
{
    _cleanup_(jmp_lab_freep) struct jmp_lab *lab = calloc(1, sizeof(*lab));
    _cleanup_free_ char *path = NULL;
    int r;

    if (!lab)
        return -ENOMEM;
    lab->loop = loop;
    lab->limits = default_limits;
    lab->inotify_fd = -EBADF;
    lab->directory = strdup(directory);
    if (!lab->directory || asprintf(&path, "%s/lab.db", directory) < 0) {
        path = NULL;
        return -ENOMEM;
    }

    if ((r = directory_make(directory, reterr)) < 0 || (r = jmp_store_open(path, true, &lab->store, reterr)) < 0 ||
        (r = load_namespace(lab, namespace_, reterr)) < 0 ||
        (r = load_key(lab, "identity.key", &lab->identity_key, reterr)) < 0 ||
        (r = load_key(lab, "stream.key", &lab->stream_key, reterr)) < 0 || (loop && (r = load_rules(lab, reterr)) < 0))
        return r;

    *ret = TAKE_PTR(lab);
    return 0;
}

struct jmp_lab *jmp_lab_free(struct jmp_lab *lab)
{
    if (!lab)
        return NULL;

    if (lab->loop)
        jmp_loop_unpost(lab->loop, &lab->post);
    jmp_timer_close(&lab->schedule);
    jmp_timer_close(&lab->liveness);
    jmp_io_close(&lab->inotify);
    jmp_close(lab->inotify_fd);
    while (lab->presences) {
        struct jmp_presence *presence = lab->presences;

        lab->presences = presence->next;
        free(presence->exporter);
        free(presence);
    }
    jmp_store_free(lab->store);
    jmp_key_clear(&lab->identity_key);
    jmp_key_clear(&lab->stream_key);
    jmp_rules_clear(&lab->rules);
    free(lab->directory);
    free(lab->namespace_);
    free(lab->endpoint);
    free(lab->fallback);
    free(lab);
    return NULL;
}

/*
 * Watches.
 */

static void tell(struct jmp_post *post)
{
    struct jmp_lab *lab = CONTAINER_OF(post, struct jmp_lab, post);
    bool all = lab->all_changed;

    lab->all_changed = false;
    for (struct jmp_watch *watch = lab->watches, *next; watch; watch = next) {
        bool dirty = all || watch->dirty;

        next = watch->next;
        watch->dirty = false;
        if (dirty)
            watch->changed(watch);
    }
}

void jmp_lab_changed(struct jmp_lab *lab, const char *exporter)
{
    bool any = false;

    if (!exporter)
        lab->all_changed = any = true;
    for (struct jmp_watch *watch = lab->watches; watch && exporter; watch = watch->next)
        if (strcmp(watch->exporter, exporter) == 0)
            watch->dirty = any = true;
    if (any && lab->loop) {
        lab->post.run = tell;
        jmp_loop_post(lab->loop, &lab->post);
    }
}

int jmp_watch_start(struct jmp_lab *lab, struct jmp_watch *watch, const char *exporter,
                    void (*changed)(struct jmp_watch *watch))
{
    watch->exporter = strdup(exporter);
    if (!watch->exporter)
        return -ENOMEM;
    watch->changed = changed;
    watch->dirty = false;
    watch->next = lab->watches;
    watch->link = &lab->watches;
    if (watch->next)
        watch->next->link = &watch->next;
    lab->watches = watch;
    return 0;
}

void jmp_watch_stop(struct jmp_lab *lab, struct jmp_watch *watch)
{
    if (!watch->link)
        return;
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    watch->link = NULL;
    free(TAKE_PTR(watch->exporter));
}

/*
 * Presence.
 */

static struct jmp_presence *find(const struct jmp_lab *lab, const char *exporter)
{
    for (struct jmp_presence *presence = lab->presences; presence; presence = presence->next)
        if (strcmp(presence->exporter, exporter) == 0)
            return presence;

    return NULL;
}

static struct jmp_presence *find_or_add(struct jmp_lab *lab, const char *exporter)
{
    struct jmp_presence *presence = find(lab, exporter);

    if (presence)
        return presence;
    presence = calloc(1, sizeof(*presence));
    if (!presence)
        return NULL;
    presence->exporter = strdup(exporter);
    if (!presence->exporter) {
        free(presence);
        return NULL;
    }
    presence->next = lab->presences;
    lab->presences = presence;
    return presence;
}

static void forget(struct jmp_lab *lab, struct jmp_presence *presence)
{
    struct jmp_presence **link = &lab->presences;

    while (*link != presence)
        link = &(*link)->next;
    *link = presence->next;
    free(presence->exporter);
    free(presence);
}

/* The one place where an exporter becomes offline without having said so. */
static void lose(struct jmp_lab *lab, const char *name)
{
    _cleanup_(jmp_exporter_clear) struct jmp_exporter exporter = { 0 };
    int r = jmp_store_get_exporter(lab->store, name, &exporter);

    if (r == 0 && exporter.status != JMP_STATUS_OFFLINE) {
        free(exporter.message);
        exporter.message = strdup("Connection lost - last seen more than 1 minute ago");
        exporter.status = JMP_STATUS_OFFLINE;
        r = exporter.message ? jmp_store_put_state(lab->store, &exporter) : -ENOMEM;
        jmp_log(JMP_LOG_WARNING, FIELDS(.exporter = name), "not heard of for a minute, taken as offline");
    }
    if (r < 0 && r != -ENOENT)
        jmp_log(JMP_LOG_ERROR, FIELDS(.exporter = name, .error = r), "cannot be marked as offline: %s",
                jmp_store_reason(lab->store));
    jmp_lab_changed(lab, name);
}

static void on_liveness(struct jmp_timer *timer)
{
    struct jmp_lab *lab = CONTAINER_OF(timer, struct jmp_lab, liveness);
    uint64_t now = jmp_now(), next = JMP_USEC_INFINITY;
    bool lost = false;

    for (struct jmp_presence *presence = lab->presences, *following; presence; presence = following) {
        following = presence->next;
        if (presence->streams > 0)
            continue;
        if (presence->seen + lab->limits.offline <= now) {
            lose(lab, presence->exporter);
            forget(lab, presence);
            lost = true;
        } else if (presence->seen + lab->limits.offline - now < next) {
            next = presence->seen + lab->limits.offline - now;
        }
    }
    if (lost)
        jmp_lab_schedule(lab);   /* waiting leases say why they wait */
    if (next != JMP_USEC_INFINITY)
        jmp_timer_start(lab->loop, &lab->liveness, next, on_liveness);
}

static void expect_silence(struct jmp_lab *lab)
{
    if (!lab->liveness.running)
        jmp_timer_start(lab->loop, &lab->liveness, lab->limits.offline, on_liveness);
}

int jmp_lab_heard(struct jmp_lab *lab, const char *exporter)
{
    struct jmp_presence *presence = find_or_add(lab, exporter);

    if (!presence)
        return -ENOMEM;
    presence->heard = true;
    presence->seen = jmp_now();
    if (presence->streams == 0)
        expect_silence(lab);
    return 0;
}

int jmp_lab_attach(struct jmp_lab *lab, const char *exporter)
{
    struct jmp_presence *presence = find_or_add(lab, exporter);

    if (!presence)
        return -ENOMEM;
    presence->heard = true;
    presence->seen = jmp_now();
    presence->streams++;
    return 0;
}

void jmp_lab_detach(struct jmp_lab *lab, const char *exporter)
{
    struct jmp_presence *presence = find(lab, exporter);
    _cleanup_(jmp_exporter_clear) struct jmp_exporter row = { 0 };

    if (!presence || presence->streams == 0)
        return;
    presence->streams--;
    presence->seen = jmp_now();
    if (presence->streams > 0)
        return;
    expect_silence(lab);

    if (jmp_store_get_exporter(lab->store, exporter, &row) == 0) {
        row.seen = jmp_wall_now();
        if (jmp_store_put_state(lab->store, &row) < 0)
            jmp_log(JMP_LOG_WARNING, FIELDS(.exporter = exporter), "cannot note when it was last seen: %s",
                    jmp_store_reason(lab->store));
    }
}

bool jmp_lab_is_attached(const struct jmp_lab *lab, const char *exporter)
{
    const struct jmp_presence *presence = find(lab, exporter);

    return presence && presence->streams > 0;
}

bool jmp_lab_is_online(const struct jmp_lab *lab, const struct jmp_exporter *exporter)
{
    const struct jmp_presence *presence = find(lab, exporter->name);

    if (!presence || !presence->heard || exporter->status == JMP_STATUS_OFFLINE)
        return false;

    return presence->streams > 0 || presence->seen + lab->limits.offline > jmp_now();
}

/*
 * Scheduling.
 */

struct snapshot {
    struct jmp_lab *lab;
    struct jmp_exporter *exporters;
    struct jmp_board *boards;
    size_t board_count;
    struct jmp_lease *leases;
    bool *changed;
    size_t lease_count, lease_room;
};

static void snapshot_clear(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->board_count; i++)
        jmp_exporter_clear(&snapshot->exporters[i]);
    for (size_t i = 0; i < snapshot->lease_count; i++)
        jmp_lease_clear(&snapshot->leases[i]);
    free(snapshot->exporters);
    free(snapshot->boards);
    free(snapshot->leases);
    free(snapshot->changed);
}

static int take_exporter(struct jmp_exporter *exporter, void *user)
{
    struct snapshot *snapshot = user;

    if (snapshot->board_count == JMP_STORE_EXPORTERS_MAX)
        return -E2BIG;
    snapshot->exporters[snapshot->board_count] = *exporter;
    *exporter = (struct jmp_exporter){ 0 };
    exporter = &snapshot->exporters[snapshot->board_count];
    snapshot->boards[snapshot->board_count++] =
        (struct jmp_board){ .exporter = exporter, .online = jmp_lab_is_online(snapshot->lab, exporter) };
    return 0;
}

static int take_lease(struct jmp_lease *lease, void *user)
{
    struct snapshot *snapshot = user;

    if (snapshot->lease_count == snapshot->lease_room)
        return -E2BIG;
    snapshot->leases[snapshot->lease_count++] = *lease;
    *lease = (struct jmp_lease){ 0 };
    return 0;
}

/* Rules of access look at the labels of clients; few clients have all the leases, but to ask for each is cheap
 * enough. */
static int find_holders(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->lease_count; i++) {
        _cleanup_(jmp_client_clear) struct jmp_client client = { 0 };
        int r;

        if (snapshot->leases[i].exporter)
            continue;
        r = jmp_store_get_client(snapshot->lab->store, snapshot->leases[i].client, &client);
        if (r == -ENOENT)   /* deleted just now, so its leases are about to end */
            continue;
        if (r == 0)
            r = jmp_labels_copy(&snapshot->leases[i].holder, &client.labels);
        if (r < 0)
            return r;
    }

    return 0;
}

static int snapshot_take(struct snapshot *snapshot)
{
    int64_t leases = jmp_store_count_leases(snapshot->lab->store, NULL);
    int r;

    if (leases <= 0)
        return (int)leases;
    snapshot->lease_room = (size_t)leases;
    snapshot->leases = calloc(snapshot->lease_room, sizeof(*snapshot->leases));
    snapshot->changed = calloc(snapshot->lease_room, sizeof(*snapshot->changed));
    snapshot->exporters = calloc(JMP_STORE_EXPORTERS_MAX, sizeof(*snapshot->exporters));
    snapshot->boards = calloc(JMP_STORE_EXPORTERS_MAX, sizeof(*snapshot->boards));
    if (!snapshot->leases || !snapshot->changed || !snapshot->exporters || !snapshot->boards)
        return -ENOMEM;

    r = jmp_store_each_active_lease(snapshot->lab->store, take_lease, snapshot);
    if (r == 0)
        r = jmp_store_each_exporter(snapshot->lab->store, "", take_exporter, snapshot);
    if (r == 0 && snapshot->lab->rules.access_count > 0)
        r = find_holders(snapshot);
    return r;
}

static void note_change(const struct jmp_lease *lease)
{
    const struct jmp_condition *last = &lease->conditions[lease->condition_count - 1];
    const struct jmp_log_fields *fields =
        FIELDS(.lease = lease->name, .client = lease->client, .exporter = lease->exporter);

    if (lease->ended)
        jmp_log(JMP_LOG_INFO, fields, "lease ended: %s", last->reason);
    else if (lease->exporter)
        jmp_log(JMP_LOG_INFO, fields, "lease began on %s", lease->exporter);
    else
        jmp_log(JMP_LOG_INFO, fields, "lease waits: %s", last->message);
}

static void on_schedule(struct jmp_timer *timer)
{
    jmp_lab_schedule(CONTAINER_OF(timer, struct jmp_lab, schedule));
}

int jmp_lab_schedule(struct jmp_lab *lab)
{
    _cleanup_(snapshot_clear) struct snapshot snapshot = { .lab = lab };
    int64_t now = jmp_wall_now(), next = INT64_MAX;
    bool ended = false;
    int r;

    r = snapshot_take(&snapshot);
    if (r == 0 && snapshot.lease_count > 0) {
        next = jmp_schedule(snapshot.leases, snapshot.changed, snapshot.lease_count, snapshot.boards,
                            snapshot.board_count, &lab->rules, now);
        if (next < 0)
            r = (int)next;
    }
    for (size_t i = 0; r == 0 && i < snapshot.lease_count; i++) {
        struct jmp_lease *lease = &snapshot.leases[i];

        if (!snapshot.changed[i])
            continue;
        r = jmp_store_put_lease(lab->store, lease);
        if (r == 0)
            note_change(lease);
        if (lease->exporter)
            jmp_lab_changed(lab, lease->exporter);
        ended = ended || lease->ended;
    }
    if (r == 0 && ended)
        r = jmp_store_prune(lab->store, now - KEEP_HISTORY);

    if (r < 0) {
        jmp_log(JMP_LOG_ERROR, FIELDS(.error = r), "leases cannot be scheduled, next try in a second: %s",
                jmp_store_reason(lab->store));
        jmp_timer_start(lab->loop, &lab->schedule, JMP_USEC_PER_SEC, on_schedule);
    } else if (next == INT64_MAX) {
        jmp_timer_stop(&lab->schedule);
    } else {
        uint64_t delay = next > now ? (uint64_t)(next - now) : 0;

        /* A little late rather than a little early, which would cost a second look. */
        jmp_timer_start(lab->loop, &lab->schedule, delay < RECHECK ? delay + JMP_USEC_PER_MSEC : RECHECK, on_schedule);
    }

    return r;
}

/*
 * Changes by others: an administrator's command writes into the log of the database. What it wrote can be seen a moment
 * after the write only, when it has been synced, so the close of the file, which follows, is watched as well.
 */

static void on_inotify(struct jmp_io *io, uint32_t revents)
{
    struct jmp_lab *lab = CONTAINER_OF(io, struct jmp_lab, inotify);
    char events[4096] __attribute__((aligned(8)));
    bool rules = false;
    int64_t version;
    ssize_t length;

    while ((length = read(lab->inotify_fd, events, sizeof(events))) > 0) {
        for (const char *at = events; at < events + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            /* Not at every write: an editor writes in pieces. */
            if ((event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE)) && event->len > 0 &&
                strcmp(event->name, RULES_FILE) == 0)
                rules = true;
            rules = rules || (event->mask & IN_Q_OVERFLOW);
            at += sizeof(*event) + event->len;
        }
    }
    if (rules) {
        struct jmp_error error = JMP_ERROR_INIT;
        int r = load_rules(lab, &error);

        if (r < 0)
            jmp_log(JMP_LOG_ERROR, FIELDS(.error = r),
                    "the rules stay as they were: line %u, column %u of " RULES_FILE ": %s", error.line, error.column,
                    error.text);
        else
            jmp_log(JMP_LOG_INFO, NULL, RULES_FILE " was read again: %zu rules of access", lab->rules.access_count);
    }
    version = jmp_store_version(lab->store);
    if (version == lab->version && !rules)
        return;
    lab->version = version;
    jmp_lab_schedule(lab);
    jmp_lab_changed(lab, NULL);
}

static int expect_back(struct jmp_exporter *exporter, void *user)
{
    struct jmp_lab *lab = user;
    struct jmp_presence *presence;

    if (!exporter->registered || exporter->status == JMP_STATUS_OFFLINE)
        return 0;
    presence = find_or_add(lab, exporter->name);
    if (!presence)
        return -ENOMEM;
    presence->seen = jmp_now();
    return 0;
}

int jmp_lab_start(struct jmp_lab *lab, struct jmp_error *reterr)
{
    int r;

    lab->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (lab->inotify_fd < 0 ||
        inotify_add_watch(lab->inotify_fd, lab->directory, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE) < 0)
        return jmp_error_set(reterr, -errno, "cannot watch %s: %m", lab->directory);
    r = jmp_io_start(lab->loop, &lab->inotify, lab->inotify_fd, EPOLLIN, on_inotify);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot watch %s", lab->directory);
    lab->version = jmp_store_version(lab->store);

    /* Exporters that were there before a restart get the usual minute before they count as lost. */
    r = jmp_store_each_exporter(lab->store, "", expect_back, lab);
    if (r == 0 && lab->presences)
        expect_silence(lab);
    if (r == 0)
        r = jmp_lab_schedule(lab);
    if (r < 0)
        return jmp_error_set(reterr, r, "cannot read the lab: %s", jmp_store_reason(lab->store));

    return 0;
}

char *jmp_lab_subject(const struct jmp_lab *lab, const char *kind, const char *name, const char *uid, char *ret)
{
    snprintf(ret, JMP_SUBJECT_MAX, "%s:%s:%s:%s", kind, lab->namespace_, name, uid);
    return ret;
}

int jmp_lab_sign(const struct jmp_lab *lab, const char *kind, const char *name, const char *uid, int64_t *retexpires,
                 char **ret)
{
    int64_t now = jmp_wall_now() / JMP_SECOND, expires = now + JMP_TOKEN_LIFETIME;
    char subject[JMP_SUBJECT_MAX];
    int r;

    r = jmp_token_sign(&lab->identity_key, &jmp_token_identity, jmp_lab_subject(lab, kind, name, uid, subject), now,
                       expires, ret);
    if (r == 0 && retexpires)
        *retexpires = expires;
    return r;
}
