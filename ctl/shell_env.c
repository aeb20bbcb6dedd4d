/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/shell_env.h"

#include <stdarg.h>
#include <string.h>

static JMP_PRINTF(3, 4) void add(char **list, unsigned most, const char *fmt, ...)
{
    unsigned n = 0;
    va_list args;

    while (n + 1 < most && list[n])
        n++;
    va_start(args, fmt);
    if (n + 1 >= most || vasprintf(&list[n], fmt, args) < 0)
        list[n] = NULL;
    va_end(args);
}

#define SET(...) add(ret->set, JMP_SHELL_ENV_MAX, __VA_ARGS__)
#define ARG(...) add(ret->argv, JMP_SHELL_ARGS_MAX, __VA_ARGS__)

/* Names come from the controller; in a prompt only harmless characters of them are shown. */
static void clean(const char *name, char *ret, size_t size)
{
    size_t n = 0;

    for (; *name && n + 1 < size; name++) {
        if ((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9') ||
            strchr("-_.:", *name))
            ret[n++] = *name;
    }
    ret[n] = '\0';
}

static void prompt(const char *exporter, const char *shell, struct jmp_shell_start *ret)
{
    const char *slash = strrchr(shell, '/'), *name = slash ? slash + 1 : shell;
    const char *home = getenv("HOME");
    char where[80];

    clean(exporter, where, sizeof(where));
    ARG("%s", shell);
    if (strstr(name, "bash")) {
        SET("PS1=\\[\\e[90m\\]\\W \\[\\e[93m\\]⚡\\[\\e[97m\\]%s \\[\\e[93m\\]➤\\[\\e[0m\\] ", where);
        /* A profile would set its own prompt. */
        ARG("--norc");
        ARG("--noprofile");
    } else if (strcmp(name, "zsh") == 0) {
        SET("PS1=%%F{8}%%1~ %%F{yellow}⚡%%F{white}%s %%F{yellow}➤%%f ", where);
        if (!getenv("HISTFILE") && home)
            SET("HISTFILE=%s/.zsh_history", home);
        ARG("--no-rcs");
        ARG("-o");
        ARG("inc_append_history");
        ARG("-o");
        ARG("share_history");
    } else if (strcmp(name, "fish") == 0) {
        ARG("--init-command");
        ARG("function fish_prompt; set_color grey; printf '%%s ' (basename $PWD); set_color yellow; printf '⚡'; "
            "set_color white; "
            "printf '%s '; set_color yellow; printf '➤ '; set_color normal; end",
            where);
    } else {
        SET("PS1=%s> ", where);
    }
}

int jmp_shell_env(const struct jmp_shell_env *env, const char *shell, struct jmp_shell_start *ret)
{
    _cleanup_free_ char *labels = NULL;

    *ret = (struct jmp_shell_start){ 0 };
    if (env->labels && jmp_pairs_join(env->labels, &labels) < 0)
        return -ENOMEM;
    SET("JUMPSTARTER_HOST=%s", env->host);
    SET("JMP_DRIVERS_ALLOW=%s", env->allow);
    SET("JMP_EXPORTER=%s", env->exporter);
    SET("JMP_LEASE=%s", env->lease);
    /* The stock j would warn about drivers that it may not load, each time it is called. */
    SET("_JMP_SUPPRESS_DRIVER_WARNINGS=1");
    if (labels && *labels)
        SET("JMP_EXPORTER_LABELS=%s", labels);
    if (env->insecure)
        SET("JMP_GRPC_INSECURE=1");
    if (env->passphrase)
        SET("JMP_GRPC_PASSPHRASE=%s", env->passphrase);
    if (shell)
        prompt(env->exporter, shell, ret);
    return 0;
}

void jmp_shell_start_clear(struct jmp_shell_start *start)
{
    for (unsigned i = 0; i < JMP_SHELL_ENV_MAX; i++)
        free(start->set[i]);
    for (unsigned i = 0; i < JMP_SHELL_ARGS_MAX; i++)
        free(start->argv[i]);
    *start = (struct jmp_shell_start){ 0 };
}
