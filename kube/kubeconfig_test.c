/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/kubeconfig.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test.h"

/* JSON is YAML, too, and the room of the YAML parser is not open to this one. */
static int parse(const char *text, size_t length, const char *file, struct jmp_tree *tree, const struct jmp_node **ret,
                 struct jmp_error *reterr)
{
    int r = jmp_json_parse(text, length, tree, ret, reterr);

    if (r < 0 && reterr)
        jmp_error_at(reterr, file, reterr->line, reterr->column, NULL);
    return r;
}

static char directory[] = "/tmp/jmp-kube-XXXXXX";

static const char *put(const char *name, const char *text)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % ELEMENTSOF(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    assert_int_equal(jmp_file_write(path, text, strlen(text), 0600, NULL), 0);
    return path;
}

static void set_up(void)
{
    strcpy(directory, "/tmp/jmp-kube-XXXXXX");
    assert_non_null(mkdtemp(directory));
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    unsetenv("POD_NAMESPACE");
    setenv("HOME", directory, 1);
}

static void tear_down(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

#define CONTEXT(user, cluster) \
    "\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\",\"user\":\"u\",\"namespace\":\"lab\"}}]," \
    "\"users\":[{\"name\":\"u\",\"user\":{" user "}}],\"clusters\":[{\"name\":\"k\",\"cluster\":{" cluster "}}]"
#define CONFIG(user, cluster) "{\"current-context\":\"c\"," CONTEXT(user, cluster) "}"
#define SERVER "\"server\":\"https://h:6443/\""

JMP_TEST(a_context_gives_a_server_and_a_user)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;
    struct jmp_error error = JMP_ERROR_INIT;
    const char *file;

    set_up();
    put("ca.pem", "CA");
    file =
        put("config", CONFIG("\"token\":\"t\",\"as\":\"\",\"as-groups\":[\"g\"],\"client-certificate-data\":\"Qw==\","
                             "\"client-key-data\":\"Sw==\"",
                             SERVER ",\"certificate-authority\":\"ca.pem\",\"tls-server-name\":\"n\","
                                    "\"proxy-url\":\"socks5://p:1\""));
    assert_int_equal(jmp_kube_access_load(file, NULL, NULL, parse, &access, &error), 0);
    assert_string_equal(access->server, "https://h:6443");
    assert_string_equal(access->namespace_, "lab");
    assert_string_equal(access->ca, "CA");
    assert_string_equal(access->token, "t");
    assert_string_equal(access->certificate, "C");
    assert_string_equal(access->key, "K");
    assert_string_equal(access->tls_server_name, "n");
    assert_string_equal(access->proxy, "socks5://p:1");
    assert_null(access->as);
    assert_string_equal(jmp_node_string(jmp_node_at(access->as_groups, 0)), "g");
    assert_null(access->exec);
    tear_down();
}

JMP_TEST(data_beats_the_file)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;

    set_up();
    assert_int_equal(jmp_kube_access_load(put("config", CONFIG("", SERVER ",\"certificate-authority\":\"none.pem\","
                                                                   "\"certificate-authority-data\":\"REFUQQ==\"")),
                                          "c", NULL, parse, &access, NULL), 0);
    assert_string_equal(access->ca, "DATA");
    tear_down();
}

JMP_TEST(of_several_files_the_first_with_an_entry_gives_it_whole)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;
    char list[512];
    const char *a, *b;

    set_up();
    a = put("a", "{\"users\":[{\"name\":\"u\",\"user\":{\"username\":\"me\",\"password\":\"pw\"}}]}");
    b = put("b", CONFIG("\"token\":\"t\"", SERVER));
    snprintf(list, sizeof(list), "%s:%s/missing::%s", a, directory, b);
    setenv("KUBECONFIG", list, 1);
    assert_int_equal(jmp_kube_access_load(NULL, NULL, NULL, parse, &access, NULL), 0);
    assert_string_equal(access->username, "me");
    assert_null(access->token);
    tear_down();
}

JMP_TEST(a_pod_finds_its_service_account)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL, *named = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    set_up();
    assert_int_equal(jmp_kube_access_load(NULL, NULL, directory, parse, &access, &error), -ENOENT);
    put("ca.crt", "CA");
    put("namespace", "pods\n");
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(jmp_kube_access_load(NULL, NULL, directory, parse, &access, NULL), 0);
    assert_string_equal(access->server, "https://[fd00::1]:443");
    assert_string_equal(access->namespace_, "pods");
    assert_non_null(strstr(access->token_file, "/token"));
    setenv("POD_NAMESPACE", "mine", 1);
    assert_int_equal(jmp_kube_access_load(NULL, NULL, directory, parse, &named, NULL), 0);
    assert_string_equal(named->namespace_, "mine");
    tear_down();
}

#define EXEC(more) CONFIG("\"exec\":{" more "}", SERVER)
#define V1 "\"apiVersion\":\"client.authentication.k8s.io/v1\""
#define V1BETA1 "\"apiVersion\":\"client.authentication.k8s.io/v1beta1\""

JMP_TEST(a_plug_in_is_described_whole)
{
    _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;
    char command[128];

    set_up();
    assert_int_equal(
        jmp_kube_access_load(put("config", EXEC(V1BETA1 ",\"command\":\"./bin/login\",\"args\":[\"a\"],\"env\":["
                                                        "{\"name\":\"N\",\"value\":\"V\"}]")),
                             NULL, NULL, parse, &access, NULL),
        0);
    snprintf(command, sizeof(command), "%s/./bin/login", directory);
    assert_string_equal(access->exec->command, command);
    assert_int_equal(access->exec->interactive, JMP_KUBE_IF_AVAILABLE);
    tear_down();
}

JMP_TEST(what_is_wrong_in_a_file_is_named)
{
    static const struct {
        const char *text, *context, *path, *words;
        int result;
    } rows[] = {
        { "[]", NULL, "", "expected a map", -EINVAL },
        { "{", NULL, "", "not JSON", -EINVAL },
        { "{}", NULL, "", "no current-context", -ENOENT },
        { "{}", "x", "contexts", "no context \"x\"", -ENOENT },
        { "{\"current-context\":1}", NULL, "current-context", "expected a string", -EINVAL },
        { "{\"contexts\":[{\"name\":\"c\"}]}", "c", "contexts.c.context", "expected a map", -EINVAL },
        { "{\"contexts\":[{\"name\":\"c\",\"context\":{}}]}", "c", "contexts.c.cluster", "not set", -EINVAL },
        { "{\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\"}}]}", "c", "clusters", "no cluster \"k\"",
          -ENOENT },
        { CONFIG("", ""), NULL, "clusters.k.server", "not set", -EINVAL },
        { CONFIG("", "\"server\":\"h\""), NULL, "clusters.k.server", "https://", -EINVAL },
        { CONFIG("", SERVER ",\"proxy-url\":\"ftp://p\""), NULL, "clusters.k.proxy-url", "socks5", -EINVAL },
        { CONFIG("", SERVER ",\"insecure-skip-tls-verify\":\"yes\""), NULL, "clusters.k.insecure-skip-tls-verify",
          "true or false", -EINVAL },
        { CONFIG("", SERVER ",\"insecure-skip-tls-verify\":true,\"certificate-authority-data\":\"QQ==\""), NULL,
          "clusters.k.insecure-skip-tls-verify", "not together", -EINVAL },
        { CONFIG("", SERVER ",\"certificate-authority-data\":\"A\""), NULL, "clusters.k.certificate-authority-data",
          "not base64", -EINVAL },
        { CONFIG("", SERVER ",\"certificate-authority\":\"none.pem\""), NULL, "", "cannot be read", -ENOENT },
        { CONFIG("\"token\":\"t\",\"username\":\"u\"", SERVER), NULL, "users.u.username", "not together", -EINVAL },
        { CONFIG("\"client-key-data\":\"QQ==\"", SERVER), NULL, "users.u.client-certificate", "go together", -EINVAL },
        { CONFIG("\"auth-provider\":{}", SERVER), NULL, "users.u.auth-provider", "no longer", -EINVAL },
        { CONFIG("\"as-groups\":[1]", SERVER), NULL, "users.u.as-groups", "list of strings", -EINVAL },
        { CONFIG("\"exec\":1", SERVER), NULL, "users.u.exec", "expected a map", -EINVAL },
        { EXEC(V1), NULL, "users.u.exec.command", "not set", -EINVAL },
        { EXEC("\"command\":\"c\""), NULL, "users.u.exec.apiVersion", "v1beta1", -EINVAL },
        { EXEC(V1 ",\"command\":\"c\""), NULL, "users.u.exec.interactiveMode", "not set", -EINVAL },
        { EXEC(V1 ",\"command\":\"c\",\"interactiveMode\":\"never\""), NULL, "users.u.exec.interactiveMode", "Never",
          -EINVAL },
        { EXEC(V1BETA1 ",\"command\":\"c\",\"env\":[{\"name\":\"N\"}]"), NULL, "users.u.exec.env", "a name and a value",
          -EINVAL },
    };

    set_up();
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        const char *file = put("config", rows[i].text);

        assert_int_equal(jmp_kube_access_load(file, rows[i].context, NULL, parse, &access, &error), rows[i].result);
        assert_null(access);
        if (!strstr(error.text, rows[i].words) || strcmp(error.path, rows[i].path) != 0)
            fail_msg("row %zu: %s: %s", i, error.path, error.text);
        assert_non_null(strstr(error.file, directory));
    }
    tear_down();
}

JMP_TEST(a_file_named_explicitly_must_be_there)
{
    struct jmp_kube_access *access = NULL;
    struct jmp_error error = JMP_ERROR_INIT;

    assert_int_equal(jmp_kube_access_load("/nonexistent/config", NULL, NULL, parse, &access, &error), -ENOENT);
    assert_string_equal(error.file, "/nonexistent/config");
}

JMP_TEST(kubeconfig_survives_any_failed_allocation)
{
    const char *file;

    set_up();
    file = put("config", EXEC(V1BETA1 ",\"command\":\"a/b\",\"args\":[\"a\"]"));
    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        _cleanup_(jmp_kube_access_freep) struct jmp_kube_access *access = NULL;
        int r = jmp_kube_access_load(file, NULL, NULL, parse, &access, NULL);

        assert_true(r == 0 ? access != NULL : r == -ENOMEM && !access);
    }
    tear_down();
}
