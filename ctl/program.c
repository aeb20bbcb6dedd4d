/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/program.h"

#include "base/child.h"

struct jmp_program {
    struct jmp_client *client;
    struct jmp_child *child;
    bool news;
};

static void on_exited(struct jmp_child *child, void *user)
{
    struct jmp_program *program = user;

    program->news = true;
    jmp_client_wake(program->client);
}

int jmp_program_start(struct jmp_client *client, char *const *argv, char *const *set, struct jmp_program **ret,
                      struct jmp_error *reterr)
{
    const struct jmp_child_options options = { .argv = argv, .set = set };
    _cleanup_(jmp_program_freep) struct jmp_program *program = calloc(1, sizeof(*program));
    int r;

    if (!program)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    program->client = client;
    r = jmp_child_start(jmp_client_loop(client), &options, on_exited, program, &program->child, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(program);
    return 0;
}

void jmp_program_signal(struct jmp_program *program, int signal)
{
    if (jmp_child_has_ended(program->child))
        return;
    jmp_child_signal(program->child, signal);
    program->news = true;
    jmp_client_wake(program->client);
}

int jmp_program_wait(struct jmp_program *program, uint64_t timeout)
{
    int r = jmp_client_settle(program->client, &program->news, timeout);

    if (jmp_child_has_ended(program->child))
        return 0;
    program->news = false;
    return r < 0 ? r : -EINTR;
}

int jmp_program_code(const struct jmp_program *program) { return jmp_child_code(program->child); }

struct jmp_program *jmp_program_free(struct jmp_program *program)
{
    if (!program)
        return NULL;

    jmp_child_free(program->child);
    free(program);
    return NULL;
}
