/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl auth: the token of a client, which is a JSON Web Token or nothing that we can read. */
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "config/write.h"
#include "ctl/claims.h"
#include "ctl/cmd_config.h"
#include "ctl/oidc.h"

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

static void print_status(const struct jmp_node *claims, int64_t now, bool verbose, bool renewable)
{
    int64_t expiry, given;
    char text[64];

    if (!jmp_claims_time(claims, "exp", &expiry)) {
        puts("Token has no expiry claim");
    } else {
        print_date("Token expiry: ", expiry, "\n");
        span(expiry - now, text, sizeof(text));
        if (expiry < now)
            printf("Status: EXPIRED (%s ago)\n", text);
        else
            printf("Status: %s (%s remaining)\n", expiry - now < SOON ? "EXPIRING SOON" : "Valid", text);
        if (expiry - now < SOON)
            puts(renewable
                     ? "Have a new one: \"jmpctl auth refresh\", or just go on, and it is done for you."
                     : "Ask for a new one: \"jmpctl auth rotate\" while it is valid, otherwise whoever runs the lab.");
    }
    print_claim(claims, "sub", "Subject: ");
    print_claim(claims, "iss", "Issuer: ");
    if (verbose && jmp_claims_time(claims, "iat", &given))
        print_date("Issued at: ", given, "\n");
    if (verbose && jmp_claims_time(claims, "auth_time", &given))
        print_date("Auth time: ", given, "\n");
    if (verbose)
        printf("Refresh token stored: %s\n", renewable ? "yes" : "no");
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
    if (jmp_claims_time(claims, "exp", &expiry)) {
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
    jmp_text_put(stdout, output == JMP_OUTPUT_PATH ? (ctl->config->file ?: "")
                                                   : (ctl->config->alias ?: ctl->config->name ?: ""));
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
    r = jmp_claims_read(ctl->config->token, tree, &claims, reterr);
    if (r < 0) {
        jmp_error_prefix(reterr, "the token cannot be read");
        return r;
    }
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH)
        print_name(ctl, output);
    else if (output == JMP_OUTPUT_TABLE)
        print_status(claims, time(NULL), options->verbose, ctl->config->refresh_token != NULL);
    else
        r = print_document(output, claims, time(NULL), reterr);
    return r;
}

const struct jmp_option jmp_auth_refresh_options[] = {
    { .key = "insecure-tls", JMP_FIELD_AS(struct jmp_auth_refresh, insecure), .letter = 'k',
      .help = "do not check the identity provider's certificate" },
    { JMP_FIELD(struct jmp_auth_refresh, client_id), .value_name = "NAME", .preset = JMP_OIDC_CLIENT_ID,
      .help = "as whom the identity provider knows this program" },
    JMP_OUTPUT_OPTION(struct jmp_auth_refresh), JMP_CTL_CLIENT_OPTIONS, JMP_CTL_HELP_OPTION, {}
};

int jmp_auth_renew(const struct jmp_client_config *config, const char *client_id, bool insecure, char **ret,
                   struct jmp_error *reterr)
{
    const struct jmp_oidc_field fields[] = {
        { "grant_type", "refresh_token" }, { "refresh_token", config->refresh_token }, { 0 },
    };
    struct jmp_oidc oidc = { .client_id = client_id, .insecure = insecure };
    struct jmp_oidc_tokens tokens = { 0 };
    _cleanup_free_ char *issuer = NULL;
    int r;

    r = jmp_oidc_issuer(config->token, &issuer, reterr);
    if (r < 0) {
        jmp_error_prefix(reterr, "the token cannot be refreshed");
        return r;
    }
    oidc.issuer = issuer;
    r = jmp_oidc_grant(&oidc, fields, &tokens, reterr);
    if (r == -EACCES)
        jmp_error_hint(reterr, "the refresh token is no good any more: log in again, \"jmpctl login\"");
    /* Some providers take the old refresh token back with the new one, so a file that could not be written would be the
     * end. */
    if (r == 0)
        r = jmp_config_save_token(config->file, config->file, tokens.access, tokens.refresh, reterr);
    if (r == 0)
        *ret = TAKE_PTR(tokens.access);
    jmp_oidc_clear(&tokens);
    return r;
}

/* Tokens that were changed are told as a rotated one is, but for the first words. */
static int print_new(struct jmp_ctl *ctl, enum jmp_output output, const char *words, const char *token,
                     struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const struct jmp_node *claims = NULL;
    int64_t expiry;
    char text[64];
    int r;

    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH) {
        print_name(ctl, output);
        return 0;
    }
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_claims_read(token, tree, &claims, output == JMP_OUTPUT_TABLE ? NULL : reterr);
    if (output != JMP_OUTPUT_TABLE)
        return r < 0 ? r : print_document(output, claims, time(NULL), reterr);
    fputs(words, stdout);
    if (r == 0 && jmp_claims_time(claims, "exp", &expiry)) {
        print_date(" New expiry: ", expiry, "");
        printf(" (%s remaining)", span(expiry - time(NULL), text, sizeof(text)));
    }
    putchar('\n');
    return 0;
}

int jmp_cmd_auth_refresh(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_auth_refresh *options = object;
    char *token;
    int r;

    r = jmp_ctl_need_config(ctl, reterr);
    if (r < 0)
        return r;
    if (!ctl->config->token || !ctl->config->refresh_token) {
        jmp_error_set(reterr, -ENOENT, "the client configuration holds no %stoken",
                      ctl->config->token ? "refresh " : "");
        jmp_error_hint(
            reterr, ctl->config->token
                        ? "tokens of the lab itself have none: \"jmpctl auth rotate\"; others come of \"jmpctl login\""
                        : "\"jmpctl login\" gets one from an identity provider");
        return -ENOENT;
    }
    r = jmp_auth_renew(ctl->config, options->client_id, options->insecure, &token, reterr);
    if (r < 0)
        return r;
    r = print_new(ctl, jmp_output_parse(options->output), "Access token refreshed.", token, reterr);
    explicit_bzero(token, strlen(token));
    free(token);
    return r;
}

int jmp_cmd_auth_rotate(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_auth_command *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    const char *token;
    int r;

    r = jmp_ctl_need_config(ctl, reterr);
    if (r < 0)
        return r;
    if (!ctl->config->file) {
        jmp_error_set(reterr, -EINVAL,
                      "the client configuration comes from the environment: a new token could not be kept");
        jmp_error_hint(reterr, "\"jmpctl config client create\" makes a file of it");
        return -EINVAL;
    }
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_ctl_need_controller(ctl, reterr);
    if (r >= 0)
        r = jmp_controller_client_rotate(ctl->controller, tree, &token, NULL, reterr);
    if (r >= 0)
        r = jmp_config_save_token(ctl->config->file, ctl->config->file, token, NULL, reterr);
    return r < 0 ? r : print_new(ctl, jmp_output_parse(options->output), "Token rotated.", token, reterr);
}
