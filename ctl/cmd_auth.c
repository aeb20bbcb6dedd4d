/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl auth status, auth rotate: the token of a client, which is a JSON Web Token or nothing that we can read. */
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/text.h"
#include "config/write.h"
#include "ctl/cmd_config.h"

#define SOON 300            /* seconds; as the stock client has it */

const struct jmp_option jmp_auth_status_options[] = {
    { JMP_FIELD(struct jmp_auth_command, verbose), .letter = 'v', .help = "also when it was given" },
    JMP_OUTPUT_OPTION(struct jmp_auth_command),
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};
const struct jmp_option jmp_auth_rotate_options[] = {
    JMP_OUTPUT_OPTION(struct jmp_auth_command), JMP_CTL_CLIENT_OPTIONS, JMP_CTL_HELP_OPTION, {}
};

/* The claims that a token makes of itself; only who signed it could say whether they are true. */
static int read_claims(const char *token, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr)
{
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    _cleanup_free_ char *text = NULL, *bytes = NULL;
    ssize_t length;
    int r;

    if (!second || strchr(second + 1, '.'))
        return jmp_error_set(reterr, -EINVAL, "it has not the three parts of a JSON Web Token");
    text = strndup(first + 1, (size_t)(second - first - 1));
    bytes = text ? malloc(strlen(text) + 1) : NULL;
    if (!bytes)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    for (char *c = text; *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    length = jmp_base64_decode(text, bytes);
    r = length < 0 ? (int)length : jmp_json_parse(bytes, (size_t)length, tree, ret, NULL);
    if (r == -ENOMEM)
        return jmp_error_set(reterr, r, "%m");
    if (r < 0 || (*ret)->kind != JMP_NODE_MAP)
        return jmp_error_set(reterr, -EINVAL, "its middle part is not base64 of a JSON object");
    return 0;
}

static bool time_of(const struct jmp_node *claims, const char *key, int64_t *ret)
{
    const struct jmp_node *node = jmp_node_get(claims, key);

    if (!node || node->kind != JMP_NODE_NUMBER || node->number < 0 || node->number > 253402300799.0)   /* the year 9999 */
        return false;
    *ret = (int64_t)node->number;
    return true;
}

/* "2026-11-21 04:30:00 UTC" */
static void print_date(const char *head, int64_t seconds, const char *tail)
{
    time_t when = (time_t)seconds;
    char text[64] = "";
    struct tm tm;

    if (gmtime_r(&when, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    printf("%s%s%s", head, text, tail);
}

/* "2h 30m", "5m 10s", "7s" */
static const char *span(int64_t seconds, char *ret, size_t size)
{
    long long all = seconds < 0 ? -seconds : seconds;

    if (all >= 3600)
        snprintf(ret, size, "%lldh %lldm", all / 3600, all % 3600 / 60);
    else if (all >= 60)
        snprintf(ret, size, "%lldm %llds", all / 60, all % 60);
    else
        snprintf(ret, size, "%llds", all);
    return ret;
}

static void print_claim(const struct jmp_node *claims, const char *key, const char *head)
{
    const char *text = jmp_node_string(jmp_node_get(claims, key));

    if (!text || !*text)
        return;
    fputs(head, stdout);
    jmp_text_put(stdout, text);
    fputc('\n', stdout);
}

static void print_status(const struct jmp_node *claims, int64_t now, bool verbose)
{
    int64_t expiry, given;
    char text[64];

    if (!time_of(claims, "exp", &expiry)) {
        puts("Token has no expiry claim");
    } else {
        print_date("Token expiry: ", expiry, "\n");
        span(expiry - now, text, sizeof(text));
        if (expiry < now)
            printf("Status: EXPIRED (%s ago)\n", text);
        else
            printf("Status: %s (%s remaining)\n", expiry - now < SOON ? "EXPIRING SOON" : "Valid", text);
        if (expiry - now < SOON)
            puts("Ask for a new one: \"jmpctl auth rotate\" while it is valid, otherwise whoever runs the lab.");
    }
    print_claim(claims, "sub", "Subject: ");
    print_claim(claims, "iss", "Issuer: ");
    if (verbose && time_of(claims, "iat", &given))
        print_date("Issued at: ", given, "\n");
    if (verbose && time_of(claims, "auth_time", &given))
        print_date("Auth time: ", given, "\n");
}

/* All that it claims, and what that means now. */
static int print_document(enum jmp_output output, const struct jmp_node *claims, int64_t now, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    const struct jmp_node *node;
    int64_t expiry;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "status");
    if (time_of(claims, "exp", &expiry)) {
        jmp_writer_string(writer, expiry < now ? "expired" : expiry - now < SOON ? "expiring" : "valid");
        jmp_writer_key(writer, "remaining");
        jmp_writer_integer(writer, expiry - now);
    } else {
        jmp_writer_string(writer, "endless");
    }
    jmp_writer_key(writer, "claims");
    jmp_writer_node(writer, claims);
    jmp_writer_end_map(writer);
    r = jmp_writer_finish(writer, &node);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_output_document(stdout, output, node, reterr);
}

static void print_name(struct jmp_ctl *ctl, enum jmp_output output)
{
    jmp_text_put(stdout, output == JMP_OUTPUT_PATH ? (ctl->config->file ?: "") : (ctl->config->alias ?: ctl->config->name ?: ""));
    fputc('\n', stdout);
}

int jmp_cmd_auth_status(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_auth_command *options = object;
    enum jmp_output output = jmp_output_parse(options->output);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *claims;
    int r;

    r = jmp_ctl_need_config(ctl, reterr);
    if (r < 0)
        return r;
    if (!ctl->config->token)
        return jmp_error_set(reterr, -ENOENT, "the client configuration holds no token");
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = read_claims(ctl->config->token, tree, &claims, reterr);
    if (r < 0) {
        jmp_error_prefix(reterr, "the token cannot be read");
        return r;
    }
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH)
        print_name(ctl, output);
    else if (output == JMP_OUTPUT_TABLE)
        print_status(claims, time(NULL), options->verbose);
    else
        r = print_document(output, claims, time(NULL), reterr);
    return r;
}

int jmp_cmd_auth_rotate(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_auth_command *options = object;
    enum jmp_output output = jmp_output_parse(options->output);
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *claims;
    int64_t expiry, remaining;
    const char *token;
    char text[64];
    int r;

    r = jmp_ctl_need_config(ctl, reterr);
    if (r < 0)
        return r;
    if (!ctl->config->file) {
        jmp_error_set(reterr, -EINVAL, "the client configuration comes from the environment: a new token could not be kept");
        jmp_error_hint(reterr, "\"jmpctl config client create\" makes a file of it");
        return -EINVAL;
    }
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = jmp_controller_client_rotate(ctl->controller, tree, &token, &expiry, reterr);
    if (r >= 0)
        r = jmp_config_save_token(ctl->config->file, ctl->config->file, token, reterr);
    if (r < 0)
        return r;
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH) {
        print_name(ctl, output);
        return 0;
    }
    if (output != JMP_OUTPUT_TABLE) {
        r = read_claims(token, tree, &claims, reterr);
        return r < 0 ? r : print_document(output, claims, time(NULL), reterr);
    }
    if (expiry == JMP_TIME_NONE) {
        puts("Token rotated.");
        return 0;
    }
    remaining = expiry / 1000000 - time(NULL);
    print_date("Token rotated. New expiry: ", expiry / 1000000, "");
    printf(" (%s remaining)\n", span(remaining, text, sizeof(text)));
    return 0;
}
