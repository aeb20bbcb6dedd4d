/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board CONFIG SELECTOR: takes a board of the lab, switches its power off and on again, and gives it back.
 * Built from what is installed alone: make, see docs/client-library.md.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "client/acquire.h"
#include "client/dial.h"
#include "client/dump.h"
#include "client/session_client.h"
#include "config/client_config.h"

#define SECONDS UINT64_C(1000000)

/* The lease as the stock client would write it. */
static int print_lease(const struct jmp_lease *lease)
{
    struct jmp_writer *writer = NULL;
    struct jmp_tree *tree = NULL;
    const struct jmp_node *node;
    char *text = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_writer_new(tree, &writer);
    if (r >= 0) {
        jmp_write_lease(writer, lease);
        r = jmp_writer_finish(writer, &node);
    }
    if (r >= 0)
        r = jmp_json_print(node, 4, &text);
    if (r >= 0)
        printf("%s\n", text);
    free(text);
    jmp_writer_free(writer);
    jmp_tree_free(tree);
    return r;
}

static int call(struct jmp_session_client *session, const char *uuid, const char *method, struct jmp_error *error)
{
    struct jmp_tree *tree = NULL;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_session_client_call(session, uuid, method, NULL, tree, NULL, error);
    if (r >= 0)
        printf("%s: done\n", method);
    jmp_tree_free(tree);
    return r;
}

static int use(struct jmp_session_client *session, struct jmp_error *error)
{
    char *const path[] = { (char *)"power", NULL };
    struct jmp_driver_tree *drivers = NULL;
    struct jmp_driver_ref *power;
    unsigned used;
    int r;

    r = jmp_session_client_report(session, 60 * SECONDS, &drivers, error);
    if (r >= 0)
        r = jmp_driver_tree_find(drivers, path, &power, &used, error);
    if (r >= 0)
        r = call(session, power->uuid, "off", error);
    if (r >= 0)
        r = call(session, power->uuid, "on", error);
    if (r >= 0)
        r = jmp_session_client_end(session, error);
    jmp_driver_tree_free(drivers);
    return r;
}

/* Through a socket of our own, in a directory that nobody else can enter: who can connect to it holds the board. */
static int work(struct jmp_controller_client *controller, const char *lease, struct jmp_error *error)
{
    const struct jmp_dial_options dial = { .lease = lease, .timeout = 60 * SECONDS };
    char directory[] = "/tmp/board-XXXXXX", path[64];
    const struct jmp_path paths[] = { { .host = path } };
    const struct jmp_session_options options = { .paths = paths, .n_paths = 1 };
    struct jmp_session_client *session = NULL;
    struct jmp_dialer *dialer = NULL;
    int r;

    if (!mkdtemp(directory))
        return jmp_error_set(error, -EIO, "no directory for a socket: %m");
    snprintf(path, sizeof(path), "%s/socket", directory);
    r = jmp_dialer_new(controller, &dial, &dialer, error);
    if (r >= 0)
        r = jmp_dialer_prepare(dialer, error);
    if (r >= 0)
        r = jmp_dialer_listen(dialer, path, error);
    if (r >= 0)
        r = jmp_session_client_new(jmp_controller_client_base(controller), &options, &session, error);
    if (r >= 0)
        r = use(session, error);
    jmp_session_client_free(session);
    jmp_dialer_free(dialer);
    rmdir(directory);
    return r;
}

static void on_progress(const char *words, void *user)
{
    (void)user;
    fprintf(stderr, "board: waiting: %s\n", words);
}

static int take(struct jmp_client *client, const struct jmp_client_config *config, const char *selector,
                struct jmp_error *error)
{
    const struct jmp_lease_request request = { .selector = selector,
                                               .duration = 600 * SECONDS,
                                               .begin = JMP_TIME_NONE };
    const struct jmp_acquire_options acquire = { .request = &request,
                                                 .timeout = 120 * SECONDS,
                                                 .progress = on_progress };
    struct jmp_controller_options options = { .channel.endpoint = config->endpoint,
                                              .channel.ca = config->ca,
                                              .channel.insecure = config->insecure,
                                              .channel.grpc_options = config->grpc_options,
                                              .namespace_ = config->namespace_,
                                              .name = config->name,
                                              .token = config->token };
    struct jmp_controller_client *controller = NULL;
    struct jmp_acquisition *held = NULL;
    int r, released;

    r = jmp_controller_client_new(client, &options, &controller, error);
    if (r >= 0)
        r = jmp_acquire(controller, &acquire, &held, error);
    if (r >= 0) {
        r = print_lease(jmp_acquisition_lease(held));
        if (r >= 0)
            r = work(controller, jmp_acquisition_lease(held)->name, error);
        /* Whatever happened: the board goes back, and the first error is the one that is told. */
        released = jmp_acquisition_release(held, 10 * SECONDS, r < 0 ? NULL : error);
        r = r < 0 ? r : released;
    }
    jmp_acquisition_free(held);
    jmp_controller_client_free(controller);
    return r;
}

int main(int argc, char **argv)
{
    struct jmp_client_config *config = NULL;
    struct jmp_problems problems = { 0 };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_client *client = NULL;
    int r;

    if (argc != 3) {
        fprintf(stderr, "usage: board CONFIG SELECTOR\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    r = jmp_client_config_load(argv[1], &config, &problems);
    for (const struct jmp_problem *problem = problems.first; problem; problem = problem->next)
        jmp_error_print(stderr, "board", &problem->error);
    jmp_problems_clear(&problems);
    if (r < 0)
        return 1;
    r = jmp_client_new(&client);
    if (r >= 0)
        r = take(client, config, argv[2], &error);
    jmp_client_free(client);
    jmp_client_config_free(config);
    if (r >= 0)
        return 0;
    if (!error.error)
        jmp_error_set(&error, r, "%m");
    jmp_error_print(stderr, "board", &error);
    return 1;
}
