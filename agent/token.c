/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/token.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "config/exporter_config.h"

struct jmp_token {
    char *bearer, *file;
    struct stat seen;
};

static char *make_bearer(const char *token)
{
    char *bearer;

    return asprintf(&bearer, "Bearer %s", token) < 0 ? NULL : bearer;
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

int jmp_token_new(const char *token, const char *file, struct jmp_token **ret)
{
    _cleanup_(jmp_token_freep) struct jmp_token *made = calloc(1, sizeof(*made));

    if (!made)
        return -ENOMEM;
    made->bearer = make_bearer(token);
    if (!made->bearer)
        return -ENOMEM;
    if (file) {
        made->file = strdup(file);
        if (!made->file)
            return -ENOMEM;
        /* Should it fail: then every file is a new one. */
        (void)stat(file, &made->seen);
    }
    *ret = TAKE_PTR(made);
    return 0;
}

struct jmp_token *jmp_token_free(struct jmp_token *token)
{
    if (!token)
        return NULL;
    wipe(token->bearer);
    free(token->file);
    free(token);
    return NULL;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void read_again(struct jmp_token *token)
{
    _cleanup_(jmp_exporter_config_freep) struct jmp_exporter_config *config = NULL;
    struct jmp_problems problems = { 0 };
    char *bearer;
    int r;

    r = jmp_exporter_config_load(token->file, &config, &problems);
    jmp_problems_clear(&problems);   /* jmp-agent check tells them all */
    if (r < 0 || !config->token) {
        jmp_log(JMP_LOG_WARNING, FIELDS(.error = r), "%s has changed, but holds no token that can be used: the old one "
                "stays", token->file);
        return;
    }
    bearer = make_bearer(config->token);
    if (!bearer) {
        jmp_log(JMP_LOG_ERROR, NULL, "no memory for the new token of %s", token->file);
        token->seen = (struct stat){ 0 };   /* once more, next time */
        return;
    }
    if (strcmp(bearer, token->bearer) == 0) {
        wipe(bearer);
        return;
    }
    wipe(token->bearer);
    token->bearer = bearer;
    jmp_log(JMP_LOG_INFO, NULL, "a new token was read from %s", token->file);
}

const char *jmp_token_bearer(struct jmp_token *token)
{
    struct stat now;

    /* A system call before a call over the network costs nothing, and no event can be missed. */
    if (token->file && stat(token->file, &now) == 0 && !is_same(&now, &token->seen)) {
        token->seen = now;
        read_again(token);
    }
    return token->bearer;
}
