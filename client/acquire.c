/* SPDX-License-Identifier: Apache-2.0 */
#include "client/acquire.h"

#include <string.h>

#define POLL_FIRST (50 * JMP_USEC_PER_MSEC)
#define POLL_MOST JMP_USEC_PER_SEC
#define AGAIN_AFTER (5 * JMP_USEC_PER_SEC)
#define CLEANUP_TIMEOUT (5 * JMP_USEC_PER_SEC)

struct jmp_acquisition {
    struct jmp_controller_client *controller;
    struct jmp_tree *tree;       /* of the lease as last seen */
    struct jmp_lease lease;
    char *name;
    bool own;
};

const struct jmp_lease *jmp_acquisition_lease(const struct jmp_acquisition *acquisition) { return &acquisition->lease; }
bool jmp_acquisition_is_own(const struct jmp_acquisition *acquisition) { return acquisition->own; }
void jmp_acquisition_keep(struct jmp_acquisition *acquisition) { acquisition->own = false; }

struct jmp_acquisition *jmp_acquisition_free(struct jmp_acquisition *acquisition)
{
    if (!acquisition)
        return NULL;
    jmp_tree_free(acquisition->tree);
    free(acquisition->name);
    free(acquisition);
    return NULL;
}

int jmp_acquisition_release(struct jmp_acquisition *acquisition, uint64_t timeout, struct jmp_error *reterr)
{
    struct jmp_client *client = jmp_controller_client_base(acquisition->controller);
    bool interrupted = jmp_client_interrupted(client);
    int r;

    if (!acquisition->own)
        return 0;
    acquisition->own = false;
    jmp_client_resume(client);
    r = jmp_controller_client_delete(acquisition->controller, acquisition->name, timeout, reterr);
    if (interrupted)
        jmp_client_interrupt(client);
    return r;
}

enum jmp_acquire_verdict jmp_acquire_judge(const struct jmp_lease *lease, char *words, size_t size)
{
    const struct jmp_condition *ready = jmp_lease_condition(lease, "Ready");
    const struct jmp_condition *hopeless = jmp_lease_condition(lease, "Unsatisfiable");
    const struct jmp_condition *invalid = jmp_lease_condition(lease, "Invalid");
    const struct jmp_condition *pending = jmp_lease_condition(lease, "Pending");

    if (jmp_condition_is(ready, "True"))
        return JMP_LEASE_HELD;
    if (jmp_condition_is(hopeless, "True")) {
        snprintf(words, size, "the lease cannot be satisfied: %s",
                 *hopeless->message ? hopeless->message : hopeless->reason);
        return strcmp(hopeless->reason, "NoExporter") == 0 ? JMP_LEASE_AGAIN : JMP_LEASE_REFUSED;
    }
    if (jmp_condition_is(invalid, "True")) {
        snprintf(words, size, "the lease is invalid: %s", *invalid->message ? invalid->message : invalid->reason);
        return JMP_LEASE_REFUSED;
    }
    if (jmp_condition_is(ready, "False")) {
        bool expired = strcmp(ready->reason, "Expired") == 0;

        snprintf(words, size, "lease %s is over: it %s", lease->name, expired ? "has expired" : "was released");
        return JMP_LEASE_REFUSED;
    }
    if (jmp_condition_is(pending, "False")) {
        snprintf(words, size, "lease %s does not wait for an exporter and holds none", lease->name);
        return JMP_LEASE_REFUSED;
    }
    if (lease->effective_end != JMP_TIME_NONE) {
        snprintf(words, size, "lease %s is over", lease->name);
        return JMP_LEASE_REFUSED;
    }

    if (pending && *pending->message)
        snprintf(words, size, "%s", pending->message);
    else if (lease->begin != JMP_TIME_NONE)
        snprintf(words, size, "the lease has not begun");
    else
        snprintf(words, size, "the controller has not decided");
    return JMP_LEASE_WAITING;
}

/* Ask once; the lease as it is now replaces the one before. */
static int look(struct jmp_acquisition *acquisition, enum jmp_code *retcode, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_lease lease;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0) {
        jmp_error_set(reterr, r, "%m");
        return r;
    }
    r = jmp_controller_client_lease(acquisition->controller, acquisition->name, tree, &lease, retcode, reterr);
    if (r < 0)
        return r;
    jmp_tree_free(acquisition->tree);
    acquisition->tree = TAKE_PTR(tree);
    acquisition->lease = lease;
    return 0;
}

int jmp_acquisition_refresh(struct jmp_acquisition *acquisition, struct jmp_error *reterr)
{
    return look(acquisition, NULL, reterr);
}

static int make(struct jmp_acquisition *acquisition, const struct jmp_lease_request *request, struct jmp_error *reterr)
{
    struct jmp_client *client = jmp_controller_client_base(acquisition->controller);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_lease lease;
    char *name;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    /* Cut off in the middle it could leave a lease behind whose name nobody knows. */
    jmp_client_shield(client, CLEANUP_TIMEOUT);
    r = jmp_controller_client_create(acquisition->controller, request, tree, &lease, reterr);
    jmp_client_shield(client, 0);
    if (r < 0)
        return r;
    name = strdup(lease.name);
    if (!name) {
        jmp_controller_client_delete(acquisition->controller, lease.name, CLEANUP_TIMEOUT, NULL);
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    free(acquisition->name);
    acquisition->name = name;
    acquisition->own = true;
    jmp_tree_free(acquisition->tree);
    acquisition->tree = TAKE_PTR(tree);
    acquisition->lease = lease;
    return 0;
}

/* Errors that another try can mend. Controllers hide much behind UNKNOWN, also a lease that is not there. */
static bool is_passing(enum jmp_code code, const struct jmp_error *error)
{
    switch (code) {
    case JMP_UNAVAILABLE:
    case JMP_DEADLINE_EXCEEDED:
    case JMP_RESOURCE_EXHAUSTED:
    case JMP_ABORTED:
    case JMP_INTERNAL:
        return true;
    case JMP_UNKNOWN:
        return !strstr(error->text, "not found") && !strcasestr(error->text, "permission denied") &&
               !strstr(error->text, "token");
    default:
        return false;
    }
}

static int check_owner(struct jmp_acquisition *acquisition, struct jmp_error *reterr)
{
    const char *me = jmp_controller_client_options(acquisition->controller)->name;

    if (acquisition->own || strcmp(acquisition->lease.client, me) == 0)
        return 0;
    return jmp_error_set(reterr, -EACCES, "lease %s belongs to client \"%s\", not to \"%s\"", acquisition->name,
                         acquisition->lease.client, me);
}

static int await(struct jmp_acquisition *acquisition, const struct jmp_acquire_options *options,
                 struct jmp_error *reterr)
{
    struct jmp_client *client = jmp_controller_client_base(acquisition->controller);
    uint64_t start = jmp_now(), pause = POLL_FIRST, spent;
    char words[600] = "", told[600] = "";
    int r;

    for (;;) {
        struct jmp_error error = { 0 };
        enum jmp_code code = JMP_OK;

        r = look(acquisition, &code, &error);
        if (r == -ECANCELED || (r < 0 && !is_passing(code, &error))) {
            if (reterr)
                *reterr = error;
            return r;
        }
        if (r < 0) {
            snprintf(words, sizeof(words), "%s", error.text);
        } else {
            r = check_owner(acquisition, reterr);
            if (r < 0)
                return r;
            switch (jmp_acquire_judge(&acquisition->lease, words, sizeof(words))) {
            case JMP_LEASE_HELD:
                return 0;
            case JMP_LEASE_AGAIN:
                if (acquisition->own) {
                    r = jmp_client_pause(client, AGAIN_AFTER);
                    if (r >= 0)
                        r = make(acquisition, options->request, reterr);
                    if (r < 0)
                        return r;
                    break;
                }
                /* fall through */
            case JMP_LEASE_REFUSED:
                return jmp_error_set(reterr, -EBUSY, "%s", words);
            case JMP_LEASE_WAITING:
                break;
            }
        }

        spent = jmp_now() - start;
        if (spent >= options->timeout) {
            jmp_error_set(reterr, -ETIMEDOUT, "no exporter within %llu s: %s",
                          (unsigned long long)(options->timeout / JMP_USEC_PER_SEC), words);
            jmp_error_hint(reterr, "--acquisition-timeout waits longer");
            return -ETIMEDOUT;
        }
        /* The first look comes before a controller can have decided: that is no news yet. */
        if (options->progress && spent > POLL_FIRST && strcmp(words, told) != 0) {
            options->progress(words, options->user);
            snprintf(told, sizeof(told), "%s", words);
        }
        if (pause > options->timeout - spent)
            pause = options->timeout - spent;
        r = jmp_client_pause(client, pause);
        if (r < 0)
            return jmp_error_set(reterr, r, r == -ECANCELED ? "interrupted" : "%m");
        pause = pause * 2 > POLL_MOST ? POLL_MOST : pause * 2;
    }
}

int jmp_acquire(struct jmp_controller_client *controller, const struct jmp_acquire_options *options,
                struct jmp_acquisition **ret, struct jmp_error *reterr)
{
    _cleanup_(jmp_acquisition_freep) struct jmp_acquisition *acquisition = calloc(1, sizeof(*acquisition));
    int r;

    if (!acquisition)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    acquisition->controller = controller;
    if (options->name) {
        acquisition->name = strdup(options->name);
        if (!acquisition->name)
            return jmp_error_set(reterr, -ENOMEM, "%m");
    } else {
        r = make(acquisition, options->request, reterr);
        if (r < 0)
            return r;
    }

    r = await(acquisition, options, reterr);
    if (r < 0) {
        jmp_acquisition_release(acquisition, CLEANUP_TIMEOUT, NULL);
        return r;
    }
    *ret = TAKE_PTR(acquisition);
    return 0;
}
