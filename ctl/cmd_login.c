/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl login: a client who is known to an identity provider gets tokens of it, as with "jmp login". */
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "config/paths.h"
#include "config/write.h"
#include "ctl/ask.h"
#include "ctl/cmd_config.h"
#include "ctl/oidc.h"

const struct jmp_option jmp_login_options[] = {
    { JMP_FIELD(struct jmp_login, endpoint), .letter = 'e', .value_name = "HOST:PORT",
      .help = "where the controller is" },
    { .key = "namespace",
      JMP_FIELD_AS(struct jmp_login, namespace_),
      .value_name = "NAME",
      .help = "namespace of the lab" },
    { JMP_FIELD(struct jmp_login, name), .value_name = "NAME", .help = "name of the client in the lab" },
    { JMP_FIELD(struct jmp_login, issuer), .value_name = "URL", .help = "the identity provider" },
    { JMP_FIELD(struct jmp_login, client_id), .value_name = "NAME",
      .help = "as whom it knows this program; " JMP_OIDC_CLIENT_ID },
    { JMP_FIELD(struct jmp_login, username), .value_name = "NAME",
      .help = "log in with a password instead of a browser; it is asked for" },
    { JMP_FIELD(struct jmp_login, password), .value_name = "TEXT", .secret = true,
      .help = "the password (others see it in the process list)" },
    { JMP_FIELD(struct jmp_login, token), .value_name = "TEXT", .secret = true,
      .help = "exchange this token of another provider (others see it in the process list)" },
    { JMP_FIELD(struct jmp_login, connector_id), .value_name = "NAME",
      .help = "with --token: which provider it is of, where Dex is asked" },
    { JMP_FIELD(struct jmp_login, callback_port), .value_name = "PORT", .max = 65535,
      .help = "where the browser comes back to; $JMP_OIDC_CALLBACK_PORT, otherwise any" },
    { JMP_FIELD(struct jmp_login, offline_access), .help = "ask for a refresh token; that is done anyway" },
    { JMP_FIELD(struct jmp_login, no_offline_access), .help = "do not ask for a refresh token" },
    { JMP_FIELD(struct jmp_login, allow), .letter = 'a', .value_name = "PATTERNS",
      .help = "driver classes that may be loaded, with commas between" },
    { JMP_FIELD(struct jmp_login, unsafe), .help = "any driver class may be loaded" },
    { JMP_FIELD(struct jmp_login, insecure_tls), .letter = 'k',
      .help = "check no certificates, now and in the configuration; allows http:// for HOST" },
    { JMP_FIELD(struct jmp_login, nointeractive), .help = "ask nothing" },
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

/* What is known, and from where: options before what the lab's login service says, before what the person says. */
struct login {
    struct jmp_ctl *ctl;
    const struct jmp_login *options;
    struct jmp_tree *tree;
    char *name; /* of "NAME@HOST" */
    const char *endpoint, *namespace_, *issuer, *client_id, *ca;
    struct jmp_client_config *config; /* that is there; NULL: a new one */
    char *alias, *path;
    bool named; /* by a file of one's own: not the current client */
};

/* Takes a string of @map unless there is one already. Return: there is one. */
static bool take_text(const struct jmp_node *map, const char *key, const char **ret)
{
    const char *text = jmp_node_string(jmp_node_get(map, key));

    if (!*ret && text && *text)
        *ret = text;
    return *ret != NULL;
}

static int decode_ca(struct login *login, const char *text, struct jmp_error *reterr)
{
    char *pem = jmp_tree_alloc(login->tree, strlen(text) + 1);
    ssize_t length;

    if (!pem)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    length = jmp_base64_decode(text, pem);
    if (length < 0)
        return jmp_error_set(reterr, -EPROTO, "the login service's caBundle is no base64");
    pem[length] = '\0';
    login->ca = pem;
    puts("Retrieved CA certificate from login service.");
    return 0;
}

/* What the lab's login service says; nothing of it replaces what was given. */
static int ask_lab(struct login *login, const char *host, struct jmp_error *reterr)
{
    bool plain = strncmp(host, "http://", 7) == 0, given = plain || strncmp(host, "https://", 8) == 0;
    const struct jmp_node *answer, *providers;
    _cleanup_free_ char *url = NULL;
    const char *ca = NULL;
    size_t length = strlen(host);
    int r;

    if (plain && !login->options->insecure_tls)
        return jmp_ctl_usage(login->ctl, reterr, "%s is not secure; --insecure-tls (-k) allows it", host);
    while (length > 0 && host[length - 1] == '/')
        length--;
    if (asprintf(&url, "%s%.*s/v1/auth/config", given ? "" : "https://", (int)length, host) < 0) {
        url = NULL;
        return jmp_error_set(reterr, -ENOMEM, "%m");
    }
    printf("Fetching configuration from %s...\n", host);
    r = jmp_oidc_fetch(url, login->options->insecure_tls, login->tree, &answer, reterr);
    if (r < 0)
        return r;
    if (!take_text(answer, "grpcEndpoint", &login->endpoint))
        return jmp_error_set(reterr, -EPROTO, "%s tells no grpcEndpoint", url);
    take_text(answer, "namespace", &login->namespace_);
    providers = jmp_node_get(answer, "oidc");
    if (!login->issuer && providers && providers->kind == JMP_NODE_LIST && providers->first) {
        take_text(providers->first, "issuer", &login->issuer);
        take_text(providers->first, "clientId", &login->client_id);
    }
    return take_text(answer, "caBundle", &ca) ? decode_ca(login, ca, reterr) : 0;
}

/* "NAME@HOST" or "HOST" */
static int take_target(struct login *login, const char *target, struct jmp_error *reterr)
{
    const char *at = strrchr(target, '@'), *host = at ? at + 1 : target;

    if (!*host || at == target)
        return jmp_ctl_usage(login->ctl, reterr, "\"%s\" is not [CLIENT@]HOST", target);
    if (at && !(login->name = strndup(target, (size_t)(at - target))))
        return jmp_error_set(reterr, -ENOMEM, "%m");
    return ask_lab(login, host, reterr);
}

/* The configuration that gets the tokens: the one that was named, else the client of the target, else the current
 * one. */
static int find_config(struct login *login, struct jmp_error *reterr)
{
    const struct jmp_ctl_options *common = &login->options->common;
    struct jmp_problems problems = { 0 };
    const char *alias = common->client ?: login->name;
    int r;

    if (common->client_config) {
        login->named = true;
        login->path = strdup(common->client_config);
    } else if (!alias && (r = jmp_config_current(login->tree, &alias, reterr)) < 0) {
        return r;
    }
    login->alias = strdup(alias ?: "default");
    if (!login->alias || (login->named && !login->path))
        return jmp_error_set(reterr, -ENOMEM, "%m");
    if (!login->path && (r = jmp_paths_client(login->alias, &login->path, reterr)) < 0)
        return r;
    if (access(login->path, F_OK) < 0)
        return 0;
    r = jmp_client_config_load(login->path, &login->config, &problems);
    if (r < 0 && reterr && problems.first)
        *reterr = problems.first->error;
    jmp_problems_clear(&problems);
    return r;
}

/* @value, or what the person says, in the login's tree. */
static int need(struct login *login, const char *value, const char *option, const char *question, const char **ret,
                struct jmp_error *reterr)
{
    _cleanup_free_ char *said = value || login->options->nointeractive ? NULL : jmp_ask(question, false);

    *ret = said ? jmp_tree_strdup(login->tree, said, strlen(said)) : value;
    if (!*ret && said)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    return *ret && **ret ? 0 : jmp_ctl_usage(login->ctl, reterr, "--%s is missing", option);
}

static int print_new(struct login *login, struct jmp_new_config *config, struct jmp_error *reterr)
{
    const struct jmp_login *options = login->options;
    _cleanup_free_ char *said = NULL;
    const char *allow = options->allow;
    int r;

    config->is_client = true;
    config->insecure = options->insecure_tls;
    config->unsafe = options->unsafe;
    config->ca = login->ca ?: "";
    r = need(login, login->namespace_, "namespace", "Enter the Jumpstarter exporter namespace", &config->namespace_,
             reterr);
    if (r == 0)
        r = need(login, options->name ?: login->name, "name", "Enter the Jumpstarter exporter name", &config->name,
                 reterr);
    if (r == 0)
        r = need(login, login->endpoint, "endpoint", "Enter the Jumpstarter service endpoint", &config->endpoint,
                 reterr);
    if (r < 0)
        return r;
    if (!config->unsafe && !allow && !options->nointeractive) {
        config->unsafe = jmp_confirm("Allow unsafe driver client imports?");
        if (!config->unsafe)
            allow = said = jmp_ask("Enter a comma-separated list of allowed driver packages (optional) []", false);
    }
    r = allow ? jmp_config_split(allow, login->tree, &config->allow) : 0;
    return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
}

static int find_port(struct login *login, unsigned *ret, struct jmp_error *reterr)
{
    const char *text = getenv("JMP_OIDC_CALLBACK_PORT");
    char *end;

    *ret = login->options->callback_port;
    if (*ret || !text)
        return 0;
    errno = 0;
    *ret = (unsigned)strtoul(text, &end, 10);
    if (errno || !*text || *end || *ret > 65535)
        return jmp_ctl_usage(login->ctl, reterr, "$JMP_OIDC_CALLBACK_PORT: \"%s\" is no port", text);
    return 0;
}

/* By what was given: a token, a password, a refresh token that is there; otherwise with a browser. */
static int get_tokens(struct login *login, const char *issuer, struct jmp_oidc_tokens *ret, struct jmp_error *reterr)
{
    const struct jmp_login *options = login->options;
    const struct jmp_oidc oidc = { .issuer = issuer, .client_id = login->client_id, .insecure = options->insecure_tls };
    const char *stored = login->config ? login->config->refresh_token : NULL;
    bool offline = !options->no_offline_access || stored;
    const char *scope = offline ? JMP_OIDC_SCOPES " offline_access" : JMP_OIDC_SCOPES;
    _cleanup_free_ char *said = NULL;
    const char *password = options->password;
    unsigned port;
    int r;

    if (options->token)
        return jmp_oidc_grant(&oidc,
                              (const struct jmp_oidc_field[]){
                                  { "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange" },
                                  { "scope", scope },
                                  { "requested_token_type", "urn:ietf:params:oauth:token-type:access_token" },
                                  { "subject_token_type", "urn:ietf:params:oauth:token-type:id_token" },
                                  { "subject_token", options->token },
                                  { options->connector_id ? "connector_id" : NULL, options->connector_id },
                                  { 0 } },
                              ret, reterr);
    if (options->username) {
        if (!password && !options->nointeractive)
            password = said = jmp_ask("Password (hidden)", true);
        if (!password)
            return jmp_ctl_usage(login->ctl, reterr, "--password is missing");
        r = jmp_oidc_grant(&oidc,
                           (const struct jmp_oidc_field[]){ { "grant_type", "password" },
                                                            { "scope", scope },
                                                            { "username", options->username },
                                                            { "password", password },
                                                            { 0 } },
                           ret, reterr);
        if (said)
            explicit_bzero(said, strlen(said));
        return r;
    }
    if (stored) {
        r = jmp_oidc_grant(
            &oidc,
            (const struct jmp_oidc_field[]){ { "grant_type", "refresh_token" }, { "refresh_token", stored }, { 0 } },
            ret, options->nointeractive ? reterr : NULL);
        if (r == 0)
            puts("Refreshed access token using stored refresh token.");
        if (r == 0 || r == -ECANCELED || options->nointeractive)
            return r;
    }
    if (options->nointeractive)
        return jmp_ctl_usage(login->ctl, reterr,
                             "nobody may be asked: --token, or --username and --password, is missing");
    r = find_port(login, &port, reterr);
    return r < 0 ? r : jmp_oidc_browser(&oidc, port, offline, ret, reterr);
}

static int save(struct login *login, struct jmp_new_config *config, const struct jmp_oidc_tokens *tokens,
                struct jmp_error *reterr)
{
    _cleanup_free_ char *text = NULL;
    int r;

    if (login->config)
        return jmp_config_save_token(login->path, login->path, tokens->access, tokens->refresh, reterr);
    config->token = tokens->access;
    config->refresh_token = tokens->refresh;
    r = jmp_config_print(config, &text);
    if (r < 0)
        return jmp_error_set(reterr, r, "the configuration cannot be written: %m");
    r = jmp_file_write(login->path, text, strlen(text), 0600, reterr);
    explicit_bzero(text, strlen(text));
    return r;
}

static int run(struct login *login, struct jmp_error *reterr)
{
    struct jmp_new_config config = { 0 };
    struct jmp_oidc_tokens tokens = { 0 };
    _cleanup_free_ char *own = NULL;
    const char *issuer = NULL;
    int r = 0;

    if (!login->config)
        r = print_new(login, &config, reterr);
    else if (!login->options->issuer && login->config->token)
        jmp_oidc_issuer(login->config->token, &own, NULL);
    if (r == 0)
        r = need(login, own ?: login->issuer, "issuer", "Enter the OIDC issuer", &issuer, reterr);
    if (r == 0)
        r = get_tokens(login, issuer, &tokens, reterr);
    if (r == 0)
        r = save(login, &config, &tokens, reterr);
    jmp_oidc_clear(&tokens);
    if (r < 0 || login->named)
        return r;
    r = jmp_config_set_current(login->alias, reterr);
    if (r == 0)
        printf("Set '%s' as the default client.\n", login->alias);
    return r;
}

int jmp_cmd_login(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_login *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct login login = { .ctl = ctl,
                           .options = options,
                           .endpoint = options->endpoint,
                           .namespace_ = options->namespace_,
                           .issuer = options->issuer,
                           .client_id = options->client_id };
    int r;

    if (options->common.client && options->common.client_config)
        return jmp_ctl_usage(ctl, reterr, "--client and --client-config exclude each other");
    if (options->insecure_tls && !options->nointeractive && jmp_ask_possible() && !jmp_confirm(JMP_CONFIRM_INSECURE))
        return jmp_error_set(reterr, -ECANCELED, "nothing was done");
    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    login.tree = tree;
    if (words[0])
        r = take_target(&login, words[0], reterr);
    if (!login.client_id)
        login.client_id = JMP_OIDC_CLIENT_ID;
    if (r == 0)
        r = find_config(&login, reterr);
    if (r == 0)
        r = run(&login, reterr);
    jmp_client_config_free(login.config);
    free(login.name);
    free(login.alias);
    free(login.path);
    return r;
}
